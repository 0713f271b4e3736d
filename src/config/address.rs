//! Addresses to listen on: an IP address or the name of one, with a port or without.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

/// The address of a name or a number.
///
/// # Errors
/// The text tells the expected form.
pub(super) fn parse_ip(text: &str) -> Result<IpAddr, String> {
    if let Ok(ip) = text.parse() {
        return Ok(ip);
    }
    let expected = || "expected an IP address or a name that has one, e.g. 127.0.0.1".to_owned();
    let mut found = (text, 0).to_socket_addrs().map_err(|_| expected())?;
    found.next().map(|address| address.ip()).ok_or_else(expected)
}

/// `HOST:PORT`. Without a host, as in `:19530`, it is every address of this machine, as in Milvus.
///
/// # Errors
/// The text tells the expected form.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let expected = || "expected HOST:PORT, e.g. 127.0.0.1:19530, localhost:19530 or :19530".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let port: u16 = port.parse().map_err(|_| expected())?;
    if host.is_empty() {
        return Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    }
    Ok(SocketAddr::from((parse_ip(host.trim_matches(['[', ']']))?, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ports_alone_are_addresses() {
        for (text, expected) in [("127.0.0.1:1", "127.0.0.1:1"), (":19530", "0.0.0.0:19530"), ("[::1]:2", "[::1]:2")] {
            assert_eq!(parse_listen(text).unwrap().to_string(), expected, "{text}");
        }
        assert!(parse_listen("localhost:7").unwrap().ip().is_loopback());
        assert!(parse_ip("localhost").unwrap().is_loopback());
        for wrong in ["19530", "localhost", "a:b", "127.0.0.1:70000", ":"] {
            assert!(parse_listen(wrong).unwrap_err().starts_with("expected HOST:PORT"), "{wrong}");
        }
        let error = parse_listen("nowhere.invalid:1").unwrap_err();
        assert!(error.contains("a name that has one"), "{error}");
    }
}

//! The ready file: tells whoever started the process that it serves, and where, also when it took a free port.
//!
//! It appears whole or not at all, and only when calls are answered.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// Writes `{"pid": …, "grpc": "host:port", "http": "host:port"}` beside `path` and renames it into place.
///
/// An address that means every interface is written as the loopback one, so that it can be connected to.
pub fn write(path: &Path, grpc: SocketAddr, http: SocketAddr) -> io::Result<()> {
    let text = serde_json::json!({
        "pid": std::process::id(),
        "grpc": reachable(grpc).to_string(),
        "http": reachable(http).to_string(),
    })
    .to_string();
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_that_can_be_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        write(&path, "0.0.0.0:1234".parse().unwrap(), "[::]:80".parse().unwrap()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(value, serde_json::json!({"pid": std::process::id(), "grpc": "127.0.0.1:1234", "http": "[::1]:80"}));
        // An older file is replaced, and nothing else is left behind.
        write(&path, "10.0.0.1:5".parse().unwrap(), "10.0.0.1:6".parse().unwrap()).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("10.0.0.1:5"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_path_without_a_name_is_refused() {
        let address = "127.0.0.1:1".parse().unwrap();
        assert!(write(Path::new("/"), address, address).is_err());
    }
}

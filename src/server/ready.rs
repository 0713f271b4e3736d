//! Files with the addresses of a running server, which it may have picked itself (port 0): one at the path that the
//! command line names, and one in the data directory for other commands.
//!
//! A file appears whole or not at all, and only when calls are answered.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    config::{TlsConfig, TlsMode},
    tls::ServerTls,
};

/// A larger file is not one of ours.
const MAX_FILE_BYTES: u64 = 4096;

/// Where a server answers on this machine, as `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    pub pid: u32,
    pub grpc: String,
    pub http: String,
    /// The port speaks TLS.
    #[serde(default, skip_serializing_if = "is_false")]
    pub grpc_tls: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub http_tls: bool,
    /// SHA-256 of the certificates that the server may show, the newest first. A command on this machine trusts exactly
    /// these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Addresses {
    /// Of this process. The address of all interfaces becomes the loopback address, so that a client can connect to it.
    pub fn new(grpc: SocketAddr, http: SocketAddr) -> Self {
        Self {
            pid: std::process::id(),
            grpc: reachable(grpc).to_string(),
            http: reachable(http).to_string(),
            grpc_tls: false,
            http_tls: false,
            certificates: Vec::new(),
        }
    }

    /// The same with the modes of TLS and, for a server that runs, the certificate in use.
    pub fn with_tls(mut self, config: &TlsConfig, running: Option<&ServerTls>) -> Self {
        self.grpc_tls = config.mode != TlsMode::Off;
        self.http_tls = config.http() != TlsMode::Off;
        self.certificates = running.map(|tls| tls.in_use().fingerprint).into_iter().collect();
        self
    }

    /// Those of the server that runs over a data directory; none if there is no file that can be read.
    pub fn of_running(data_dir: &Path) -> Option<Self> {
        let file = std::fs::File::open(Self::file(data_dir)).ok()?;
        serde_json::from_reader(io::Read::take(file, MAX_FILE_BYTES)).ok()
    }

    /// The file in a data directory.
    pub fn file(data_dir: &Path) -> PathBuf {
        data_dir.join("addresses.json")
    }

    /// Writes `{"pid": …, "grpc": "host:port", "http": "host:port"}`, with TLS also the certificates that a client has to know, beside `path` and renames it into place.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        name.push(".tmp");
        let temporary = path.with_file_name(name);
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(serde_json::to_string(self)?.as_bytes())?;
        file.write_all(b"\n")?;
        // Addresses are no secret, and other users' commands read them.
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    }
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

    fn addresses(grpc: &str, http: &str) -> Addresses {
        Addresses::new(grpc.parse().unwrap(), http.parse().unwrap())
    }

    #[test]
    fn names_addresses_that_can_be_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        addresses("0.0.0.0:1234", "[::]:80").write(&path).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(value, serde_json::json!({"pid": std::process::id(), "grpc": "127.0.0.1:1234", "http": "[::1]:80"}));
        // An older file is replaced, and nothing else is left behind.
        addresses("10.0.0.1:5", "10.0.0.1:6").write(&path).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("10.0.0.1:5"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_path_without_a_name_is_refused() {
        assert!(addresses("127.0.0.1:1", "127.0.0.1:1").write(Path::new("/")).is_err());
    }

    #[test]
    fn the_running_server_of_a_data_directory_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Addresses::of_running(folder.path()), None);
        let written = addresses("127.0.0.1:5", "127.0.0.1:6");
        written.write(&Addresses::file(folder.path())).unwrap();
        assert_eq!(Addresses::of_running(folder.path()), Some(written));
        std::fs::write(Addresses::file(folder.path()), "{").unwrap();
        assert_eq!(Addresses::of_running(folder.path()), None);
    }
}

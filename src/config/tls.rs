//! Settings of TLS: which port speaks it, and the files.

use std::{path::PathBuf, time::Duration};

/// How a port and its clients prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// No TLS.
    #[default]
    Off,
    /// The server has a certificate.
    OneWay,
    /// Clients have one too.
    Mutual,
}

impl TlsMode {
    /// The number that Milvus gives it.
    pub fn number(self) -> u64 {
        match self {
            Self::Off => 0,
            Self::OneWay => 1,
            Self::Mutual => 2,
        }
    }

    pub(super) fn of_number(number: u64) -> Option<Self> {
        [Self::Off, Self::OneWay, Self::Mutual].into_iter().find(|mode| mode.number() == number)
    }

    /// The word for log lines and for `datacoord.http.tls`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::OneWay => "one-way",
            Self::Mutual => "mutual",
        }
    }
}

/// TLS of both ports.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsConfig {
    /// Of the gRPC port.
    pub mode: TlsMode,
    /// Of the HTTP port. `None`: the same as the gRPC port.
    pub http_mode: Option<TlsMode>,
    /// PEM file with the certificate of the server, and behind it those between it and the authority.
    pub certificate: PathBuf,
    /// PEM file with the key of that certificate.
    pub key: PathBuf,
    /// PEM file with the authorities whose certificates clients may have.
    pub authorities: PathBuf,
    /// How often the files are compared with those in use.
    pub reload_interval: Duration,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            mode: TlsMode::Off,
            http_mode: None,
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            authorities: PathBuf::new(),
            reload_interval: Duration::from_secs(5),
        }
    }
}

impl TlsConfig {
    /// Mode of the HTTP port.
    pub fn http(&self) -> TlsMode {
        self.http_mode.unwrap_or(self.mode)
    }

    /// Whether any port is in one of these modes.
    pub fn any(&self, modes: &[TlsMode]) -> bool {
        modes.contains(&self.mode) || modes.contains(&self.http())
    }
}

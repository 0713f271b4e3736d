//! Why files of TLS can't be used. Names the setting and the file, and never repeats its content.

use std::{io, path::PathBuf};

/// Files of TLS that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{setting} is {}: {source}", .path.display())]
    Unreadable { setting: &'static str, path: PathBuf, source: io::Error },
    #[error("{setting} is {}: larger than {limit} bytes, which no file of certificates is", .path.display())]
    TooLarge { setting: &'static str, path: PathBuf, limit: u64 },
    #[error("{setting} is {}: there is no {wanted} in PEM in it", .path.display())]
    Nothing { setting: &'static str, path: PathBuf, wanted: &'static str },
    #[error("{setting} is {}: the key is encrypted: store it without a pass phrase, readable for the server alone", .path.display())]
    EncryptedKey { setting: &'static str, path: PathBuf },
    #[error("{setting} is {}: {source}", .path.display())]
    Unusable { setting: &'static str, path: PathBuf, source: rustls::Error },
    #[error("{setting} is {}: the certificate expired at {}", .path.display(), time(*until_s))]
    Expired { setting: &'static str, path: PathBuf, until_s: u64 },
    #[error("{setting} is {}: the certificate is valid from {} on, which is not yet", .path.display(), time(*from_s))]
    TooEarly { setting: &'static str, path: PathBuf, from_s: u64 },
    #[error("{setting} is {}: this is not the key of the certificate in {}", .path.display(), .certificate.display())]
    Mismatch { setting: &'static str, path: PathBuf, certificate: PathBuf },
    /// The machine has no authorities.
    #[error("this machine has no list of trusted authorities: name one")]
    NoAuthorities,
    #[error("TLS: {0}")]
    Setup(#[source] rustls::Error),
}

/// A moment in words.
pub(super) fn time(seconds: u64) -> String {
    // The last moment that the text can show.
    const LAST: u64 = 253_402_300_799;
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.min(LAST));
    humantime::format_rfc3339_seconds(at).to_string()
}

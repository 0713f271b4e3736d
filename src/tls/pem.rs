//! Certificates and keys in PEM files.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

use super::TlsError;

/// Far above any chain of certificates or list of authorities.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A file, and the setting or flag that names it, for errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemFile {
    pub(super) setting: &'static str,
    pub(super) path: PathBuf,
}

impl PemFile {
    pub fn new(setting: &'static str, path: impl Into<PathBuf>) -> Self {
        Self { setting, path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All bytes. They are cleared when they are dropped, because they may be a key.
    pub(super) fn read(&self) -> Result<Zeroizing<Vec<u8>>, TlsError> {
        let fail = |source| TlsError::Unreadable { setting: self.setting, path: self.path.clone(), source };
        let file = std::fs::File::open(&self.path).map_err(fail)?;
        // The buffer never moves, so no copy of a key is left behind.
        let size = file.metadata().map_err(fail)?.len();
        if size > MAX_FILE_BYTES {
            return Err(TlsError::TooLarge { setting: self.setting, path: self.path.clone(), limit: MAX_FILE_BYTES });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(size as usize + 1));
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(fail)?;
        Ok(bytes)
    }

    /// All certificates, at least one.
    pub(super) fn certificates(&self, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            // The reason of a parser may repeat a line of the file.
            Ok(_) | Err(_) => Err(self.nothing("certificate")),
        }
    }

    /// The first key.
    pub(super) fn key(&self, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
        if memchr::memmem::find(bytes, b"ENCRYPTED").is_some() {
            return Err(TlsError::EncryptedKey { setting: self.setting, path: self.path.clone() });
        }
        PrivateKeyDer::from_pem_slice(bytes).map_err(|_| self.nothing("private key"))
    }

    pub(super) fn unusable(&self, source: rustls::Error) -> TlsError {
        TlsError::Unusable { setting: self.setting, path: self.path.clone(), source }
    }

    fn nothing(&self, wanted: &'static str) -> TlsError {
        TlsError::Nothing { setting: self.setting, path: self.path.clone(), wanted }
    }
}

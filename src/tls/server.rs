//! Certificates that both ports show and demand, and their replacement when the files change.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{InUse, TlsError, identity::Identity, pem::PemFile};
use crate::config::{TlsConfig, TlsMode};

/// TLS of one port. The configuration may be replaced at any time; a handshake keeps the one that it began with.
pub struct PortTls {
    mode: TlsMode,
    /// The protocol inside, as ALPN names it.
    alpn: &'static [u8],
    /// In mutual mode a client without a certificate gets a connection too, and the protocol inside decides.
    optional: bool,
    current: RwLock<Arc<ServerConfig>>,
}

impl std::fmt::Debug for PortTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PortTls").field("mode", &self.mode).field("optional", &self.optional).finish_non_exhaustive()
    }
}

impl PortTls {
    /// The configuration for the next handshake.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read())
    }
}

/// The result of [`ServerTls::look`].
#[derive(Debug)]
pub enum FileChange {
    /// The files hold the certificates in use.
    Same,
    /// The files hold something else, and it can be used.
    New(LoadedFiles),
    /// The files can't be used. The certificates in use stay.
    Unusable(TlsError),
}

/// The content of the files of TLS, ready to be used.
#[derive(Debug)]
pub struct LoadedFiles {
    identity: Identity,
    authorities: Option<Arc<RootCertStore>>,
    digest: [u8; 32],
}

impl LoadedFiles {
    pub fn shown(&self) -> &InUse {
        &self.identity.shown
    }
}

/// The files of TLS, and the certificates in use.
#[derive(Debug)]
pub struct ServerTls {
    files: Files,
    provider: Arc<CryptoProvider>,
    grpc: Option<Arc<PortTls>>,
    http: Option<Arc<PortTls>>,
    in_use: Mutex<(InUse, [u8; 32])>,
}

#[derive(Debug)]
struct Files {
    certificate: PemFile,
    key: PemFile,
    /// Read only if a port wants certificates of clients.
    authorities: Option<PemFile>,
}

impl ServerTls {
    /// Reads the files. `None` if no port speaks TLS.
    ///
    /// # Errors
    /// A file that can't be used.
    pub fn load(config: &TlsConfig, now_s: u64) -> Result<Option<Self>, TlsError> {
        if !config.any(&[TlsMode::OneWay, TlsMode::Mutual]) {
            return Ok(None);
        }
        let wants_clients = config.any(&[TlsMode::Mutual]);
        let files = Files {
            certificate: PemFile::new("tls.serverPemPath", &config.certificate),
            key: PemFile::new("tls.serverKeyPath", &config.key),
            authorities: wants_clients.then(|| PemFile::new("tls.caPemPath", &config.authorities)),
        };
        let provider = Arc::new(ring::default_provider());
        let candidate = files.read()?.candidate(&files, &provider, now_s)?;
        let port = |mode: TlsMode, alpn: &'static [u8], optional: bool| {
            if mode == TlsMode::Off {
                return Ok(None);
            }
            let current = RwLock::new(candidate.config(mode, alpn, optional, &provider)?);
            Ok::<_, TlsError>(Some(Arc::new(PortTls { mode, alpn, optional, current })))
        };
        let grpc = port(config.mode, b"h2", false)?;
        // Probes have no certificate. `http` demands it where it matters.
        let http = port(config.http(), b"http/1.1", true)?;
        let in_use = Mutex::new((candidate.identity.shown.clone(), candidate.digest));
        Ok(Some(Self { files, provider, grpc, http, in_use }))
    }

    /// Of the gRPC port; none if it speaks no TLS.
    pub fn grpc(&self) -> Option<&Arc<PortTls>> {
        self.grpc.as_ref()
    }

    /// Of the HTTP port; none if it speaks no TLS.
    pub fn http(&self) -> Option<&Arc<PortTls>> {
        self.http.as_ref()
    }

    pub fn in_use(&self) -> InUse {
        self.in_use.lock().0.clone()
    }

    /// Reads the files again. Blocks as long as the disk takes.
    pub fn look(&self, now_s: u64) -> FileChange {
        let contents = match self.files.read() {
            Ok(contents) => contents,
            Err(error) => return FileChange::Unusable(error),
        };
        // Before anything is checked: the certificate in use may have expired, and still nothing is new.
        if contents.digest == self.in_use.lock().1 {
            return FileChange::Same;
        }
        contents.candidate(&self.files, &self.provider, now_s).map_or_else(FileChange::Unusable, FileChange::New)
    }

    /// Uses `candidate` for all further handshakes.
    ///
    /// # Errors
    /// Nothing changes if a port can't use it.
    pub fn replace(&self, candidate: LoadedFiles) -> Result<(), TlsError> {
        let ports = [&self.grpc, &self.http].into_iter().flatten();
        let next: Result<Vec<_>, TlsError> = ports
            .map(|port| Ok((port, candidate.config(port.mode, port.alpn, port.optional, &self.provider)?)))
            .collect();
        for (port, config) in next? {
            *port.current.write() = config;
        }
        *self.in_use.lock() = (candidate.identity.shown, candidate.digest);
        Ok(())
    }
}

/// The bytes of all files.
struct FileBytes {
    certificate: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
    authorities: Zeroizing<Vec<u8>>,
    digest: [u8; 32],
}

impl Files {
    fn read(&self) -> Result<FileBytes, TlsError> {
        let (certificate, key) = (self.certificate.read()?, self.key.read()?);
        let authorities = match &self.authorities {
            Some(file) => file.read()?,
            None => Zeroizing::default(),
        };
        let mut digest = Sha256::new();
        for bytes in [&certificate, &key, &authorities] {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes.as_slice());
        }
        Ok(FileBytes { certificate, key, authorities, digest: digest.finalize().into() })
    }
}

impl FileBytes {
    fn candidate(&self, files: &Files, provider: &CryptoProvider, now_s: u64) -> Result<LoadedFiles, TlsError> {
        let certificate = (&files.certificate, self.certificate.as_slice());
        let identity = Identity::new(certificate, (&files.key, &self.key), provider, now_s)?;
        let authorities = match &files.authorities {
            Some(file) => Some(Arc::new(file.authorities(&self.authorities)?)),
            None => None,
        };
        Ok(LoadedFiles { identity, authorities, digest: self.digest })
    }
}

impl PemFile {
    /// Every certificate of the file as an authority.
    pub(super) fn authorities(&self, bytes: &[u8]) -> Result<RootCertStore, TlsError> {
        let mut authorities = RootCertStore::empty();
        for certificate in self.certificates(bytes)? {
            authorities.add(certificate).map_err(|e| self.unusable(e))?;
        }
        Ok(authorities)
    }
}

impl LoadedFiles {
    /// The configuration of one port.
    fn config(
        &self,
        mode: TlsMode,
        alpn: &'static [u8],
        optional: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider));
        let builder = match mode {
            // Milvus asks for 1.3 in this mode.
            TlsMode::Mutual => builder.with_protocol_versions(&[&TLS13]),
            TlsMode::OneWay | TlsMode::Off => builder.with_protocol_versions(&[&TLS13, &TLS12]),
        };
        let builder = builder.map_err(TlsError::Setup)?;
        let builder = match (&self.authorities, mode) {
            (Some(authorities), TlsMode::Mutual) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities), Arc::clone(provider));
                let verifier = if optional { verifier.allow_unauthenticated() } else { verifier };
                let verifier = verifier.build().map_err(|e| TlsError::Setup(rustls::Error::General(e.to_string())))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(self.identity.resolver());
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(Arc::new(config))
    }
}

//! The client's side: which servers it trusts, and its own certificate if it has one.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    TlsError,
    identity::{Identity, fingerprint},
    pem::PemFile,
};

/// The servers that a client trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those with a certificate of an authority in this file.
    Authorities(PemFile),
    /// Those with a certificate of an authority that the machine trusts.
    Machine,
    /// Those that show one of these certificates, of any name, authority and age: SHA-256 in hexadecimal digits. For
    /// a server on the same machine that has written down which ones it uses.
    Exactly(Vec<String>),
}

/// TLS as a client speaks it.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    /// Instead of the host's name.
    server_name: Option<String>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// Why a connection has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{0:?} is no name of a server")]
    Name(String),
    #[error(transparent)]
    Handshake(#[from] std::io::Error),
}

impl ClientTls {
    /// `own` is the certificate of the client and its key; `server_name` stands for the name of the host where the
    /// certificate of the server has another one.
    ///
    /// # Errors
    /// A file that can't be used.
    pub fn new(
        trust: &Trust,
        own: Option<(&PemFile, &PemFile)>,
        server_name: Option<String>,
        now_s: u64,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Setup)?;
        let builder = match trust {
            Trust::Authorities(file) => builder.with_root_certificates(file.authorities(&file.read()?)?),
            Trust::Machine => builder.with_root_certificates(of_machine()?),
            Trust::Exactly(fingerprints) => {
                let verifier = Pinned { fingerprints: fingerprints.clone(), provider: Arc::clone(&provider) };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (certificate_bytes, key_bytes) = (certificate.read()?, key.read()?);
                let own = Identity::new((certificate, &certificate_bytes), (key, &key_bytes), &provider, now_s)?;
                builder.with_client_cert_resolver(own.resolver())
            }
        };
        Ok(Self { config: Arc::new(config), server_name })
    }

    /// The handshake over a connection to `host`.
    ///
    /// # Errors
    /// The server is not one of the trusted ones, or speaks no TLS.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        alpn: &[u8],
        stream: S,
    ) -> Result<TlsStream<S>, ConnectError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| ConnectError::Name(name.to_owned()))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        Ok(connector.with_alpn(vec![alpn.to_vec()]).connect(name, stream).await?)
    }
}

/// The machine's authorities.
fn of_machine() -> Result<RootCertStore, TlsError> {
    let mut authorities = RootCertStore::empty();
    // One that can't be read vouches for nothing; the others still do.
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if authorities.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(authorities) }
}

/// Accepts certificates by their fingerprints. The other side must still prove that it has the key.
#[derive(Debug)]
struct Pinned {
    fingerprints: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.fingerprints.contains(&fingerprint(own)) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

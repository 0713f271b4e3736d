//! A certificate with its key, checked before it is used.

use std::{sync::Arc, time::Duration};

use rustls::{
    CertificateError, InconsistentKeys, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::CryptoProvider,
    server::ParsedCertificate,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};

use super::{TlsError, error::time, pem::PemFile};

/// A certificate that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
    /// Seconds since 1970 at which it expires.
    pub until_s: u64,
}

impl InUse {
    /// The moment at which it expires, in words.
    pub fn expires(&self) -> String {
        time(self.until_s)
    }
}

/// A certificate and its key that fit each other.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    key: Arc<CertifiedKey>,
    pub(super) shown: InUse,
}

impl Identity {
    /// From the bytes of both files.
    ///
    /// # Errors
    /// One of the files holds something else, they do not fit each other, or the certificate is not valid now.
    pub(super) fn new(
        (certificate, certificate_bytes): (&PemFile, &[u8]),
        (key, key_bytes): (&PemFile, &[u8]),
        provider: &CryptoProvider,
        now_s: u64,
    ) -> Result<Self, TlsError> {
        let chain = certificate.certificates(certificate_bytes)?;
        let own = chain.first().ok_or_else(|| certificate.unusable(rustls::Error::NoCertificatesPresented))?;
        let (from_s, until_s) = validity(own).map_err(|e| certificate.unusable(e))?;
        let fingerprint = fingerprint(own);
        let (setting, path) = (certificate.setting, certificate.path.clone());
        if now_s > until_s {
            return Err(TlsError::Expired { setting, path, until_s });
        }
        if now_s < from_s {
            return Err(TlsError::TooEarly { setting, path, from_s });
        }
        let private = key.key(key_bytes)?;
        let certified = CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { setting: key.setting, path: key.path.clone(), certificate: path }
            }
            other => key.unusable(other),
        })?;
        Ok(Self { key: Arc::new(certified), shown: InUse { fingerprint, until_s } })
    }

    /// Always this certificate, to whichever name or authority the other side asks for.
    pub(super) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.key)))
    }
}

/// SHA-256 of a certificate, in hexadecimal digits.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// First and last second since 1970 at which a certificate is valid.
///
/// The verifier checks the time before anything else, and its error for a wrong time names the bound.
fn validity(certificate: &CertificateDer<'_>) -> Result<(u64, u64), rustls::Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let nothing = RootCertStore::empty();
    let bound = |at_s: u64| {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at_s));
        match verify_server_cert_signed_by_trust_anchor(&parsed, &nothing, &[], at, &[]) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
                not_before.as_secs()
            }
            Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                not_after.as_secs()
            }
            // Valid at this end of time too.
            _ => at_s,
        }
    };
    Ok((bound(0), bound(u64::MAX)))
}

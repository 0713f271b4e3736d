//! TLS: certificates and keys from files, the server's side of both ports, and the client's side of the command line.
//!
//! The cryptography is rustls with ring. A server reads its files again while it runs ([`ServerTls::look`]); connections
//! that are open keep the certificate that they began with. A bad file never replaces a good one.
//!
//! Must never: print a key or any line of a key's file, or accept a certificate that nothing vouches for.
//!
//! ```text
//! pem        files: certificates and keys in PEM
//! identity   a certificate and its key that fit each other and are valid now
//! server     certificates that both ports show and demand, and their replacement
//! client     the trust of a client: in an authority, the machine's, or the certificates of a running server
//! ```

mod client;
mod error;
mod identity;
mod pem;
mod server;

pub use client::{ClientTls, ConnectError, Trust};
pub use error::TlsError;
pub use identity::InUse;
pub use pem::PemFile;
pub use server::{FileChange, LoadedFiles, PortTls, ServerTls};

#[cfg(test)]
mod tests;

//! The handshake of one connection, in a task of its own and within a time.

use std::{io, sync::Arc, time::Duration};

use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::refusal::{ConnectionRefusal, Refuser};
use crate::tls::PortTls;

/// First byte of every connection that begins with a handshake of TLS.
const HANDSHAKE: u8 = 22;

/// Why a connection has ended before its protocol began. A closed set, because metrics count by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFault {
    /// The client speaks without TLS.
    Plain,
    /// The client was silent, or too slow.
    Late,
    /// The client went away.
    Closed,
    /// The client has no certificate, or one that this server does not trust.
    Certificate,
    /// Anything else, such as no common version, or a client that does not trust this server.
    Protocol,
}

impl HandshakeFault {
    pub const ALL: [Self; 5] = [Self::Plain, Self::Late, Self::Closed, Self::Certificate, Self::Protocol];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Late => "late",
            Self::Closed => "closed",
            Self::Certificate => "certificate",
            Self::Protocol => "protocol",
        }
    }

    fn of(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => Self::Certificate,
            Some(_) => Self::Protocol,
            None => Self::Closed,
        }
    }
}

/// Makes a connection one with TLS. A client without TLS is told so.
pub(super) async fn handshake(
    stream: TcpStream,
    tls: Arc<PortTls>,
    limit: Duration,
    refuser: Refuser,
) -> Result<TlsStream<TcpStream>, (HandshakeFault, io::Error)> {
    let shaken = async {
        let mut first = [0];
        let read = stream.peek(&mut first).await.map_err(|error| (HandshakeFault::Closed, error))?;
        if read == 0 {
            return Err((HandshakeFault::Closed, io::ErrorKind::UnexpectedEof.into()));
        }
        if first != [HANDSHAKE] {
            refuser.refuse(stream, ConnectionRefusal::NeedsTls);
            return Err((HandshakeFault::Plain, io::Error::other("the client speaks without TLS")));
        }
        let shaken = TlsAcceptor::from(tls.current()).accept(stream).await;
        shaken.map_err(|error| (HandshakeFault::of(&error), error))
    };
    match tokio::time::timeout(limit, shaken).await {
        Ok(shaken) => shaken,
        Err(elapsed) => Err((HandshakeFault::Late, io::Error::new(io::ErrorKind::TimedOut, elapsed))),
    }
}

//! The answer to a client that can't be served, in the protocol that it speaks.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
};

use std::{sync::Arc, time::Duration};

/// Refused connections that are kept open at once, and for how long. Closing one at once may lose the refusal's bytes.
const LINGERING: usize = 16;
const LINGER: Duration = Duration::from_secs(1);

/// GOAWAY's reasons: the client may come back later, or must come with TLS.
const ENHANCE_YOUR_CALM: u32 = 0xb;
const INADEQUATE_SECURITY: u32 = 0xc;

/// A fatal alert of TLS, in a record of its own: 80 is `internal_error`. There is none for a full server.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalProtocol {
    /// Answers with status 503 or 400.
    Http1,
    /// Sends GOAWAY with the reason.
    Http2,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionRefusal {
    TooMany {
        limit: usize,
    },
    /// The same, on a port whose clients understand nothing but TLS.
    TooManyForTls,
    /// The client speaks its protocol without TLS.
    NeedsTls,
}

impl RefusalProtocol {
    /// The bytes of the refusal.
    pub(super) fn bytes(self, refusal: ConnectionRefusal) -> Vec<u8> {
        let (code, status, reason) = match refusal {
            ConnectionRefusal::TooManyForTls => return ALERT.to_vec(),
            ConnectionRefusal::TooMany { limit } => (
                ENHANCE_YOUR_CALM,
                "503 Service Unavailable",
                format!("too many connections, the limit is {limit} (datacoord.connections.max)"),
            ),
            ConnectionRefusal::NeedsTls => {
                let key = match self {
                    Self::Http1 => "common.security.tlsMode or datacoord.http.tls",
                    Self::Http2 => "common.security.tlsMode",
                };
                (INADEQUATE_SECURITY, "400 Bad Request", format!("this port speaks TLS only ({key})"))
            }
        };
        match self {
            Self::Http1 => format!(
                "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{reason}",
                reason.len()
            )
            .into_bytes(),
            Self::Http2 => {
                // GOAWAY: last stream 0, the code, the reason. No SETTINGS before it: clients in Python and C++ take a
                // connection with SETTINGS for a good one and replace it at once, thousands of times in a second.
                // Without, they wait longer and longer between attempts.
                let length = 8 + reason.len() as u32;
                let mut bytes = length.to_be_bytes()[1..].to_vec();
                bytes.extend_from_slice(&[7, 0, 0, 0, 0, 0]);
                bytes.extend_from_slice(&0u32.to_be_bytes());
                bytes.extend_from_slice(&code.to_be_bytes());
                bytes.extend_from_slice(reason.as_bytes());
                bytes
            }
        }
    }

    /// Bytes that a client must send within the time limit. None for HTTP/1, which has its own limit for the whole head.
    pub(super) fn awaited(self) -> usize {
        match self {
            Self::Http1 => 0,
            Self::Http2 => 24,
        }
    }
}

/// Sends refusals.
#[derive(Debug, Clone)]
pub(super) struct Refuser {
    protocol: RefusalProtocol,
    lingering: Arc<Semaphore>,
}

impl Refuser {
    pub(super) fn new(protocol: RefusalProtocol) -> Self {
        Self { protocol, lingering: Arc::new(Semaphore::new(LINGERING)) }
    }

    /// Sends the refusal and waits a moment for the client to close. If this side closed with unread bytes, the kernel
    /// would reset the connection and the client could lose the refusal.
    pub(super) fn refuse(&self, mut stream: TcpStream, refusal: ConnectionRefusal) {
        // The buffer of a new connection is empty, so one attempt is enough.
        let _ = stream.try_write(&self.protocol.bytes(refusal));
        let Ok(turn) = Arc::clone(&self.lingering).try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _turn = turn;
            let rest = async {
                let _ = stream.shutdown().await;
                let mut ignored = [0; 1024];
                while matches!(stream.read(&mut ignored).await, Ok(1..)) {}
            };
            let _ = tokio::time::timeout(LINGER, rest).await;
        });
    }
}

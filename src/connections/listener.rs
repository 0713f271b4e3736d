//! Accepts connections up to a limit, refuses further ones in the words of their protocol, and pauses when an accept fails.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::{
    io::Guarded,
    place::{Place, Watched},
};

/// First and longest pause after an accept that failed, for example for lack of descriptors.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Refused connections that are kept open at once, and for how long. Closing one at once may lose the refusal's bytes.
const LINGERING: usize = 16;
const LINGER: Duration = Duration::from_secs(1);

/// The protocol in which a connection over the limit is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalProtocol {
    /// Answers with status 503.
    Http1,
    /// Sends GOAWAY with the reason.
    Http2,
}

impl RefusalProtocol {
    /// The bytes of the refusal.
    fn bytes(self, limit: usize) -> Vec<u8> {
        let reason = format!("too many connections, the limit is {limit} (datacoord.connections.max)");
        match self {
            Self::Http1 => format!(
                "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{reason}",
                reason.len()
            )
            .into_bytes(),
            Self::Http2 => {
                // An empty SETTINGS frame, then GOAWAY: last stream 0, ENHANCE_YOUR_CALM, the reason.
                let mut bytes = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
                let length = 8 + reason.len() as u32;
                bytes.extend_from_slice(&length.to_be_bytes()[1..]);
                bytes.extend_from_slice(&[7, 0, 0, 0, 0, 0]);
                bytes.extend_from_slice(&0u32.to_be_bytes());
                bytes.extend_from_slice(&0xb_u32.to_be_bytes());
                bytes.extend_from_slice(reason.as_bytes());
                bytes
            }
        }
    }

    /// Bytes that a client must send within the time limit. None for HTTP/1, which has its own limit for the whole head.
    fn awaited(self) -> usize {
        match self {
            Self::Http1 => 0,
            Self::Http2 => 24,
        }
    }
}

/// Accepts the connections of one port up to a limit.
pub struct Listener {
    listener: TcpListener,
    open: Arc<AtomicUsize>,
    limit: usize,
    idle: Duration,
    protocol: RefusalProtocol,
    watched: Arc<dyn Watched>,
    pause: Duration,
    lingering: Arc<Semaphore>,
}

impl Listener {
    /// `idle` limits the wait for the first bytes and for a write that stalls.
    pub fn new(
        listener: TcpListener,
        limit: usize,
        idle: Duration,
        protocol: RefusalProtocol,
        watched: Arc<dyn Watched>,
    ) -> Self {
        let (open, lingering) = (Arc::default(), Arc::new(Semaphore::new(LINGERING)));
        Self { listener, open, limit, idle, protocol, watched, pause: FIRST_PAUSE, lingering }
    }

    /// The next connection within the limit. Cancel safe.
    pub async fn accept(&mut self) -> Guarded<TcpStream> {
        loop {
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_about_one_connection(&error) => continue,
                Err(error) => {
                    // Logs once for a row of failures.
                    if self.pause == FIRST_PAUSE {
                        tracing::warn!(%error, "no connection can be accepted: trying again");
                    }
                    #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
                    tokio::time::sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                    continue;
                }
            };
            self.pause = FIRST_PAUSE;
            let Some(place) = self.place() else {
                self.watched.refused();
                self.refuse(stream);
                continue;
            };
            // Without this an answer waits up to 40 ms until the client acknowledges the previous frame.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "answers on a connection may wait for acknowledgements");
            }
            return Guarded::new(stream, self.protocol.awaited(), self.idle, place).with_peer(address.ip());
        }
    }

    /// Sends the refusal and waits a moment for the client to close. If this side closed with unread bytes, the kernel
    /// would reset the connection and the client could lose the refusal.
    fn refuse(&self, mut stream: TcpStream) {
        // The buffer of a new connection is empty, so one attempt is enough.
        let _ = stream.try_write(&self.protocol.bytes(self.limit));
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

    /// All further connections.
    pub fn into_stream(self) -> impl futures::Stream<Item = io::Result<Guarded<TcpStream>>> {
        futures::stream::unfold(self, |mut listener| async move {
            let connection = listener.accept().await;
            Some((Ok(connection), listener))
        })
    }

    fn place(&self) -> Option<Place> {
        // Only this task opens connections, so a place that is free stays free.
        if self.open.load(Relaxed) >= self.limit {
            return None;
        }
        Some(Place::taken(Arc::clone(&self.open), Arc::clone(&self.watched)))
    }
}

/// True if only this connection failed, before it was accepted; another accept may succeed at once.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use super::*;

    #[derive(Debug, Default)]
    struct Counts {
        open: AtomicI64,
        refused: AtomicI64,
    }

    impl Watched for Counts {
        fn opened(&self) {
            self.open.fetch_add(1, Relaxed);
        }
        fn closed(&self) {
            self.open.fetch_sub(1, Relaxed);
        }
        fn refused(&self) {
            self.refused.fetch_add(1, Relaxed);
        }
    }

    async fn listener(limit: usize, protocol: RefusalProtocol) -> (Listener, std::net::SocketAddr, Arc<Counts>) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let watched = Arc::clone(&counts) as Arc<dyn Watched>;
        (Listener::new(socket, limit, Duration::from_secs(5), protocol, watched), address, counts)
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_so_and_closed() {
        for (protocol, begins) in
            [(RefusalProtocol::Http1, &b"HTTP/1.1 503 "[..]), (RefusalProtocol::Http2, &[0, 0, 0, 4, 0][..])]
        {
            let (mut listener, address, counts) = listener(1, protocol).await;
            let first = TcpStream::connect(address).await.unwrap();
            let place = listener.accept().await;
            let mut second = TcpStream::connect(address).await.unwrap();
            let (mut answer, mut third) = (Vec::new(), None);
            tokio::select! {
                _ = listener.accept() => panic!("there is no place"),
                read = second.read_to_end(&mut answer) => { read.unwrap(); }
            }
            assert!(answer.starts_with(begins), "{answer:?}");
            let text = String::from_utf8_lossy(&answer).into_owned();
            assert!(text.ends_with("too many connections, the limit is 1 (datacoord.connections.max)"), "{text}");
            assert_eq!((counts.open.load(Relaxed), counts.refused.load(Relaxed)), (1, 1));
            drop((first, place));
            third.replace(TcpStream::connect(address).await.unwrap());
            listener.accept().await;
            assert_eq!(counts.open.load(Relaxed), 0, "it was dropped at once");
        }
    }

    #[tokio::test]
    async fn a_client_of_grpc_hears_why_it_is_refused() {
        let (mut listener, address, _) = listener(0, RefusalProtocol::Http2).await;
        let accepting = tokio::spawn(async move { listener.accept().await });
        let socket = TcpStream::connect(address).await.unwrap();
        let (send, connection) = h2::client::handshake(socket).await.unwrap();
        let error = connection.await.err();
        let text = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains("too many connections"), "{text}");
        drop(send);
        accepting.abort();
    }
}

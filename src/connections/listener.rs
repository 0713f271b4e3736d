//! The listener: accepts while there are places, refuses in the words of the protocol, and waits when nothing is to be
//! had.

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

use super::Guarded;

/// Pauses between accepts that fail for want of something.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Refused connections that are waited for at once, and for how long: closed at once they may lose what they were told.
const LINGERING: usize = 16;
const LINGER: Duration = Duration::from_secs(1);

/// What is told to a connection for which there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// HTTP/1: status 503.
    Http1,
    /// HTTP/2: the connection is to be given up, with the reason.
    Http2,
}

impl Refusal {
    /// The bytes that say so.
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

    /// Bytes with which a client begins, which have to come in time. HTTP/1 has its own time limit for the whole head.
    fn awaited(self) -> usize {
        match self {
            Self::Http1 => 0,
            Self::Http2 => 24,
        }
    }
}

/// Is told of connections that come, go and are refused.
pub trait Watched: Send + Sync {
    fn opened(&self);
    fn closed(&self);
    fn refused(&self);
}

/// One connection of those that may be open; given back when it is dropped.
pub(super) struct Place {
    of: Option<(Arc<AtomicUsize>, Arc<dyn Watched>)>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("counted", &self.of.is_some()).finish()
    }
}

impl Place {
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { of: None }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((open, watched)) = self.of.take() {
            open.fetch_sub(1, Relaxed);
            watched.closed();
        }
    }
}

/// Accepts connections of one port, so many at once.
pub struct Listener {
    listener: TcpListener,
    open: Arc<AtomicUsize>,
    limit: usize,
    idle: Duration,
    refusal: Refusal,
    watched: Arc<dyn Watched>,
    pause: Duration,
    lingering: Arc<Semaphore>,
}

impl Listener {
    /// `idle` is how long the first bytes may take, and a write that waits.
    pub fn new(
        listener: TcpListener,
        limit: usize,
        idle: Duration,
        refusal: Refusal,
        watched: Arc<dyn Watched>,
    ) -> Self {
        let (open, lingering) = (Arc::default(), Arc::new(Semaphore::new(LINGERING)));
        Self { listener, open, limit, idle, refusal, watched, pause: FIRST_PAUSE, lingering }
    }

    /// The next connection that has a place. Cancel safe.
    pub async fn accept(&mut self) -> Guarded<TcpStream> {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) if is_about_one_connection(&error) => continue,
                Err(error) => {
                    // Once for all attempts that fail in a row.
                    if self.pause == FIRST_PAUSE {
                        tracing::warn!(%error, "no connection can be accepted: trying again");
                    }
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
            // Without this an answer waits up to 40 ms for the client to acknowledge the frame before it.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "answers on a connection may wait for acknowledgements");
            }
            return Guarded::new(stream, self.refusal.awaited(), self.idle, place);
        }
    }

    /// Says why, and waits a moment for the other side to close: bytes that it has sent and nobody has read would have the
    /// kernel throw away what it was told.
    fn refuse(&self, mut stream: TcpStream) {
        // What does not fit into the empty buffer of a new connection is not waited for.
        let _ = stream.try_write(&self.refusal.bytes(self.limit));
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

    /// All connections from now on.
    pub fn into_stream(self) -> impl futures::Stream<Item = io::Result<Guarded<TcpStream>>> {
        futures::stream::unfold(self, |mut listener| async move {
            let connection = listener.accept().await;
            Some((Ok(connection), listener))
        })
    }

    fn place(&self) -> Option<Place> {
        // Only this task takes places, so that what is free now stays free.
        if self.open.load(Relaxed) >= self.limit {
            return None;
        }
        self.open.fetch_add(1, Relaxed);
        self.watched.opened();
        Some(Place { of: Some((Arc::clone(&self.open), Arc::clone(&self.watched))) })
    }
}

/// True if another accept may succeed at once: the connection was gone before it was taken.
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

    async fn listener(limit: usize, refusal: Refusal) -> (Listener, std::net::SocketAddr, Arc<Counts>) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let watched = Arc::clone(&counts) as Arc<dyn Watched>;
        (Listener::new(socket, limit, Duration::from_secs(5), refusal, watched), address, counts)
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_so_and_closed() {
        for (refusal, begins) in [(Refusal::Http1, &b"HTTP/1.1 503 "[..]), (Refusal::Http2, &[0, 0, 0, 4, 0][..])] {
            let (mut listener, address, counts) = listener(1, refusal).await;
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
        let (mut listener, address, _) = listener(0, Refusal::Http2).await;
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

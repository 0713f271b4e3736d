//! Accepts connections up to a limit, refuses further ones in the words of their protocol, and pauses when an accept fails.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

use super::{
    handshake::handshake,
    io::Guarded,
    place::{ConnectionPlace, Watched},
    refusal::{ConnectionRefusal, RefusalProtocol, Refuser},
    stream::{Peer, Stream},
};
use crate::tls::PortTls;

/// First and longest pause after an accept that failed, for example for lack of descriptors.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection of a port.
pub type Connection = Guarded<Stream>;

/// Accepts the connections of one port up to a limit.
pub struct Listener {
    listener: TcpListener,
    open: Arc<AtomicUsize>,
    limit: usize,
    idle: Duration,
    protocol: RefusalProtocol,
    watched: Arc<dyn Watched>,
    pause: Duration,
    /// Nothing is accepted before this moment.
    rests_until: Option<Instant>,
    refuser: Refuser,
    tls: Option<Arc<PortTls>>,
    /// Handshakes under way; each holds a place. The listener ends them with itself.
    handshakes: JoinSet<Option<Connection>>,
}

impl Listener {
    /// `idle` limits the handshake, the wait for the first bytes and for a write that stalls. `tls`: connections begin
    /// with a handshake.
    pub fn new(
        listener: TcpListener,
        limit: usize,
        idle: Duration,
        protocol: RefusalProtocol,
        tls: Option<Arc<PortTls>>,
        watched: Arc<dyn Watched>,
    ) -> Self {
        let (open, refuser) = (Arc::default(), Refuser::new(protocol));
        let (pause, handshakes) = (FIRST_PAUSE, JoinSet::new());
        Self { listener, open, limit, idle, protocol, watched, pause, rests_until: None, refuser, tls, handshakes }
    }

    /// The next connection within the limit, ready for its protocol. Cancel safe.
    pub async fn accept(&mut self) -> Connection {
        loop {
            let accepted = tokio::select! {
                Some(shaken) = self.handshakes.join_next() => match shaken {
                    Ok(Some(connection)) => return connection,
                    Ok(None) => continue,
                    Err(died) => {
                        tracing::error!(error = %died, "a handshake died");
                        continue;
                    }
                },
                () = until(self.rests_until), if self.rests_until.is_some() => {
                    self.rests_until = None;
                    continue;
                }
                accepted = self.listener.accept(), if self.rests_until.is_none() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    self.pause = FIRST_PAUSE;
                    if let Some(connection) = self.admit(stream, address) {
                        return connection;
                    }
                }
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    // Logs once for a row of failures.
                    if self.pause == FIRST_PAUSE {
                        tracing::warn!(%error, "no connection can be accepted: trying again");
                    }
                    self.rests_until = Some(Instant::now() + self.pause);
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Gives the connection a place, and begins its handshake where there is one. Without a handshake it is ready.
    fn admit(&mut self, stream: TcpStream, address: SocketAddr) -> Option<Connection> {
        let Some(place) = self.place() else {
            self.watched.refused();
            let refusal = if self.tls.is_some() {
                ConnectionRefusal::TooManyForTls
            } else {
                ConnectionRefusal::TooMany { limit: self.limit }
            };
            self.refuser.refuse(stream, refusal);
            return None;
        };
        // Without this an answer waits up to 40 ms until the client acknowledges the previous frame.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers on a connection may wait for acknowledgements");
        }
        let (awaited, idle) = (self.protocol.awaited(), self.idle);
        let Some(tls) = self.tls.clone() else {
            let peer = Peer { address, has_certificate: false };
            return Some(Guarded::new(Stream::Plain(stream), peer, awaited, idle, place));
        };
        let (watched, refuser) = (Arc::clone(&self.watched), self.refuser.clone());
        self.handshakes.spawn(async move {
            match handshake(stream, tls, idle, refuser).await {
                Ok(stream) => {
                    let peer = Peer { address, has_certificate: stream.get_ref().1.peer_certificates().is_some() };
                    Some(Guarded::new(Stream::Tls(Box::new(stream)), peer, awaited, idle, place))
                }
                Err((fault, error)) => {
                    watched.failed(fault);
                    tracing::debug!(%address, fault = fault.as_str(), %error, "a handshake failed");
                    None
                }
            }
        });
        None
    }

    /// All further connections.
    pub fn into_stream(self) -> impl futures::Stream<Item = io::Result<Connection>> {
        futures::stream::unfold(self, |mut listener| async move {
            let connection = listener.accept().await;
            Some((Ok(connection), listener))
        })
    }

    fn place(&self) -> Option<ConnectionPlace> {
        // Only this task opens connections, so a place that is free stays free.
        if self.open.load(Relaxed) >= self.limit {
            return None;
        }
        Some(ConnectionPlace::taken(Arc::clone(&self.open), Arc::clone(&self.watched)))
    }
}

/// Waits until that moment, or for ever without one.
async fn until(moment: Option<Instant>) {
    match moment {
        #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// True if only this connection failed, before it was accepted; another accept may succeed at once.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests;

//! A connection that ends with a time-out when its first bytes do not arrive or its peer stops reading.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{place::ConnectionPlace, stream::Peer};

/// A connection with time limits. Dropping it frees its place.
#[derive(Debug)]
pub struct Guarded<S> {
    stream: S,
    peer: Peer,
    /// Bytes that still have to arrive before the first deadline.
    awaited: usize,
    idle: Duration,
    /// Runs until the awaited bytes have arrived.
    reading: Option<Pin<Box<Sleep>>>,
    /// Runs while a write waits.
    writing: Option<Pin<Box<Sleep>>>,
    _place: ConnectionPlace,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, peer: Peer, awaited: usize, idle: Duration, place: ConnectionPlace) -> Self {
        Self { stream, peer, awaited, idle, reading: None, writing: None, _place: place }
    }

    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Called while a write waits; ready with an error when it has waited too long.
    fn stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let idle = self.idle;
        #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
        let timer = self.writing.get_or_insert_with(|| Box::pin(sleep(idle)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(timed_out("the other side takes no more bytes"))
    }

    fn written<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_pending() {
            return self.stalled(cx).map(Err);
        }
        self.writing = None;
        outcome
    }
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.awaited == 0 {
            return outcome;
        }
        self.awaited = self.awaited.saturating_sub(buf.filled().len() - before);
        if self.awaited == 0 {
            self.reading = None;
        } else if outcome.is_pending() {
            let idle = self.idle;
            // One deadline for all awaited bytes: single bytes do not move it.
            #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
            let timer = self.reading.get_or_insert_with(|| Box::pin(sleep(idle)));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Err(timed_out("the first bytes of the connection did not come")));
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, outcome)
    }
}

impl<S: Unpin> tonic::transport::server::Connected for Guarded<S> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

/// A deadline that every step of progress moves.
#[derive(Debug)]
pub struct Deadline {
    after: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub fn new(after: Duration) -> Self {
        Self { after, timer: None }
    }

    /// Moves the deadline: there was progress.
    pub fn moved(&mut self) {
        if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(Instant::now() + self.after);
        }
    }

    /// Called without progress; ready when the deadline has passed.
    #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let after = self.after;
        self.timer.get_or_insert_with(|| Box::pin(sleep(after))).as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    fn guarded(buffer: usize) -> (tokio::io::DuplexStream, Guarded<tokio::io::DuplexStream>) {
        let (client, server) = duplex(buffer);
        let peer = Peer { address: ([127, 0, 0, 1], 1).into(), has_certificate: false };
        (client, Guarded::new(server, peer, 24, IDLE, ConnectionPlace::none()))
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_preface_ends_after_the_time_however_it_drips() {
        let (mut client, mut server) = guarded(64);
        let begun = Instant::now();
        let dripping = tokio::spawn(async move {
            for byte in 0..23u8 {
                if client.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            client
        });
        let mut buffer = [0; 64];
        let error = loop {
            match server.read(&mut buffer).await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!((error.kind(), begun.elapsed()), (io::ErrorKind::TimedOut, IDLE));
        dripping.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_begun_may_be_silent() {
        let (mut client, mut server) = guarded(64);
        client.write_all(&[0; 24]).await.unwrap();
        let mut buffer = [0; 64];
        server.read_exact(&mut buffer[..24]).await.unwrap();
        let silent = tokio::time::timeout(IDLE * 100, server.read(&mut buffer)).await;
        assert!(silent.is_err(), "nothing came, and nothing ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_to_a_peer_that_does_not_read_times_out() {
        let (client, mut server) = guarded(16);
        let begun = Instant::now();
        let error = server.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (io::ErrorKind::TimedOut, IDLE));
        drop(client);
    }
}

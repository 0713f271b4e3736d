//! An answer that holds the memory of its rows until it is sent, or until its client has taken none of it for too long.
//!
//! A client of HTTP/2 says how much it is ready to take. While that is nothing, the answer is not asked for its bytes, and
//! it could hold its memory for ever. So a task beside it watches for progress. Must never end an answer that moves.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, body::Body};

use crate::memory::Account;

/// The body of an answer with an account.
pub(super) struct Counted {
    held: Arc<Mutex<UnsentAnswer>>,
    idle: Duration,
    _watch: AbortOnDropHandle<()>,
}

struct UnsentAnswer {
    /// None: given up, or told so.
    answer: Option<(Body, Account)>,
    /// When bytes were last asked for.
    moved: Instant,
    is_given_up: bool,
}

impl Counted {
    /// Keeps only the memory that the answer takes, and that for no longer than `idle` without progress.
    pub(super) fn new(body: Body, memory: Account, idle: Duration) -> Self {
        memory.settle();
        let held = UnsentAnswer { answer: Some((body, memory)), moved: Instant::now(), is_given_up: false };
        let held = Arc::new(Mutex::new(held));
        let watch = tokio::spawn(give_up(Arc::downgrade(&held), idle));
        Self { held, idle, _watch: AbortOnDropHandle::new(watch) }
    }
}

/// Drops the answer once nothing of it was asked for during `idle`.
async fn give_up(held: Weak<Mutex<UnsentAnswer>>, idle: Duration) {
    loop {
        let until = {
            let Some(held) = held.upgrade() else { return };
            let mut held = held.lock();
            let until = held.moved + idle;
            if until <= Instant::now() {
                held.is_given_up = held.answer.take().is_some();
                return;
            }
            until
        };
        #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
        tokio::time::sleep_until(until).await;
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let held = &mut *self.held.lock();
        held.moved = Instant::now();
        match &mut held.answer {
            Some((body, _)) => Pin::new(body).poll_frame(cx),
            None if std::mem::take(&mut held.is_given_up) => {
                let idle = self.idle;
                Poll::Ready(Some(Err(Status::deadline_exceeded(format!(
                    "nothing of the answer was taken for {idle:?} (datacoord.connections.idleTimeout)"
                )))))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let held = self.held.lock();
        held.answer.as_ref().map_or(!held.is_given_up, |(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.held.lock().answer.as_ref().map_or_else(SizeHint::default, |(body, _)| body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::memory::Pool;

    const IDLE: Duration = Duration::from_secs(30);

    fn frames(count: usize) -> Body {
        let frames = (0..count).map(|n| Ok::<_, Status>(Frame::data(Bytes::from(vec![n as u8]))));
        Body::new(http_body_util::StreamBody::new(futures::stream::iter(frames)))
    }

    async fn next(answer: &mut Counted) -> Option<Result<Frame<Bytes>, Status>> {
        std::future::poll_fn(|cx| Pin::new(&mut *answer).poll_frame(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_taken_gives_its_memory_back() {
        let pool = Pool::new("some.key", 64 << 10);
        let memory = pool.account(64 << 10).await;
        memory.grow(20 << 10).unwrap();
        let mut answer = Counted::new(frames(2), memory, IDLE);
        assert_eq!(pool.used_bytes(), 20 << 10, "only what it takes");
        let waiting = pool.reserve(64 << 10);
        let begun = Instant::now();
        waiting.await;
        assert_eq!(begun.elapsed(), IDLE);
        let error = next(&mut answer).await.unwrap().unwrap_err();
        assert!(error.message().contains("datacoord.connections.idleTimeout"), "{error}");
        assert!(next(&mut answer).await.is_none() && answer.is_end_stream());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_moves_is_never_given_up() {
        let pool = Pool::new("some.key", 64 << 10);
        let memory = pool.account(64 << 10).await;
        memory.grow(64 << 10).unwrap();
        let mut answer = Counted::new(frames(5), memory, IDLE);
        for _ in 0..5 {
            tokio::time::sleep(IDLE * 9 / 10).await;
            assert!(next(&mut answer).await.unwrap().is_ok());
        }
        assert!(next(&mut answer).await.is_none());
        assert!(pool.reserve(1).now_or_never().is_none(), "it is still there");
        drop(answer);
        assert_eq!(pool.used_bytes(), 0);
    }
}

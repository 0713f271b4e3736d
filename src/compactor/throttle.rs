//! A limit on the bytes per second that merges read and write, changed while they run.
//!
//! A token bucket that may go into debt: a part of an object is moved at once, and the next caller waits until the debt
//! is paid. A part is as much as the limit allows in a fraction of a second, so the limit holds over any longer time.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::ProgressSink;
use crate::{
    clock::Clock,
    storage::{Pace, StorageError},
};

/// Allowance that is saved up while idle: too little for a second's average to show.
const BURST: Duration = Duration::from_millis(50);
/// Waiting is a sign of life at least this often, and a limit that was changed is noticed by then.
const BEAT: Duration = Duration::from_millis(500);
/// Parts that a second's allowance is moved in, unless they would be too small to be worth a request, or so large that
/// moving one takes long itself.
const PARTS_PER_SECOND: u64 = 40;
const LEAST_PART: u64 = 16 << 10;
const MOST_PART: u64 = 4 << 20;
/// The measured rate is that of this much of the past.
const WINDOW: Duration = Duration::from_secs(5);

/// Shared by all merges of a process. FIFO.
#[derive(Debug)]
pub struct Throttle {
    clock: Arc<dyn Clock>,
    state: Mutex<ThrottleState>,
    turn: tokio::sync::Mutex<()>,
    changed: Notify,
}

#[derive(Debug)]
struct ThrottleState {
    bucket: TokenBucket,
    meter: ByteMeter,
}

impl Throttle {
    /// `bytes_per_second` 0: no limit.
    pub fn new(clock: Arc<dyn Clock>, bytes_per_second: u64) -> Self {
        let bucket = TokenBucket::new(bytes_per_second, clock.monotonic());
        let state = Mutex::new(ThrottleState { bucket, meter: ByteMeter::default() });
        Self { clock, state, turn: tokio::sync::Mutex::default(), changed: Notify::new() }
    }

    /// Holds at once, also for callers that wait. Debt of the old limit is forgotten.
    pub fn set(&self, bytes_per_second: u64) {
        self.state.lock().bucket.set(bytes_per_second, self.clock.monotonic());
        self.changed.notify_waiters();
    }

    /// Bytes per second; 0: no limit.
    pub fn limit(&self) -> u64 {
        self.state.lock().bucket.rate
    }

    /// Bytes per second that were moved over the last seconds.
    pub fn measured(&self) -> f64 {
        self.state.lock().meter.rate(self.clock.monotonic())
    }

    /// How one run moves bytes: its `stop` ends the wait, `progress` is told that it waits.
    pub fn pace(self: Arc<Self>, stop: CancellationToken, progress: ProgressSink) -> Arc<dyn Pace> {
        Arc::new(RunPace { throttle: self, stop, progress })
    }

    /// Waits until `bytes` may be moved. Calls `alive` while it waits. Safe to drop.
    #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
    pub(super) async fn take(&self, bytes: u64, alive: impl Fn()) {
        if self.try_take(bytes).is_ok() {
            return;
        }
        let turn = self.turn.lock();
        tokio::pin!(turn);
        let _turn = loop {
            tokio::select! {
                biased;
                turn = &mut turn => break turn,
                () = tokio::time::sleep(BEAT) => alive(),
            }
        };
        while let Err(pause) = self.try_take(bytes) {
            tokio::select! {
                biased;
                () = tokio::time::sleep(pause.min(BEAT)) => {}
                () = self.changed.notified() => {}
            }
            alive();
        }
    }

    fn try_take(&self, bytes: u64) -> Result<(), Duration> {
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        state.bucket.take(bytes, now)?;
        state.meter.note(now, bytes);
        Ok(())
    }
}

/// The throttle as one run sees it.
#[derive(Debug)]
struct RunPace {
    throttle: Arc<Throttle>,
    stop: CancellationToken,
    progress: ProgressSink,
}

#[async_trait]
impl Pace for RunPace {
    fn part(&self) -> Option<u64> {
        let rate = self.throttle.limit();
        (rate > 0).then(|| (rate / PARTS_PER_SECOND).clamp(LEAST_PART, MOST_PART))
    }

    async fn take(&self, bytes: u64) -> Result<(), StorageError> {
        let taken = self.throttle.take(bytes, || self.progress.alive());
        let stopped = || StorageError::Task("stopped while it was throttled".to_owned());
        self.stop.run_until_cancelled(taken).await.ok_or_else(stopped)
    }
}

/// A value with a time argument.
#[derive(Debug)]
struct TokenBucket {
    /// Bytes per second; 0: no limit.
    rate: u64,
    /// Bytes; negative is debt.
    balance: f64,
    at: Duration,
}

impl TokenBucket {
    fn new(rate: u64, now: Duration) -> Self {
        Self { rate, balance: 0.0, at: now }
    }

    fn set(&mut self, rate: u64, now: Duration) {
        *self = Self::new(rate, now);
    }

    /// Takes `bytes`, unless there is debt: then says when there will be none.
    fn take(&mut self, bytes: u64, now: Duration) -> Result<(), Duration> {
        if self.rate == 0 {
            return Ok(());
        }
        let rate = self.rate as f64;
        let earned = now.saturating_sub(self.at).as_secs_f64() * rate;
        self.balance = (self.balance + earned).min(BURST.as_secs_f64() * rate);
        self.at = self.at.max(now);
        if self.balance < 0.0 {
            // A debt of years (a tiny limit, a large object) is waited for in steps.
            return Err(Duration::try_from_secs_f64(-self.balance / rate).unwrap_or(Duration::MAX));
        }
        self.balance -= bytes as f64;
        Ok(())
    }
}

/// Bytes moved in the last seconds, in steps of a tenth of a second.
#[derive(Debug, Default)]
struct ByteMeter {
    steps: VecDeque<(Duration, u64)>,
}

impl ByteMeter {
    fn note(&mut self, now: Duration, bytes: u64) {
        let step = Duration::from_millis((now.as_millis() / 100 * 100) as u64);
        match self.steps.back_mut() {
            Some((at, sum)) if *at == step => *sum += bytes,
            _ => self.steps.push_back((step, bytes)),
        }
        self.trim(now);
    }

    fn rate(&mut self, now: Duration) -> f64 {
        self.trim(now);
        self.steps.iter().map(|(_, bytes)| *bytes).sum::<u64>() as f64 / WINDOW.as_secs_f64()
    }

    fn trim(&mut self, now: Duration) {
        while self.steps.front().is_some_and(|(at, _)| now.saturating_sub(*at) > WINDOW) {
            self.steps.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::ManualClock;

    const MB: u64 = 1 << 20;

    /// Moves objects one after the other for so long, and returns the bytes.
    fn moved(bucket: &mut TokenBucket, from: Duration, seconds: f64, object: u64) -> u64 {
        let (mut now, end, mut bytes) = (from, from + Duration::from_secs_f64(seconds), 0);
        while now < end {
            match bucket.take(object, now) {
                Ok(()) => bytes += object,
                Err(pause) => now += pause.max(Duration::from_micros(1)),
            }
        }
        bytes
    }

    proptest! {
        /// Over three seconds the rate is the limit's, ±5 %, or ± one object where that is more.
        #[test]
        fn the_average_is_the_limit(rate in MB..500 * MB, object in 1000..4 * MB, from in 0..1000u64) {
            let from = Duration::from_secs(from);
            let bytes = moved(&mut TokenBucket::new(rate, from), from, 3.0, object) as f64;
            let expected = 3.0 * rate as f64;
            prop_assert!((bytes - expected).abs() <= (0.05 * expected).max(object as f64), "{bytes} of {expected}");
        }

        /// A change holds at once: the two seconds after it are at the new rate, whatever the old one.
        #[test]
        fn a_change_holds_at_once(before in MB..500 * MB, after in MB..500 * MB, large in MB..64 * MB) {
            let mut bucket = TokenBucket::new(before, Duration::ZERO);
            moved(&mut bucket, Duration::ZERO, 2.0, large);
            let now = Duration::from_secs(2);
            bucket.set(after, now);
            let object = after / 100;
            let bytes = moved(&mut bucket, now, 2.0, object) as f64;
            let expected = 2.0 * after as f64;
            prop_assert!((bytes - expected).abs() <= 0.05 * expected, "{bytes} of {expected}");
        }
    }

    #[test]
    fn no_limit() {
        let mut bucket = TokenBucket::new(0, Duration::ZERO);
        for _ in 0..1000 {
            assert_eq!(bucket.take(u64::MAX, Duration::ZERO), Ok(()));
        }
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let mut bucket = TokenBucket::new(100 * MB, Duration::ZERO);
        let later = Duration::from_secs(3600);
        assert!(moved(&mut bucket, later, 1.0, MB) <= 107 * MB);
    }

    #[tokio::test]
    async fn a_waiter_gets_the_new_limit() {
        let clock = Arc::new(ManualClock::at(1000));
        let throttle = Arc::new(Throttle::new(clock.clone() as Arc<dyn Clock>, 1));
        throttle.take(1 << 30, || ()).await;
        // A debt of 34 years. Two wait for it, the second behind the first.
        let wait = || {
            let throttle = Arc::clone(&throttle);
            tokio::spawn(async move { throttle.take(1, || ()).await })
        };
        let (first, second) = (wait(), wait());
        tokio::task::yield_now().await;
        throttle.set(0);
        first.await.unwrap();
        second.await.unwrap();
        assert_eq!(throttle.measured(), ((1u64 << 30) + 2) as f64 / 5.0);
        clock.advance(Duration::from_secs(6));
        assert_eq!(throttle.measured(), 0.0);
    }
}

//! Power and weather: when the devices of a process stop, and how they fail while they run.

use std::sync::{
    Mutex,
    atomic::{AtomicI64, Ordering},
};

use tokio_util::sync::CancellationToken;

use crate::kit::numbers::Numbers;

/// The power of one process. Each device takes it for every step of every request, so a cut may fall between any two of
/// them; after the cut no device does anything.
#[derive(Debug)]
pub struct Plug {
    left: AtomicI64,
    off: CancellationToken,
}

impl Default for Plug {
    fn default() -> Self {
        Self { left: AtomicI64::new(i64::MAX), off: CancellationToken::new() }
    }
}

impl Plug {
    /// Cuts the power after so many steps of the devices.
    pub fn cut_after(&self, steps: i64) {
        self.left.store(steps.max(1), Ordering::SeqCst);
    }

    pub fn cut(&self) {
        self.off.cancel();
    }

    /// One step of a device; false: there is no power, and nothing may happen any more.
    pub fn step(&self) -> bool {
        if !self.off.is_cancelled() && self.left.fetch_sub(1, Ordering::SeqCst) <= 1 {
            self.off.cancel();
        }
        !self.off.is_cancelled()
    }

    /// [`Self::step`] for a caller that is to wait for ever without power.
    pub async fn pass(&self) {
        if !self.step() {
            std::future::pending::<()>().await;
        }
    }

    pub async fn off(&self) {
        self.off.cancelled().await;
    }
}

/// How a device fails, per thousand requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// Nothing happens, and the caller gets an error.
    pub error: u64,
    /// The request is carried out, and the caller gets an error.
    pub answer_lost: u64,
    /// A read returns a part and no error.
    pub short_read: u64,
    /// No room for anything that is written.
    pub full: bool,
    /// Longest time that a step takes.
    pub latency_ms: u64,
}

/// The fate of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Done,
    Error,
    AnswerLost,
    Short,
    Full,
}

/// The weather of one device, and its own sequence of numbers.
#[derive(Debug)]
pub struct Sky {
    now: Mutex<Weather>,
    numbers: Mutex<Numbers>,
}

impl Sky {
    pub fn new(seed: u64, device: u64) -> Self {
        Self { now: Mutex::default(), numbers: Mutex::new(Numbers::of(seed, &[device])) }
    }

    pub fn set(&self, weather: Weather) {
        *self.now.lock().unwrap() = weather;
    }

    pub fn now(&self) -> Weather {
        *self.now.lock().unwrap()
    }

    pub fn below(&self, limit: u64) -> u64 {
        self.numbers.lock().unwrap().below(limit)
    }

    pub fn fate(&self, writes: bool) -> Fate {
        let Weather { error, answer_lost, short_read, full, latency_ms: _ } = self.now();
        let drawn = self.below(1000);
        match drawn {
            _ if writes && full => Fate::Full,
            _ if drawn < error => Fate::Error,
            _ if drawn < error + answer_lost => Fate::AnswerLost,
            _ if !writes && drawn < error + answer_lost + short_read => Fate::Short,
            _ => Fate::Done,
        }
    }

    /// The time that the next step takes.
    pub fn pause(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.below(self.now().latency_ms + 1))
    }
}

/// Lets the time of one step pass.
pub async fn pass_time(sky: &Sky) {
    let pause = sky.pause();
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}

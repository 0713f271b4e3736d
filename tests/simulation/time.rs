//! The clock of all processes of one life: it goes on over their ends, and only while they wait.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use datacoord::clock::Clock;
use tokio::time::Instant;

/// November 2023.
const BEGIN_MS: u64 = 1_700_000_000_000;

#[derive(Debug, Default)]
struct Passed {
    before: Duration,
    /// When the runtime of the current process began; none between two processes.
    since: Option<Instant>,
}

impl Passed {
    fn now(&self) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

#[derive(Debug, Default)]
pub struct VirtualClock(Mutex<Passed>);

impl VirtualClock {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// To be called in a runtime: its time counts from now on.
    pub fn go_on(&self) {
        let mut passed = self.0.lock().unwrap();
        passed.since = Some(Instant::now());
    }

    /// To be called in that runtime: its time counts no more.
    pub fn stop(&self) {
        let mut passed = self.0.lock().unwrap();
        passed.before = passed.now();
        passed.since = None;
    }
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> u64 {
        BEGIN_MS + self.monotonic().as_millis() as u64
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().unwrap().now()
    }
}

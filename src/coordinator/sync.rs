//! The locks of the coordinator's memory.
//!
//! With the feature `lock-times`, which only the benchmark at a million segments has, they note for how long they are
//! held; otherwise they are parking_lot's and nothing else.

#[cfg(not(feature = "lock-times"))]
pub(crate) use parking_lot::{Mutex, RwLock};

#[cfg(feature = "lock-times")]
pub(crate) use timed::{Mutex, RwLock};

#[cfg(feature = "lock-times")]
pub mod timed {
    //! Holds are measured in the processor time of the thread that holds: waiting for a core is no property of the code.

    use std::{
        ops::{Deref, DerefMut},
        sync::atomic::{AtomicBool, AtomicU64, Ordering},
        time::Duration,
    };

    use rustix::time::{ClockId, clock_gettime};

    static MEASURING: AtomicBool = AtomicBool::new(false);
    static LONGEST_NS: AtomicU64 = AtomicU64::new(0);

    /// Begins a new measurement, or ends it.
    pub fn measure(on: bool) {
        MEASURING.store(on, Ordering::SeqCst);
        if on {
            LONGEST_NS.store(0, Ordering::SeqCst);
        }
    }

    /// The longest hold that ended since measuring began.
    pub fn longest() -> Duration {
        Duration::from_nanos(LONGEST_NS.load(Ordering::SeqCst))
    }

    fn thread_time_ns() -> u64 {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    #[derive(Debug)]
    pub(crate) struct TimedGuard<G> {
        guard: G,
        since_ns: Option<u64>,
    }

    impl<G> TimedGuard<G> {
        fn new(guard: G) -> Self {
            Self { guard, since_ns: MEASURING.load(Ordering::Relaxed).then(thread_time_ns) }
        }
    }

    impl<G: Deref> Deref for TimedGuard<G> {
        type Target = G::Target;
        fn deref(&self) -> &G::Target {
            &self.guard
        }
    }

    impl<G: DerefMut> DerefMut for TimedGuard<G> {
        fn deref_mut(&mut self) -> &mut G::Target {
            &mut self.guard
        }
    }

    impl<G> Drop for TimedGuard<G> {
        fn drop(&mut self) {
            if let Some(since_ns) = self.since_ns {
                let held_ns = thread_time_ns().saturating_sub(since_ns);
                if held_ns > LONGEST_NS.fetch_max(held_ns, Ordering::Relaxed) && held_ns > 500_000 {
                    let place = std::backtrace::Backtrace::force_capture();
                    tracing::warn!(held_ns, %place, "a lock was held for long");
                }
            }
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn lock(&self) -> TimedGuard<parking_lot::MutexGuard<'_, T>> {
            TimedGuard::new(self.0.lock())
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(parking_lot::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(parking_lot::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> TimedGuard<parking_lot::RwLockReadGuard<'_, T>> {
            TimedGuard::new(self.0.read())
        }

        pub(crate) fn write(&self) -> TimedGuard<parking_lot::RwLockWriteGuard<'_, T>> {
            TimedGuard::new(self.0.write())
        }
    }

    impl<T> From<T> for RwLock<T> {
        fn from(value: T) -> Self {
            Self::new(value)
        }
    }
}

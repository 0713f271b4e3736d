//! Work that no client waits for, on threads that give way to those that answer clients.
//!
//! A call needs a core for less than a millisecond: it must not stand in line for it behind merges that fill every core,
//! or behind a look at every segment there is. Whatever runs here should hold no lock for long, because who waits for the
//! lock waits behind everybody.

use std::io;

use rustix::process::{getpriority_process, setpriority_process};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinError,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::warn;

/// Of background threads, above that of all others; the kernel stops at 19.
const NICENESS: i32 = 10;

/// Threads that may block, in any runtime of the process: each keeps some memory, and the disk is busy with fewer.
///
/// Whatever runs on one of them must not wait for other work of its pool, or all of them may wait for what none of them
/// does. Readers of windows do, so they are fewer (`storage`).
pub(crate) const LEAST_BLOCKING_THREADS: usize = 16;
/// For each core, of the runtime that answers calls: some wait for the disk while others compute.
const BLOCKING_THREADS_PER_CORE: usize = 4;
const MOST_BLOCKING_THREADS: usize = 64;

/// Threads that may block for the work of calls.
pub(crate) fn blocking_threads(cores: usize) -> usize {
    cores.saturating_mul(BLOCKING_THREADS_PER_CORE).clamp(LEAST_BLOCKING_THREADS, MOST_BLOCKING_THREADS)
}

/// Puts the current thread behind those that answer clients, for good.
pub(crate) fn give_way() {
    // Elsewhere it is the process that has a niceness, and calls would give way too.
    if !cfg!(target_os = "linux") {
        return;
    }
    // Counted from the first thread: the one that started this one may have given way already, and hands that on.
    let process = Some(rustix::process::getpid());
    let set = getpriority_process(process).and_then(|own| setpriority_process(None, own + NICENESS));
    if let Err(error) = set {
        warn!(%error, "background work runs at the priority of calls");
    }
}

/// Lets those that wait go first, from within work that makes no calls for long: a kernel may look for them only when it is
/// called, or at its next tick, which may be 4 ms away.
pub(crate) fn let_others_go_first() {
    std::thread::yield_now();
}

/// Runs work that blocks, or computes for milliseconds, on a thread of the runtime that may block.
///
/// Dropping the future drops work that has not begun; work that has begun runs to its end.
///
/// # Errors
/// The work's own. A panic in it, and the end of the runtime, become the caller's error too.
pub(crate) async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<JoinError> + Send + 'static,
{
    AbortOnDropHandle::new(tokio::task::spawn_blocking(work)).await?
}

/// Threads for background work. Dropping it ends what runs there, without waiting.
#[derive(Debug)]
pub(crate) struct Background {
    handle: Handle,
    /// There until this is dropped.
    runtime: Option<Runtime>,
    /// Everything that runs, also what nobody waits for any more.
    tasks: TaskTracker,
}

impl Background {
    /// `threads` begin the work; those that block for it come and go, a few at a time, and must not wait for each other.
    ///
    /// # Errors
    /// Threads that can't be started.
    pub(crate) fn new(name: &str, threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(LEAST_BLOCKING_THREADS)
            .thread_name(name)
            .on_thread_start(give_way)
            .enable_all()
            .build()?;
        let tasks = TaskTracker::new();
        tasks.close();
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime), tasks })
    }

    /// Begins; whoever drops the handle ends it at its next pause.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        AbortOnDropHandle::new(self.tasks.spawn_on(work, &self.handle))
    }

    /// Waits until nothing runs, and nothing of what ran is left.
    pub(crate) async fn idle(&self) {
        self.tasks.wait().await;
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // The thread that drops it may be one that must not block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_of_the_caller() {
        let failed = blocking(|| -> Result<(), JoinError> { panic!("of the work") }).await.unwrap_err();
        assert!(failed.to_string().contains("of the work"), "{failed}");
        assert_eq!(blocking(|| Ok::<_, JoinError>(7)).await.unwrap(), 7);
    }

    #[test]
    fn a_thread_gives_way_as_far_as_the_one_that_started_it_and_no_further() {
        let given = || {
            give_way();
            getpriority_process(None).unwrap()
        };
        let own = getpriority_process(Some(rustix::process::getpid())).unwrap();
        let both = thread::spawn(move || (given(), thread::spawn(given).join().unwrap())).join().unwrap();
        let expected = (own + NICENESS).min(19);
        assert_eq!(both, (expected, expected));
    }
}

//! Threads of low priority for work that no client waits for.
//!
//! A call needs a core for less than a millisecond. It must not wait for one behind merges that fill every core, or behind
//! a scan of all segments. Background work must never hold a lock for long: a request that waits for the lock would wait at
//! the low priority of its holder.

use std::io;

use rustix::process::{getpriority_process, setpriority_process};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinError,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::warn;

/// Niceness of background threads, added to that of the process. The kernel caps it at 19.
const NICENESS: i32 = 10;

/// Fewest blocking threads of any runtime of the process. Not more, because each thread keeps some memory and fewer are
/// enough to keep a disk busy.
///
/// Work on a blocking thread must not wait for other work of its pool: if all threads waited, none would do that work.
/// Readers of windows do wait, so `storage` allows fewer of them than there are threads.
pub(crate) const LEAST_BLOCKING_THREADS: usize = 16;
/// Blocking threads per core of the runtime that answers calls: some wait for the disk while others compute.
const BLOCKING_THREADS_PER_CORE: usize = 4;
const MOST_BLOCKING_THREADS: usize = 64;

/// Number of blocking threads of the runtime that answers calls.
pub(crate) fn blocking_threads(cores: usize) -> usize {
    cores.saturating_mul(BLOCKING_THREADS_PER_CORE).clamp(LEAST_BLOCKING_THREADS, MOST_BLOCKING_THREADS)
}

/// Permanently lowers this thread's priority below request threads.
pub(crate) fn give_way() {
    // On other systems niceness belongs to the whole process, so this would slow down requests too.
    if !cfg!(target_os = "linux") {
        return;
    }
    // Adds to the niceness of the first thread: the parent thread may have a lowered priority, which this thread inherits.
    let process = Some(rustix::process::getpid());
    let set = getpriority_process(process).and_then(|own| setpriority_process(None, own + NICENESS));
    if let Err(error) = set {
        warn!(%error, "background work runs at the priority of calls");
    }
}

/// Yields the CPU; call it from long compute loops. Otherwise a waiting thread may get the core only at the kernel's next
/// tick, up to 4 ms later.
pub(crate) fn let_others_go_first() {
    std::thread::yield_now();
}

/// Runs work that blocks, or computes for milliseconds, on a blocking thread of the runtime.
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

/// A runtime for background work. Dropping it ends its tasks without waiting for them.
#[derive(Debug)]
pub(crate) struct Background {
    handle: Handle,
    /// `None` only while this is dropped.
    runtime: Option<Runtime>,
    /// All running tasks, also those whose handle was dropped.
    tasks: TaskTracker,
}

impl Background {
    /// Starts a runtime with `threads` worker threads, and up to `LEAST_BLOCKING_THREADS` blocking threads when needed.
    ///
    /// # Errors
    /// The threads can't be started.
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

    /// Starts a task. Dropping the handle ends the task at its next await.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        AbortOnDropHandle::new(self.tasks.spawn_on(work, &self.handle))
    }

    /// Waits until all tasks have ended and their values are dropped.
    pub(crate) async fn idle(&self) {
        self.tasks.wait().await;
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // The dropping thread may be an async one, which must not block.
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

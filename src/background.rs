//! Threads of low priority for work that no client waits for.
//!
//! A call needs a core for less than a millisecond. It must not wait for one behind merges that fill every core, or behind
//! a scan of all segments. While reads run, these threads leave some cores to them altogether. Background work must never
//! hold a lock for long: a request that waits for the lock would wait at the low priority of its holder.
//!
//! All other rooms ask here for a thread, and for a wait on one. So work can run on a [`crate::machine::Machine`] that is
//! not the real one.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::pin,
    sync::Arc,
};

use parking_lot::Mutex;
use rustix::process::{getpriority_process, setpriority_process};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
    task::JoinError,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::warn;

use crate::machine;

#[cfg(target_os = "linux")]
mod spared;

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

/// A read that runs, until this is dropped. Where threads can be kept from cores, background threads leave some to it.
#[derive(Debug)]
pub(crate) struct ReadRuns {
    #[cfg(target_os = "linux")]
    _cores: Option<spared::ReadOnSpared>,
}

impl ReadRuns {
    pub(crate) fn begin() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            _cores: spared::read_begins(),
        }
    }
}

/// Permanently lowers this thread's priority below request threads, and has it leave cores to reads.
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
    #[cfg(target_os = "linux")]
    spared::join();
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
    let outcome = Arc::new(Mutex::new(None));
    let told = Arc::clone(&outcome);
    run_blocking(Box::new(move || *told.lock() = Some(work()))).await?;
    // Work that ended without a panic has left its outcome.
    let outcome = outcome.lock().take();
    outcome.unwrap_or_else(|| resume_unwind(Box::new("work that blocks ended without an outcome")))
}

/// The part of [`blocking`] that is the same for all kinds of work, compiled once: a task of tokio is much code.
async fn run_blocking(work: Box<dyn FnOnce() + Send>) -> Result<(), JoinError> {
    let Some(machine) = machine::in_place() else {
        return AbortOnDropHandle::new(tokio::task::spawn_blocking(work)).await;
    };
    // A task of its own, so that a panic and the end of the runtime become the same error as above.
    let task = tokio::spawn(async move {
        let (done, outcome) = oneshot::channel();
        // The receiver is gone if the runtime has ended.
        let run = move || drop(done.send(catch_unwind(AssertUnwindSafe(work))));
        match machine.begin(Box::new(run)) {
            Ok(()) => match outcome.await {
                Ok(Ok(())) => {}
                Ok(Err(panic)) => resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
            Err(error) => resume_unwind(Box::new(format!("no thread for work that blocks: {error}"))),
        }
    });
    AbortOnDropHandle::new(task).await
}

/// Cores that work is divided among; 1 if their number is unknown.
pub(crate) fn cores() -> usize {
    machine::in_place()
        .map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), |machine| machine.cores())
}

/// Begins work on a thread of its own, for work that lasts or waits for threads of a pool.
///
/// # Errors
/// The thread can't be started.
pub(crate) fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    match machine::in_place() {
        None => std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop),
        Some(machine) => machine.begin(Box::new(work)),
    }
}

/// Waits on a thread that drives no runtime, for a future that needs none.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    match machine::in_place() {
        None => futures::executor::block_on(future),
        Some(machine) => wait_on(&*machine, future),
    }
}

/// Waits on a thread that drives no runtime, for a future whose timers and tasks are those of a runtime.
pub(crate) fn wait_in<T>(runtime: &Handle, future: impl Future<Output = T>) -> T {
    match machine::in_place() {
        None => runtime.block_on(future),
        Some(machine) => wait_on(&*machine, future),
    }
}

fn wait_on<T>(machine: &dyn machine::Machine, future: impl Future<Output = T>) -> T {
    let mut output = None;
    machine.wait(pin!(async { output = Some(future.await) }));
    // A machine that returns earlier breaks its promise, and there is no value to go on with.
    output.unwrap_or_else(|| resume_unwind(Box::new("the machine did not wait")))
}

/// Threads of low priority that compute.
#[derive(Debug, Clone)]
pub(crate) struct ComputePool {
    /// None: a machine is in place, which has a thread for each piece of work.
    threads: Option<Arc<rayon::ThreadPool>>,
}

impl ComputePool {
    /// # Errors
    /// The threads can't be started.
    pub(crate) fn new(name: &'static str, threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        if machine::in_place().is_some() {
            return Ok(Self { threads: None });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(move |number| format!("{name}-{number}"))
            .start_handler(|_| give_way())
            .build()?;
        Ok(Self { threads: Some(Arc::new(pool)) })
    }

    /// Runs work as soon as a thread is free, in the order of the calls. The work must not panic.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn spawn(&self, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        match (&self.threads, machine::in_place()) {
            (Some(threads), _) => {
                threads.spawn_fifo(work);
                Ok(())
            }
            (None, Some(machine)) => machine.begin(Box::new(work)),
            (None, None) => Err(io::Error::other("the machine of these threads is gone")),
        }
    }
}

/// A runtime for background work. Dropping it ends its tasks without waiting for them.
#[derive(Debug)]
pub(crate) struct Background {
    handle: Handle,
    /// `None` while this is dropped, and if a machine is in place: then tasks run in the caller's runtime.
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
        let tasks = TaskTracker::new();
        tasks.close();
        if machine::in_place().is_some() {
            return Ok(Self { handle: Handle::current(), runtime: None, tasks });
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .max_blocking_threads(LEAST_BLOCKING_THREADS)
            .thread_name(name)
            .on_thread_start(give_way)
            .enable_all()
            .build()?;
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

#[cfg(test)]
mod tests;

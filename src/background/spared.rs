//! Cores that background threads leave to reads, while reads run.
//!
//! Niceness decides over the time that threads get, and not over how soon: where a merge is on every core, a thread that
//! wakes up for a search is put behind another one as often as not. With a core that no merge is on, it runs at once. A
//! merge beside searches takes hardly longer, because searches leave it little of that core.
//!
//! Must never change the cores of a thread that answers calls, or keep background threads from a core for long after the
//! last read.

use std::{
    cell::OnceCell,
    sync::{
        Once,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use rustix::{
    io::Errno,
    process::{Pid, getpid},
    thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity},
};
use tracing::warn;

use crate::machine;

/// Cores are given back when no read has run for so long, at the latest after twice this time.
const QUIET: Duration = Duration::from_millis(200);
/// One core in so many is spared, at least one, and never the last.
const CORES_PER_SPARED: usize = 4;

static OF_PROCESS: SparedCores = SparedCores::new();
/// Told once.
static REFUSED: Once = Once::new();

thread_local! {
    static OWN: OnceCell<SparingThread> = const { OnceCell::new() };
}

/// From now on this thread leaves cores to reads.
pub(super) fn join() {
    OWN.with(|own| {
        own.get_or_init(|| OF_PROCESS.join());
    });
}

/// A read begins. None: threads are not those of this process.
pub(crate) fn read_begins() -> Option<ReadOnSpared> {
    machine::in_place().is_none().then(|| OF_PROCESS.read_begins())
}

/// A read that runs, until this is dropped.
#[derive(Debug)]
pub(crate) struct ReadOnSpared(&'static SparedCores);

impl Drop for ReadOnSpared {
    fn drop(&mut self) {
        self.0.has_read.store(true, SeqCst);
        self.0.reads.fetch_sub(1, SeqCst);
    }
}

/// Of a background thread, until it ends.
#[derive(Debug)]
struct SparingThread(&'static SparedCores, Pid);

impl Drop for SparingThread {
    fn drop(&mut self) {
        self.0.state.lock().threads.retain(|thread| *thread != self.1);
    }
}

#[derive(Debug)]
struct SparedCores {
    state: Mutex<Sparing>,
    /// A copy of the state's, for reads that find it as they need it.
    are_spared: AtomicBool,
    /// Told when cores are spared, and when they are given back.
    changed: Condvar,
    reads: AtomicUsize,
    /// A read has ended since the watch looked last.
    has_read: AtomicBool,
}

#[derive(Debug)]
struct Sparing {
    /// Those of low priority.
    threads: Vec<Pid>,
    are_spared: bool,
    /// A thread gives the cores back.
    is_watched: bool,
}

impl SparedCores {
    const fn new() -> Self {
        Self {
            state: Mutex::new(Sparing { threads: Vec::new(), are_spared: false, is_watched: false }),
            are_spared: AtomicBool::new(false),
            changed: Condvar::new(),
            reads: AtomicUsize::new(0),
            has_read: AtomicBool::new(false),
        }
    }

    fn join(&'static self) -> SparingThread {
        let own = gettid();
        let mut state = self.state.lock();
        state.threads.push(own);
        if state.are_spared {
            confine(&[own], &without_spared(&of_process()));
        }
        SparingThread(self, own)
    }

    fn read_begins(&'static self) -> ReadOnSpared {
        self.reads.fetch_add(1, SeqCst);
        let runs = ReadOnSpared(self);
        if !self.are_spared.load(SeqCst) {
            self.spare();
        }
        runs
    }

    fn spare(&'static self) {
        let mut state = self.state.lock();
        if state.are_spared {
            return;
        }
        if !state.is_watched {
            let watch = std::thread::Builder::new().name("spared-cores".to_owned()).spawn(|| self.watch());
            if let Err(error) = watch {
                warn!(%error, "background work is on the cores of reads");
                return;
            }
            state.is_watched = true;
        }
        confine(&state.threads, &without_spared(&of_process()));
        state.are_spared = true;
        self.are_spared.store(true, SeqCst);
        self.changed.notify_all();
    }

    /// Gives cores back when reads have ended, as long as the process runs.
    fn watch(&self) -> ! {
        let mut state = self.state.lock();
        loop {
            if !state.are_spared {
                self.changed.wait(&mut state);
            }
            self.changed.wait_for(&mut state, QUIET);
            self.look(&mut state);
        }
    }

    /// Gives cores back if no read runs, and none has since the last look.
    fn look(&self, state: &mut Sparing) {
        let has_read = self.has_read.swap(false, SeqCst);
        if has_read || !state.are_spared || self.reads.load(SeqCst) > 0 {
            return;
        }
        confine(&state.threads, &of_process());
        state.are_spared = false;
        self.are_spared.store(false, SeqCst);
        self.changed.notify_all();
    }
}

/// The cores of the first thread, which is never confined: those that the process has been given.
fn of_process() -> CpuSet {
    sched_getaffinity(Some(getpid())).unwrap_or_else(|error| {
        warn!(%error, "the cores of the process are not known");
        CpuSet::new()
    })
}

fn without_spared(cores: &CpuSet) -> CpuSet {
    let numbers: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect();
    let spared = (numbers.len() / CORES_PER_SPARED).max(1).min(numbers.len().saturating_sub(1));
    let mut rest = CpuSet::new();
    numbers.into_iter().skip(spared).for_each(|core| rest.set(core));
    rest
}

fn confine(threads: &[Pid], cores: &CpuSet) {
    if cores.count() == 0 {
        return;
    }
    for thread in threads {
        match sched_setaffinity(Some(*thread), cores) {
            // The thread has ended, and is about to say so.
            Ok(()) | Err(Errno::SRCH) => {}
            // A sandbox may refuse it each time, and cores are spared several times a second.
            Err(error) => REFUSED.call_once(|| warn!(%error, "background work is on the cores of reads")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(cores: impl IntoIterator<Item = usize>) -> CpuSet {
        let mut set = CpuSet::new();
        cores.into_iter().for_each(|core| set.set(core));
        set
    }

    #[test]
    fn a_quarter_of_the_cores_is_spared_and_never_the_last() {
        for (given, rest) in [
            (set([3]), set([3])),
            (set([0, 1]), set([1])),
            (set([2, 5, 6]), set([5, 6])),
            (set(0..8), set(2..8)),
            (set(0..1024), set(256..1024)),
            (set([]), set([])),
        ] {
            assert_eq!(without_spared(&given), rest);
        }
    }

    #[test]
    fn background_threads_leave_cores_while_reads_run() {
        let cores: &'static SparedCores = Box::leak(Box::new(SparedCores::new()));
        let own = || sched_getaffinity(None).unwrap();
        let (all, rest) = (of_process(), without_spared(&of_process()));
        let on_thread = |work: &(dyn Fn() + Sync)| std::thread::scope(|scope| scope.spawn(work).join().unwrap());
        // Nothing but this test looks.
        cores.state.lock().is_watched = true;
        let look = || cores.look(&mut cores.state.lock());
        on_thread(&|| {
            let _own = cores.join();
            assert_eq!(own(), all, "no read runs");
            let (one, other) = (cores.read_begins(), cores.read_begins());
            assert_eq!(own(), rest);
            on_thread(&|| {
                let _own = cores.join();
                assert_eq!(own(), rest, "a thread that begins meanwhile");
                drop(cores.join());
            });
            drop(one);
            look();
            look();
            assert_eq!(own(), rest, "another read runs");
            drop(other);
            look();
            assert_eq!(own(), rest, "a read has just ended");
            look();
            assert_eq!(own(), all);
        });
        let _read = cores.read_begins();
        assert_eq!((own(), cores.state.lock().threads.len()), (all, 0), "threads that ended, and those of calls");
    }

    #[test]
    fn cores_are_given_back_without_another_read() {
        let cores: &'static SparedCores = Box::leak(Box::new(SparedCores::new()));
        let _own = cores.join();
        for _ in 0..2 {
            drop(cores.read_begins());
            let mut state = cores.state.lock();
            while state.are_spared {
                cores.changed.wait(&mut state);
            }
            assert_eq!(sched_getaffinity(None).unwrap(), of_process());
        }
    }
}

//! Places between two steps of a change, at which a test kills the process.
//!
//! Must never: do anything but note that a place was reached, and kill the process without any farewell.

/// One list, so that a test can end a server at every one of them.
macro_rules! points {
    ($($(#[doc = $what:literal])+ $name:ident: $phase:ident,)+) => {
        /// A place between two steps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Point {
            $($(#[doc = $what])+ $name,)+
        }

        #[cfg(feature = "planted-faults")]
        impl Point {
            pub const ALL: &'static [(Self, PointPhase)] = &[$((Self::$name, PointPhase::$phase)),+];

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

/// When a server comes to a point.
#[cfg(feature = "planted-faults")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointPhase {
    /// Before it serves.
    Start,
    /// While clients write, flush, compact and collect.
    Load,
}

points! {
    /// The epoch is taken, nothing is loaded.
    StartCatalogOpened: Start,
    /// The catalog names the mark that the store does not have yet.
    StartMarkIntended: Start,
    /// The store has the mark, the catalog does not know that.
    StartMarkReplaced: Start,
    /// The store is taken.
    StartMarkSettled: Start,
    /// The log has been read, and its torn end cut off.
    StartLogReplayed: Start,
    /// The log has a new file that its identity does not name.
    StartLogFileMade: Start,
    /// The log is open, the catalog does not know its name.
    StartLogOpened: Start,
    /// Interrupted plans are stored as queued again.
    StartPlansQueued: Start,
    /// Calls are answered, the ready file is not written.
    StartServing: Start,

    /// Frames are written and not synced.
    LogWritten: Load,
    /// Frames are durable and not applied.
    LogSynced: Load,
    /// Frames are applied and not acknowledged.
    LogApplied: Load,
    /// The log has a new file that its identity does not name.
    LogFileMade: Load,
    /// The identity names a new file that has no frame.
    LogFileNamed: Load,
    /// The identity does not name files that are still there.
    LogTrimNoted: Load,
    /// One old file of the log is gone.
    LogFileRemoved: Load,

    /// The objects of a segment are written, the catalog does not name them.
    FlushWritten: Load,
    /// The catalog has the segment, the log has no note of it.
    FlushCommitted: Load,
    /// The note is queued, the rows are still in memory.
    FlushNoted: Load,
    /// Waiting deletes are attached to segments in memory, the catalog does not have them.
    DeltasAttached: Load,
    /// Delta logs are written, the catalog does not name them.
    DeltaLogsWritten: Load,
    /// The catalog has the deletes, memory still holds them.
    DeltasCommitted: Load,

    /// Any change of the catalog: not stored.
    CommitBegun: Load,
    /// Any change of the catalog: durable, and not in memory.
    CommitDurable: Load,
    /// A job and its plans are durable, the caller has no answer.
    JobStored: Load,
    /// A plan is stored as executing.
    PlanBegun: Load,
    /// A merge has written its outputs, the commit has not begun.
    MergeWritten: Load,
    /// Everything of a compaction's commit is checked, nothing is stored.
    CompactionChecked: Load,
    /// A compaction is durable and folded.
    CompactionCommitted: Load,

    /// The next bound of ids or timestamps is durable, nothing above the last one is given out.
    BoundStored: Load,
    /// The catalog names the mark's next turn, the store does not have it.
    TurnIntended: Load,
    /// The store has the mark's next turn, the catalog does not know that.
    TurnReplaced: Load,

    /// One object of a dropped segment is gone, its record is there.
    GarbageObjectGone: Load,
    /// All objects of dropped segments are gone, their records are there.
    GarbageFilesGone: Load,
    /// Records of dropped segments are gone.
    GarbageRecordsGone: Load,
    /// An object that no segment names is gone.
    OrphanGone: Load,
}

#[cfg(feature = "planted-faults")]
impl Point {
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().map(|(point, _)| *point).find(|point| point.name() == name)
    }
}

/// Kills the process if this is the place and the time that a test has chosen.
#[cfg(feature = "planted-faults")]
pub fn reached(point: Point) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    };

    use super::environment::{POINT, variable};
    static CHOSEN: OnceLock<Option<(Point, u64)>> = OnceLock::new();
    static TIMES: AtomicU64 = AtomicU64::new(0);

    let chosen = CHOSEN.get_or_init(|| {
        variable(POINT, |text| {
            let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
            Some((Point::named(name)?, times.parse().ok()?))
        })
    });
    let Some((chosen, at)) = *chosen else { return };
    if chosen == point && TIMES.fetch_add(1, SeqCst) + 1 == at {
        // Like `kill -9`: no destructor, no handler, no core file.
        let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        eprintln!("the kill at {point:?} has failed: {killed:?}");
        std::process::abort();
    }
}

/// Nothing in a build for users.
#[cfg(not(feature = "planted-faults"))]
pub const fn reached(_point: Point) {}

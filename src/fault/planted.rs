//! Breakages of a promise, one name each.
//!
//! Must never: hold the code of a breakage. That stands where the code decides, one line beside the right one.

/// One list, so that the suite can be shown to catch every one of them.
macro_rules! faults {
    ($($(#[doc = $what:literal])+ $name:ident: $promise:ident,)+) => {
        /// A deliberate breakage. The promise that it breaks stands behind the name in the source.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Planted {
            $($(#[doc = $what])+ $name,)+
        }

        #[cfg(feature = "planted-faults")]
        impl Planted {
            fn named(name: &str) -> Option<Self> {
                $(if name == stringify!($name) {
                    return Some(Self::$name);
                })+
                None
            }
        }
    };
}

faults! {
    /// Memory shows a change of the catalog before it is durable.
    FoldedBeforeCommit: P1,
    /// The catalog stores a part of a transaction.
    HalfCommitted: P1,
    /// A damaged pair of the catalog is taken as it is.
    CatalogUnchecked: P1,
    /// A query that finds rows in memory reads them although a segment of the catalog has them by now.
    MovedRowsKept: P1,
    /// A query takes the list of segments before the rows in memory.
    ListedBeforeSnapshot: P1,
    /// A search reads the sources of a merge and its output.
    ReadBeforeAndAfterMerge: P1,

    /// A compaction is committed without another look at its inputs.
    InputsUnchecked: P2,
    /// A compaction is committed although its terms have changed.
    TermsUnchecked: P2,
    /// A transaction does not expect its segments to be stored as they were read.
    ExpectationLeftOut: P2,
    /// A transaction that the catalog refused counts as committed.
    ConflictIsSuccess: P2,
    /// The result of a stopped attempt is accepted.
    LateResultAccepted: P2,
    /// Inputs of a plan are free for the next plan.
    NotReserved: P2,
    /// A flush that is repeated because its answer was lost is refused.
    RepeatedFlushRefused: P2,

    /// A write is acknowledged before it is synced.
    SyncLeftOut: P3,
    /// A write that the disk refused is acknowledged.
    LogErrorIgnored: P3,
    /// The log goes on after a failed write.
    LogGoesOnAfterFailure: P3,
    /// The log is trimmed over rows of a flush that is not committed.
    TrimmedOverRows: P3,
    /// The rows of a flush leave memory before the commit.
    DroppedBeforeCommit: P3,
    /// Rows whose flush failed are dropped.
    StoreErrorDropsRows: P3,
    /// A commit without an answer counts as failed, and the outputs are deleted.
    UnknownIsFailure: P3,
    /// The body of a frame of the log is not compared with its checksum.
    FrameUnchecked: P3,
    /// A broken frame in the middle of the log is taken for its torn end.
    BrokenIsTorn: P3,
    /// A log that is missing, foreign or incomplete is taken as it is.
    LogUnidentified: P3,
    /// The replay does not know which rows the catalog has.
    ReplayIgnoresCatalog: P3,
    /// The replay brings rows back that the log says are flushed.
    ReplayIgnoresNotes: P3,
    /// Timestamps follow the clock alone after a restart.
    TimestampsFromClock: P3,
    /// The bound of ids is not stored before the ids are given out.
    BoundNotStored: P3,
    /// The halves of an upsert have different timestamps.
    UpsertSplit: P3,
    /// A delete by expression kills rows that are newer than its read.
    DeleteOutlivesRead: P3,
    /// A merge lets a delete kill a row of the same timestamp.
    EqualKillsInMerge: P3,
    /// A read lets a delete kill a row of the same timestamp.
    EqualKillsInRead: P3,
    /// A flush lets a delete hit a row of the same timestamp.
    EqualHitsInFlush: P3,
    /// A row expires in the millisecond before it has outlived its time.
    ExpiresEarly: P3,
    /// A clustering writes the rows on a bound into no range.
    BoundaryRowLost: P3,
    /// A merge changes the order of rows with one id.
    MergeUnstable: P3,
    /// A merge applies deletes of the retention window.
    RetentionIgnored: P3,
    /// An object that is not the one that was written is read as it is.
    ChecksumIgnored: P3,
    /// A search does not look at the last row of a part of the vectors.
    LastVectorUnseen: P3,
    /// Of the searches that compare the same vectors together the first alone compares them.
    OtherSearchUnseen: P3,

    /// Deletes that arrive during a merge are not carried over.
    LateDeletesLost: P4,
    /// Deletes that arrive during a merge are carried over from the first input alone.
    LateDeletesOfOneInput: P4,
    /// Deletes that arrive during a merge are carried over to the first output alone.
    LateDeletesToOneOutput: P4,
    /// Some keys are missing in the filter of a segment.
    KeyLeftOut: P4,
    /// A delete goes to segments only that are older than it as a whole.
    RoutedToOlderOnly: P4,
    /// A flush leaves the waiting deletes out.
    FlushMissesDeletes: P4,
    /// A delta flush leaves the segments in memory out.
    DeltasMissMemory: P4,
    /// A delta flush does not wait for a flush of its channel.
    ChannelUnlocked: P4,
    /// Deletes whose delta flush failed are dropped.
    StoreErrorDropsDeletes: P4,
    /// The log is trimmed over deletes that wait.
    TrimmedOverDeletes: P4,
    /// Sources that stand in for the output of a merge are searched without the deletes that reached the output.
    LaterDeletesIgnored: P4,
    /// Segments are forgotten before the log has noted that they are flushed.
    CollectedBeforeNote: P4,

    /// A reader does not pin the segments that it reads.
    ReaderNotPinned: P5,
    /// Garbage collection ignores the pins of readers.
    GarbageIgnoresReaders: P5,
    /// Garbage collection ignores unfinished plans.
    GarbageIgnoresPlans: P5,
    /// Garbage collection takes the outputs of a running merge.
    GarbageIgnoresMerges: P5,
    /// Garbage collection takes the objects of a running flush.
    GarbageIgnoresFlushes: P5,
    /// Garbage collection takes segments that the log could replay.
    GarbageIgnoresLog: P5,
    /// Garbage collection does not know that segments name delta logs.
    GarbageTakesDeltaLogs: P5,
    /// Work goes on in memory after a commit whose outcome is unknown.
    UnknownForgotten: P5,
    /// Dropped segments go at once.
    DropToleranceIgnored: P5,
    /// Objects that no segment names go at once.
    MissingToleranceIgnored: P5,

    /// A transaction does not expect the epoch to be its own.
    EpochUnchecked: P6,
    /// The store's mark is not looked at before a commit.
    MarkUncheckedAtCommit: P6,
    /// The store's mark is not looked at before garbage goes.
    MarkUncheckedAtCollection: P6,
    /// A store with the mark of another server is taken.
    ForeignMarkTaken: P6,
    /// A fenced server goes on.
    FenceIgnored: P6,
    /// The key statistics of a segment have the same names in every attempt to write it.
    StatisticsShareNames: P6,

    /// A job is told and not stored.
    JobNotStored: P7,
    /// The state of a plan is told and not stored.
    StateNotStored: P7,
    /// The reason of a failure is told and not stored.
    ReasonNotStored: P7,
    /// A plan that had ended is reported as cancelled.
    EndedIsCancelled: P7,
    /// A failed plan counts as completed.
    FailedIsCompleted: P7,
    /// A job that does not exist is completed.
    UnknownIsCompleted: P7,
    /// An attempt counts twice.
    AttemptCountsTwice: P7,

    /// Memory of a merge is never given back.
    MemoryLeaked: P8,
    /// A merge takes no memory from the budget.
    MemoryNotTaken: P8,
    /// A call takes memory beyond its admission without a count.
    GrowthUncounted: P8,
    /// The memory of a load is free when its read has left, although a thread goes on with it.
    LoadUncounted: P8,
    /// Writes do not wait for flushes.
    WritesNotHeldBack: P8,
    /// A slot is never given back.
    SlotLeaked: P8,
    /// A collection with many plans keeps its turn.
    TurnKept: P8,
    /// Requests wait for automatic work.
    RequestsLast: P8,
    /// A merge that hangs is not noticed.
    HangUnnoticed: P8,
}

/// Whether the test has switched this breakage on.
#[cfg(feature = "planted-faults")]
pub fn planted(fault: Planted) -> bool {
    use std::sync::{Once, OnceLock};

    use super::environment::{PLANTED, variable};
    static CHOSEN: OnceLock<Option<Planted>> = OnceLock::new();
    static SAID: Once = Once::new();

    let is_on = *CHOSEN.get_or_init(|| variable(PLANTED, |name| Planted::named(&name))) == Some(fault);
    if is_on {
        // A test that never gets here proves nothing.
        SAID.call_once(|| eprintln!("planted: {fault:?}"));
    }
    is_on
}

/// No breakage in a build for users.
#[cfg(not(feature = "planted-faults"))]
pub const fn planted(_fault: Planted) -> bool {
    false
}

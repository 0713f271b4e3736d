//! The state of the world: one store of objects, two catalogs, two coordinators with two workers each.
//!
//! Values only: the steps are in `steps` and `work`, the conditions in `properties`. Everything is a small number or a set
//! of bits, because the checker visits millions of these.

use std::fmt;

/// Segments as a set of bits, and the objects that have their names: bit 0 to 2 are the three inputs, bit 31 is the
/// delta log of segment 0, the others are outputs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub(crate) struct Segments(pub(crate) u32);

impl Segments {
    pub(crate) const NONE: Self = Self(0);
    /// The three segments that exist in the beginning.
    pub(crate) const INPUTS: Self = Self(0b111);
    pub(crate) const FIRST: Self = Self(1);
    /// The segment that a client may drop with its partition.
    pub(crate) const LAST: Self = Self(0b100);
    /// The object with the deletes of segment 0.
    pub(crate) const DELTA: Self = Self(1 << 31);
    /// Stands for the drop in a history.
    pub(crate) const DROP: Self = Self(1 << 30);

    /// The output of an attempt. Its id is drawn once by one run.
    pub(crate) fn output(ids_of: u8, plan: usize, attempt: u8) -> Self {
        Self(1 << (3 + (usize::from(ids_of) * 2 + plan) * usize::from(ATTEMPTS) + usize::from(attempt) - 1))
    }

    pub(crate) fn has(self, all: Self) -> bool {
        self.0 & all.0 == all.0
    }

    pub(crate) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    pub(crate) fn without(self, less: Self) -> Self {
        Self(self.0 & !less.0)
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One by one.
    pub(crate) fn each(self) -> impl Iterator<Item = Self> {
        (0..32).map(|bit| Self(1 << bit)).filter(move |one| self.has(*one))
    }

    /// The inputs whose rows a segment has.
    pub(crate) fn rows(self, plans: &[Self; 2]) -> Self {
        match self.0.trailing_zeros() {
            bit @ 0..3 => Self(1 << bit),
            bit => plans[(bit as usize - 3) / usize::from(ATTEMPTS) % 2],
        }
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{")?;
        for (n, one) in self.each().enumerate() {
            write!(f, "{}{}", if n > 0 { " " } else { "" }, one.0.trailing_zeros())?;
        }
        write!(f, "}}")
    }
}

/// Attempts of a plan in one catalog.
pub(crate) const ATTEMPTS: u8 = 2;
/// Workers of a coordinator.
pub(crate) const WORKERS: usize = 2;

/// The mark of the store. `run` 0 is a run before the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Mark {
    pub(crate) run: u8,
    pub(crate) turn: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Plan {
    #[default]
    Unmade,
    Queued {
        attempts: u8,
    },
    Executing {
        attempt: u8,
    },
    Completed,
    Failed,
}

impl Plan {
    pub(crate) fn is_unfinished(self) -> bool {
        matches!(self, Self::Queued { .. } | Self::Executing { .. })
    }
}

/// Segments and plans, as a catalog stores them and as a coordinator has them in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Content {
    pub(crate) live: Segments,
    pub(crate) dropped: Segments,
    /// Dropped longer ago than the tolerance.
    pub(crate) dropped_long_ago: Segments,
    /// Segments with the delete in a delta log.
    pub(crate) hit: Segments,
    /// Outputs of a merge that applied the delete: the row is gone.
    pub(crate) clean: Segments,
    /// The delete has left the write path.
    pub(crate) deleted: bool,
    /// A client has dropped the rows of the last segment.
    pub(crate) removed: bool,
    pub(crate) plans: [Plan; 2],
    /// Every output that was ever committed here, and the drop. For the properties: no rule looks at it.
    pub(crate) history: Segments,
}

impl Content {
    /// Objects that a segment of this content names.
    pub(crate) fn named(&self) -> Segments {
        let known = self.live.with(self.dropped);
        let delta = self.hit.and(known).has(Segments::FIRST);
        known.with(if delta { Segments::DELTA } else { Segments::NONE })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Catalog {
    pub(crate) epoch: u8,
    pub(crate) settled: Mark,
    pub(crate) intended: Vec<Mark>,
    pub(crate) content: Content,
}

impl Catalog {
    pub(crate) fn knows(&self, mark: Mark) -> bool {
        self.settled == mark || self.intended.contains(&mark)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub(crate) enum Worker {
    #[default]
    Idle,
    /// Its input is read: `read_delete` tells whether the delete was in it.
    Working {
        plan: usize,
        attempt: u8,
        read_delete: bool,
    },
    Written {
        plan: usize,
        attempt: u8,
        read_delete: bool,
    },
    /// The commit has its turn, has looked at the mark, and is about to write. `seen_hit`: the records that it expects.
    Looked {
        plan: usize,
        attempt: u8,
        read_delete: bool,
        seen_hit: Segments,
    },
    /// Its attempt was ended, and it has not noticed.
    Late {
        plan: usize,
        attempt: u8,
        read_delete: bool,
        written: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum DeltaFlush {
    #[default]
    None,
    Written(Segments),
    Looked(Segments),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Collector {
    #[default]
    None,
    /// Has the objects that segment 0 names, and is listing those of the store.
    Listing {
        names_delta: bool,
    },
    Found {
        object: Segments,
        is_dropped: bool,
    },
    Looked {
        object: Segments,
        is_dropped: bool,
    },
    /// Its files are gone, its record is not.
    Deleted {
        segment: Segments,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Reader {
    #[default]
    None,
    Listed(Segments),
    Pinned(Segments),
    Reading(Segments),
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Phase {
    /// Not started, refused, crashed, or stopped by its fence.
    #[default]
    Down,
    Opened,
    Judged(Mark),
    Noted(Mark),
    Swapped,
    Up,
}

/// A turn of the mark that is noted in the catalog and not yet in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Turn {
    pub(crate) next: Mark,
    /// The store has it.
    pub(crate) swapped: bool,
    /// The history of the catalog when it was noted.
    pub(crate) history: Segments,
}

/// One coordinator process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Run {
    pub(crate) phase: Phase,
    /// Number of the run, never given twice.
    pub(crate) number: u8,
    pub(crate) epoch: u8,
    pub(crate) mark: Mark,
    pub(crate) turn: Option<Turn>,
    pub(crate) has_committed: bool,
    pub(crate) memory: Content,
    /// A commit got an error, and may be in the catalog all the same.
    pub(crate) is_unsure: bool,
    pub(crate) workers: [Worker; WORKERS],
    pub(crate) delta: DeltaFlush,
    pub(crate) collector: Collector,
    pub(crate) reader: Reader,
}

impl Run {
    /// The marks that it takes for its own.
    pub(crate) fn owns(&self, mark: Mark) -> bool {
        self.mark == mark || self.turn.is_some_and(|turn| turn.next == mark)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    pub(crate) fn pinned(&self) -> Segments {
        match self.reader {
            Reader::Pinned(segments) | Reader::Reading(segments) => segments,
            Reader::None | Reader::Listed(_) | Reader::Done => Segments::NONE,
        }
    }

    /// A commit has the collection's turn.
    pub(crate) fn is_committing(&self) -> bool {
        self.delta != DeltaFlush::None || self.workers.iter().any(|w| matches!(w, Worker::Looked { .. }))
    }
}

/// How often each of these may happen. The search would not end otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Budget {
    pub(crate) starts: u8,
    pub(crate) crashes: u8,
    pub(crate) copies: u8,
    pub(crate) take_overs: u8,
    /// Turns of one run.
    pub(crate) turns: u8,
    pub(crate) hangs: u8,
    pub(crate) deletes: u8,
    pub(crate) drops: u8,
    pub(crate) reads: u8,
    pub(crate) unanswered: u8,
}

/// Events so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Seen {
    /// A coordinator whose epoch was over changed its catalog.
    pub(crate) commit_without_epoch: bool,
    /// A coordinator committed to its own catalog while the store was another one's.
    pub(crate) commit_without_store: bool,
    /// A start took the store with a catalog that lacks a commit which the last turn had sealed.
    pub(crate) lost_sealed: bool,
    /// A start took the store with a catalog that lacks a commit made since the last turn.
    pub(crate) lost_fresh: bool,
    /// An object was written over another one.
    pub(crate) overwritten: bool,
    pub(crate) refused: bool,
    pub(crate) collected: bool,
    pub(crate) read: bool,
    pub(crate) taken_over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) mark: Mark,
    pub(crate) objects: Segments,
    /// Objects older than the tolerance.
    pub(crate) old: Segments,
    pub(crate) catalogs: [Option<Catalog>; 2],
    pub(crate) runs: [Run; 2],
    /// Runs so far.
    pub(crate) started: u8,
    pub(crate) budget: Budget,
    /// Commits that every catalog has which the store's mark lets in.
    pub(crate) sealed: Segments,
    /// All commits of coordinators that had the store.
    pub(crate) committed: Segments,
    pub(crate) seen: Seen,
}

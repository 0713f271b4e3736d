//! The two allocators, and how they are opened.

use std::{ops::Range, sync::Arc};

use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    BoundStore, IdError,
    keeper::{BoundKeeper, Keeper},
    range::{BoundedRange, Ledger},
};
use crate::{
    clock::Clock,
    fault::{self, Planted},
    machine,
    model::Timestamp,
};

const ID: &str = "id";
const TSO: &str = "tso";
/// Ids beyond the need at hand that one stored bound covers. A restart skips at most so many.
const ID_WINDOW: u64 = 1 << 24;
/// How far ahead of the clock one stored bound reaches. After a restart timestamps may be this far in the future.
const TSO_WINDOW_MS: u64 = 3_000;
/// Smallest id, also at a clock of 0: keeps clear of 1, which the format reserves.
const FIRST_ID: u64 = 1 << 10;
/// Smallest timestamp: 0 means "no timestamp".
const FIRST_TIMESTAMP: u64 = 1;

/// Ids and timestamps over one store of bounds.
pub struct Numbers {
    pub ids: Arc<IdAllocator>,
    pub tso: Arc<Tso>,
    pub keeper: BoundKeeper,
}

/// Continues above everything that earlier processes gave out with the same store. The keeper runs in the caller's
/// runtime.
pub async fn open(store: Arc<dyn BoundStore>, clock: Arc<dyn Clock>) -> Result<Numbers, IdError> {
    let stored = async |name| store.load(name).await.map_err(|source| IdError::Bound { name, source });
    let first_id = Timestamp::from_ms(clock.now_ms()).0.max(FIRST_ID);
    let ids = Ledger::new(ID, ID_WINDOW, stored(ID).await?, first_id);
    let last_tso = if fault::planted(Planted::TimestampsFromClock) { 0 } else { stored(TSO).await? };
    let tso = Ledger::new(TSO, Timestamp::from_ms(TSO_WINDOW_MS).0, last_tso, FIRST_TIMESTAMP);
    let (ask, requests) = mpsc::unbounded_channel();
    let id_range = BoundedRange::new(Arc::clone(&ids), ask.clone());
    let tso_range = BoundedRange::new(Arc::clone(&tso), ask);
    let keeper = Keeper { store, clock: Arc::clone(&clock), ids, tso, requests }.spawn();
    Ok(Numbers {
        ids: Arc::new(IdAllocator { range: id_range }),
        tso: Arc::new(Tso { range: tso_range, clock }),
        keeper,
    })
}

/// A name that no other process has, for catalogs, logs and runs.
#[expect(clippy::disallowed_methods, reason = "the one place that makes them")]
pub fn unique_name() -> Uuid {
    machine::in_place().map_or_else(Uuid::new_v4, |machine| {
        uuid::Builder::from_random_bytes(machine.unique().to_be_bytes()).into_uuid()
    })
}

/// Gives out the ids of everything (collections, segments, rows, logs, jobs): positive, increasing, never 1, never
/// twice. Starts at `milliseconds << 18` of the first start, as ids of Milvus look.
pub struct IdAllocator {
    range: BoundedRange,
}

impl IdAllocator {
    /// One id.
    pub async fn next(&self) -> Result<i64, IdError> {
        Ok(self.alloc(1).await?.start)
    }

    /// `count` ids in a row.
    pub async fn alloc(&self, count: u64) -> Result<Range<i64>, IdError> {
        self.positive(self.range.take(0, count).await?, count)
    }

    /// [`Self::next`] for a thread that is not one of the runtime that [`open`] was called in.
    pub fn next_blocking(&self) -> Result<i64, IdError> {
        Ok(self.positive(self.range.take_blocking(0, 1)?, 1)?.start)
    }

    /// Makes sure that no id up to `seen` is given out.
    pub fn advance_past(&self, seen: i64) {
        self.range.advance_past(u64::try_from(seen).unwrap_or(0));
    }

    fn positive(&self, first: u64, count: u64) -> Result<Range<i64>, IdError> {
        let exhausted = |_| IdError::Exhausted { name: self.range.name() };
        Ok(i64::try_from(first).map_err(exhausted)?..i64::try_from(first + count).map_err(exhausted)?)
    }
}

/// Gives out hybrid timestamps: strictly increasing, across restarts too. The physical part follows the clock; when
/// the clock goes back the counter goes on.
pub struct Tso {
    range: BoundedRange,
    clock: Arc<dyn Clock>,
}

impl Tso {
    /// The next timestamp.
    pub async fn next(&self) -> Result<Timestamp, IdError> {
        Ok(Timestamp(self.range.take(self.floor(), 1).await?))
    }

    /// [`Self::next`] for a thread that is not one of the runtime that [`open`] was called in.
    pub fn next_blocking(&self) -> Result<Timestamp, IdError> {
        Ok(Timestamp(self.range.take_blocking(self.floor(), 1)?))
    }

    /// Makes sure that every further timestamp is greater than `seen`.
    pub fn advance_past(&self, seen: Timestamp) {
        self.range.advance_past(seen.0);
    }

    fn floor(&self) -> u64 {
        Timestamp::from_ms(self.clock.now_ms()).0
    }
}

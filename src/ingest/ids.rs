//! Ids and hybrid timestamps that are never given out twice, not even by the next process.
//!
//! Both are ranges with a durable upper bound: every number given out lies below a bound that was stored before. A
//! restart begins at the stored bound. The bound is moved ahead of need by [`IdAllocator::extend_ahead`] and
//! [`Tso::extend_ahead`], which a ticker calls; only a caller that outruns it waits for the store.
//!
//! Never gives out a number whose bound is not durable, and never goes back when the clock does.

use std::{ops::Range, sync::Arc};

use parking_lot::Mutex;

use super::{IngestError, error::Refusal};
use crate::{clock::Clock, model::Timestamp};

/// Durable upper bounds by name. Calls block; implemented over the metadata store by its owner.
pub trait BoundStore: Send + Sync {
    /// The stored bound, 0 if there is none yet.
    fn load(&self, name: &str) -> Result<u64, Refusal>;
    /// Stores the bound; durable when it returns.
    fn save(&self, name: &str, bound: u64) -> Result<(), Refusal>;
}

/// Bounds that live as long as the value: for tests and benchmarks. A clone shares them, as a restart would.
#[derive(Debug, Clone, Default)]
pub struct MemoryBounds {
    bounds: Arc<Mutex<std::collections::HashMap<String, u64>>>,
}

impl BoundStore for MemoryBounds {
    fn load(&self, name: &str) -> Result<u64, Refusal> {
        Ok(self.bounds.lock().get(name).copied().unwrap_or(0))
    }

    fn save(&self, name: &str, bound: u64) -> Result<(), Refusal> {
        self.bounds.lock().insert(name.to_owned(), bound);
        Ok(())
    }
}

/// Ids beyond the need at hand that one stored bound covers. A restart skips at most so many.
const ID_WINDOW: u64 = 1 << 24;
/// How far ahead of the clock one stored bound reaches. After a restart timestamps may be this far in the future.
const TSO_WINDOW_MS: u64 = 3_000;
/// Smallest id: keeps clear of 1, which the format reserves, whatever the clock says.
const FIRST_ID: u64 = 1 << 10;

struct Cursor {
    next: u64,
    /// Everything below may be given out.
    bound: u64,
    /// Given out from since the bound was moved: an idle range needs no store.
    used: bool,
}

struct BoundedRange {
    name: &'static str,
    store: Arc<dyn BoundStore>,
    window: u64,
    cursor: Mutex<Cursor>,
    /// Held while a bound is stored, so that takers below the old bound don't wait for the store.
    extending: Mutex<()>,
}

impl BoundedRange {
    fn open(name: &'static str, store: Arc<dyn BoundStore>, window: u64, floor: u64) -> Result<Self, IngestError> {
        let stored = store.load(name).map_err(|refusal| IngestError::Bound { name, refusal })?;
        let cursor = Mutex::new(Cursor { next: stored.max(floor), bound: stored, used: false });
        Ok(Self { name, store, window, cursor, extending: Mutex::new(()) })
    }

    /// Takes `count` numbers in a row, none below `floor`; the first of them.
    fn take(&self, floor: u64, count: u64) -> Result<u64, IngestError> {
        loop {
            let end = {
                let mut cursor = self.cursor.lock();
                let first = cursor.next.max(floor);
                let end = first.checked_add(count).ok_or(IngestError::IdsExhausted { name: self.name })?;
                if end <= cursor.bound {
                    cursor.next = end;
                    cursor.used = true;
                    return Ok(first);
                }
                end
            };
            self.extend(end)?;
        }
    }

    /// Makes every number below `need` available, and a window more.
    fn extend(&self, need: u64) -> Result<(), IngestError> {
        let _one = self.extending.lock();
        if need <= self.cursor.lock().bound {
            return Ok(());
        }
        let bound = need.saturating_add(self.window);
        self.store.save(self.name, bound).map_err(|refusal| IngestError::Bound { name: self.name, refusal })?;
        let mut cursor = self.cursor.lock();
        cursor.bound = bound;
        cursor.used = false;
        Ok(())
    }

    fn extend_ahead(&self, floor: u64) -> Result<(), IngestError> {
        let need = {
            let cursor = self.cursor.lock();
            let next = cursor.next.max(floor);
            if !cursor.used || cursor.bound.saturating_sub(next) >= self.window / 2 {
                return Ok(());
            }
            // More than the bound, else there is nothing to extend; a window more than the next number in the end.
            next.max(cursor.bound.saturating_add(1))
        };
        self.extend(need)
    }

    fn advance_past(&self, seen: u64) {
        let mut cursor = self.cursor.lock();
        cursor.next = cursor.next.max(seen.saturating_add(1));
    }
}

/// Gives out the ids of everything (collections, segments, rows, logs, jobs): positive, increasing, never 1, never
/// twice. Starts at `milliseconds << 18` of the first start, as ids of Milvus look.
pub struct IdAllocator {
    range: BoundedRange,
}

impl IdAllocator {
    /// Continues above everything given out by earlier processes with the same store.
    pub fn open(store: Arc<dyn BoundStore>, clock: &dyn Clock) -> Result<Self, IngestError> {
        let floor = Timestamp::from_ms(clock.now_ms()).0.max(FIRST_ID);
        Ok(Self { range: BoundedRange::open("id", store, ID_WINDOW, floor)? })
    }

    /// One id.
    pub fn next(&self) -> Result<i64, IngestError> {
        Ok(self.alloc(1)?.start)
    }

    /// `count` ids in a row.
    pub fn alloc(&self, count: u64) -> Result<Range<i64>, IngestError> {
        let first = self.range.take(0, count)?;
        let exhausted = |_| IngestError::IdsExhausted { name: self.range.name };
        Ok(i64::try_from(first).map_err(exhausted)?..i64::try_from(first + count).map_err(exhausted)?)
    }

    /// Makes sure that no id up to `seen` is given out.
    pub fn advance_past(&self, seen: i64) {
        self.range.advance_past(u64::try_from(seen).unwrap_or(0));
    }

    /// Stores a new bound if the range runs low. Blocks; called by a ticker.
    pub fn extend_ahead(&self) -> Result<(), IngestError> {
        self.range.extend_ahead(0)
    }
}

/// Gives out hybrid timestamps: strictly increasing, across restarts too. The physical part follows the clock; when
/// the clock goes back the counter goes on.
pub struct Tso {
    range: BoundedRange,
    clock: Arc<dyn Clock>,
}

impl Tso {
    /// Continues above everything given out by earlier processes with the same store.
    pub fn open(store: Arc<dyn BoundStore>, clock: Arc<dyn Clock>) -> Result<Self, IngestError> {
        let window = Timestamp::from_ms(TSO_WINDOW_MS).0;
        // 0 means "no timestamp", so 1 is the smallest.
        Ok(Self { range: BoundedRange::open("tso", store, window, 1)?, clock })
    }

    /// The next timestamp.
    pub fn next(&self) -> Result<Timestamp, IngestError> {
        Ok(Timestamp(self.range.take(self.floor(), 1)?))
    }

    /// `count` timestamps in a row; the first of them. All lie in one millisecond or follow each other as numbers.
    pub fn alloc(&self, count: u64) -> Result<Timestamp, IngestError> {
        Ok(Timestamp(self.range.take(self.floor(), count)?))
    }

    /// Makes sure that every further timestamp is greater than `seen`.
    pub fn advance_past(&self, seen: Timestamp) {
        self.range.advance_past(seen.0);
    }

    /// Stores a new bound if the range runs low. Blocks; called by a ticker.
    pub fn extend_ahead(&self) -> Result<(), IngestError> {
        self.range.extend_ahead(self.floor())
    }

    fn floor(&self) -> u64 {
        Timestamp::from_ms(self.clock.now_ms()).0
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicU64, Ordering},
        time::Duration,
    };

    use proptest::prelude::*;

    use super::*;
    use crate::{
        clock::ManualClock,
        error::{Classify, ErrorKind},
    };

    /// Counts the stores, and refuses them when told to.
    #[derive(Default)]
    struct Watched {
        inner: MemoryBounds,
        saves: AtomicU64,
        refuse: AtomicBool,
    }

    impl BoundStore for Watched {
        fn load(&self, name: &str) -> Result<u64, Refusal> {
            self.inner.load(name)
        }

        fn save(&self, name: &str, bound: u64) -> Result<(), Refusal> {
            if self.refuse.load(Ordering::SeqCst) {
                return Err(Refusal::new(ErrorKind::Transient, "store is away"));
            }
            self.saves.fetch_add(1, Ordering::SeqCst);
            self.inner.save(name, bound)
        }
    }

    #[test]
    fn ids_start_at_the_clock_and_go_on_after_a_restart() {
        let store = Arc::new(MemoryBounds::default());
        let clock = ManualClock::at(1_700_000_000_000);
        let first = IdAllocator::open(store.clone(), &clock).unwrap();
        assert_eq!(first.next().unwrap(), 1_700_000_000_000 << 18);
        let last = first.alloc(10).unwrap().end;
        // A clock that went back must not lead back.
        let second = IdAllocator::open(store, &ManualClock::at(5)).unwrap();
        assert!(second.next().unwrap() >= last);
    }

    #[test]
    fn an_id_is_never_one_even_at_the_epoch() {
        let ids = IdAllocator::open(Arc::new(MemoryBounds::default()), &ManualClock::at(0)).unwrap();
        assert!(ids.next().unwrap() > 1);
    }

    #[test]
    fn a_refused_bound_gives_no_number() {
        let store = Arc::new(Watched::default());
        store.refuse.store(true, Ordering::SeqCst);
        let ids = IdAllocator::open(store.clone(), &ManualClock::at(1)).unwrap();
        assert_eq!(ids.next().unwrap_err().kind(), ErrorKind::Transient);
        store.refuse.store(false, Ordering::SeqCst);
        assert!(ids.next().is_ok());
    }

    #[test]
    fn the_bound_moves_ahead_of_need_and_rests_while_idle() {
        let store = Arc::new(Watched::default());
        let clock = Arc::new(ManualClock::at(1_000_000));
        let tso = Tso::open(store.clone(), clock.clone()).unwrap();
        tso.next().unwrap();
        assert_eq!(store.saves.load(Ordering::SeqCst), 1);
        clock.advance(Duration::from_millis(2_000));
        tso.next().unwrap();
        tso.extend_ahead().unwrap();
        assert_eq!(store.saves.load(Ordering::SeqCst), 2, "less than half of the window was left");
        clock.advance(Duration::from_millis(3_000));
        tso.next().unwrap();
        assert_eq!(store.saves.load(Ordering::SeqCst), 2, "the caller did not wait for the store");
        tso.extend_ahead().unwrap();
        clock.advance(Duration::from_secs(3_600));
        tso.extend_ahead().unwrap();
        tso.extend_ahead().unwrap();
        assert_eq!(store.saves.load(Ordering::SeqCst), 3, "an idle range needs no store");
    }

    #[test]
    fn the_physical_part_follows_the_clock() {
        let clock = Arc::new(ManualClock::at(1_000_000));
        let tso = Tso::open(Arc::new(MemoryBounds::default()), clock.clone()).unwrap();
        assert_eq!(tso.next().unwrap(), Timestamp::from_ms(1_000_000));
        assert_eq!(tso.next().unwrap().logical(), 1);
        clock.advance(Duration::from_millis(7));
        assert_eq!(tso.next().unwrap(), Timestamp::from_ms(1_000_007));
        tso.advance_past(Timestamp::from_ms(2_000_000));
        assert!(tso.next().unwrap() > Timestamp::from_ms(2_000_000));
    }

    #[test]
    fn threads_never_share_a_number() {
        let ids = Arc::new(IdAllocator::open(Arc::new(MemoryBounds::default()), &ManualClock::at(9)).unwrap());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let ids = ids.clone();
                std::thread::spawn(move || (0..1_000).map(|_| ids.next().unwrap()).collect::<Vec<_>>())
            })
            .collect();
        let mut all: Vec<i64> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4_000);
    }

    proptest! {
        /// Whatever the clock does, and however often the process restarts or the store refuses: strictly increasing.
        #[test]
        fn timestamps_increase(steps in prop::collection::vec((0u64..10_000_000, 0u8..10), 1..200)) {
            let store = Arc::new(Watched::default());
            let mut last = Timestamp::ZERO;
            let mut tso = Tso::open(store.clone(), Arc::new(ManualClock::at(1))).unwrap();
            for (ms, action) in steps {
                store.refuse.store(action == 9, Ordering::SeqCst);
                if action < 3 {
                    tso = Tso::open(store.clone(), Arc::new(ManualClock::at(ms))).unwrap();
                }
                if let Ok(ts) = tso.alloc(u64::from(action) + 1) {
                    prop_assert!(ts > last);
                    last = Timestamp(ts.0 + u64::from(action));
                }
                let _ = tso.extend_ahead();
            }
        }
    }
}

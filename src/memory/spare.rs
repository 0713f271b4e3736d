//! Memory that only saves work: columns, deletes and indexes that a read keeps for later ones.
//!
//! Must never take the last quarter of a pool. The pieces of work that end in an error without memory need that.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Account, Pool, UNIT};
use crate::fault::{self, Planted};

/// A growing reservation of such memory. Clones share it; the last one returns the bytes to the pool.
#[derive(Debug, Clone)]
pub struct Spare(SpareLimit);

#[derive(Debug, Clone)]
enum SpareLimit {
    /// There is no such memory.
    Nothing,
    /// It is not counted.
    Uncounted,
    Counted(Arc<CountedSpare>),
}

#[derive(Debug)]
struct CountedSpare {
    pool: Pool,
    /// Permits of the spare part and of the whole pool, of one number.
    held: Mutex<Option<[OwnedSemaphorePermit; 2]>>,
}

impl Spare {
    /// An empty reservation in the pool of an account. It is not part of the account.
    pub fn beside(account: &Account) -> Self {
        Self(SpareLimit::Counted(Arc::new(CountedSpare { pool: account.pool.clone(), held: Mutex::default() })))
    }

    /// Memory that is not counted.
    pub fn uncounted() -> Self {
        Self(SpareLimit::Uncounted)
    }

    /// No memory: every attempt is refused.
    pub fn nothing() -> Self {
        Self(SpareLimit::Nothing)
    }

    /// A clone for a thread that may go on when its read has ended.
    pub fn for_thread(&self) -> Self {
        if fault::planted(Planted::LoadUncounted) { Self::uncounted() } else { self.clone() }
    }

    /// Reserves so much that there are `bytes` in all, without waiting. False: there is no room, and nothing has changed.
    pub fn reach(&self, bytes: u64) -> bool {
        let CountedSpare { pool, held } = match &self.0 {
            SpareLimit::Nothing => return false,
            SpareLimit::Uncounted => return true,
            SpareLimit::Counted(counted) => &**counted,
        };
        let mut held = held.lock();
        let has = held.as_ref().map_or(0, |[permits, _]| permits.num_permits() as u64);
        let Ok(missing) = u32::try_from(bytes.div_ceil(UNIT).saturating_sub(has)) else { return false };
        if missing == 0 {
            return true;
        }
        let take = |units: &Arc<Semaphore>| Arc::clone(units).try_acquire_many_owned(missing).ok();
        let Some((spare, all)) = take(&pool.spare).zip(take(&pool.units)) else { return false };
        match &mut *held {
            Some([held_spare, held_all]) => {
                held_spare.merge(spare);
                held_all.merge(all);
            }
            None => *held = Some([spare, all]),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;

    async fn pool() -> (Pool, Account) {
        let pool = Pool::new("some.key", 64 * KIB);
        let account = pool.account(0).await;
        (pool, account)
    }

    #[tokio::test]
    async fn it_never_takes_the_last_quarter_of_a_pool() {
        let (pool, account) = pool().await;
        let (one, other) = (Spare::beside(&account), Spare::beside(&account));
        assert!(one.reach(40 * KIB));
        assert!(!other.reach(9 * KIB));
        assert!(other.reach(8 * KIB));
        assert!(!one.reach(40 * KIB + 1));
        assert_eq!(pool.used_bytes(), 48 * KIB);
        assert!(pool.try_reserve(16 * KIB).is_ok(), "the rest is for others");
        drop(one);
        assert_eq!(pool.used_bytes(), 8 * KIB);
        assert!(other.reach(48 * KIB));
        assert!(!other.reach(u64::MAX));
    }

    #[tokio::test]
    async fn it_takes_nothing_that_others_hold() {
        let (pool, account) = pool().await;
        let held = pool.reserve(60 * KIB).await;
        let spare = Spare::beside(&account);
        assert!(!spare.reach(5 * KIB));
        assert!(spare.reach(4 * KIB));
        assert!(spare.reach(KIB), "it has that");
        assert_eq!(pool.used_bytes(), 64 * KIB);
        drop((held, spare));
        assert_eq!(pool.used_bytes(), 0);
        assert!(Spare::beside(&account).reach(48 * KIB), "a refused attempt gives everything back");
    }

    #[test]
    fn memory_that_is_not_counted_has_no_limit() {
        assert!(Spare::uncounted().reach(u64::MAX));
        assert!(!Spare::nothing().reach(0));
    }

    #[tokio::test]
    async fn it_is_held_by_its_last_clone() {
        let (pool, account) = pool().await;
        let read = Spare::beside(&account);
        let thread = read.clone();
        assert!(read.reach(8 * KIB) && thread.reach(10 * KIB));
        drop(read);
        assert_eq!(pool.used_bytes(), 10 * KIB);
        drop(thread);
        assert_eq!(pool.used_bytes(), 0);
    }
}

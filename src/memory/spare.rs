//! Memory that only saves work: columns, deletes and indexes that a read keeps for later ones.
//!
//! Must never take the last quarter of a pool. The pieces of work that end in an error without memory need that.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Account, Pool, UNIT};

/// A growing reservation of such memory. Dropping it returns the bytes to the pool.
#[derive(Debug, Default)]
pub struct Spare {
    /// None: the memory is not counted.
    pool: Option<Pool>,
    /// Permits of the spare part and of the whole pool, of one number.
    held: Option<[OwnedSemaphorePermit; 2]>,
}

impl Spare {
    /// An empty reservation in the pool of an account. It is not part of the account.
    pub fn beside(account: &Account) -> Self {
        Self { pool: Some(account.pool.clone()), held: None }
    }

    /// Reserves so much that there are `bytes` in all, without waiting. False: there is no room, and nothing has changed.
    pub fn reach(&mut self, bytes: u64) -> bool {
        let Some(pool) = &self.pool else { return true };
        let has = self.held.as_ref().map_or(0, |[permits, _]| permits.num_permits() as u64);
        let Ok(missing) = u32::try_from(bytes.div_ceil(UNIT).saturating_sub(has)) else { return false };
        if missing == 0 {
            return true;
        }
        let take = |units: &Arc<Semaphore>| Arc::clone(units).try_acquire_many_owned(missing).ok();
        let Some((spare, all)) = take(&pool.spare).zip(take(&pool.units)) else { return false };
        match &mut self.held {
            Some([held_spare, held_all]) => {
                held_spare.merge(spare);
                held_all.merge(all);
            }
            None => self.held = Some([spare, all]),
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
        let (mut one, mut other) = (Spare::beside(&account), Spare::beside(&account));
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
        let mut spare = Spare::beside(&account);
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
        assert!(Spare::default().reach(u64::MAX));
    }
}

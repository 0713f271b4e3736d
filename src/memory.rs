//! Memory under a limit, reserved by the byte, first come, first served.
//!
//! Each part of the process' memory with many users has a [`Pool`]: requests in flight, running queries. A user that has a
//! reservation may *try* to get more and is refused with the reason. It must never wait for more: two users with half of
//! the pool each would wait for each other.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Classify, ErrorKind};

mod growth;
mod spare;

pub use growth::{Extra, Growth};
pub use spare::Spare;

/// Bytes of one permit of a pool.
const UNIT: u64 = 1 << 10;

/// The part of a pool that memory which only saves work may take at most, in quarters.
const SPARE_QUARTERS: usize = 3;

/// A pool has fewer bytes than are needed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes of memory are needed, {used} of {limit} bytes are in use ({key})")]
pub struct Full {
    pub wanted: u64,
    pub used: u64,
    pub limit: u64,
    /// The setting that the limit comes from.
    pub key: &'static str,
}

impl Classify for Full {
    fn kind(&self) -> ErrorKind {
        // A need above the limit never fits.
        if self.wanted > self.limit { ErrorKind::Invalid } else { ErrorKind::Exhausted }
    }
}

/// Bytes under one limit. Clones share the limit.
#[derive(Debug, Clone)]
pub struct Pool {
    units: Arc<Semaphore>,
    /// Permits for memory that only saves work; the same number of `units` is taken with them.
    spare: Arc<Semaphore>,
    limit_units: u32,
    key: &'static str,
}

/// Reserved memory. Dropping it returns the bytes to the pool.
#[derive(Debug)]
pub struct Reserved {
    units: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// `key` is the setting that `limit_bytes` comes from, for messages.
    pub fn new(key: &'static str, limit_bytes: u64) -> Self {
        let limit_units = (limit_bytes / UNIT).clamp(1, u64::from(u32::MAX / 2)) as u32;
        Self {
            units: Arc::new(Semaphore::new(limit_units as usize)),
            spare: Arc::new(Semaphore::new(limit_units as usize * SPARE_QUARTERS / 4)),
            limit_units,
            key,
        }
    }

    pub fn limit_bytes(&self) -> u64 {
        u64::from(self.limit_units) * UNIT
    }

    pub fn used_bytes(&self) -> u64 {
        let free = self.units.available_permits() as u64 * UNIT;
        self.limit_bytes().saturating_sub(free)
    }

    /// Waits until `bytes` are free; first come, first served. A need above the limit gets the whole pool, so it runs alone.
    pub async fn reserve(&self, bytes: u64) -> Reserved {
        // The semaphore is never closed, so there is always a permit.
        Reserved { units: Arc::clone(&self.units).acquire_many_owned(self.units_of(bytes)).await.ok() }
    }

    /// Reserves `bytes` without waiting.
    ///
    /// # Errors
    /// `Full` if the bytes are not free, or another user waits for them.
    pub fn try_reserve(&self, bytes: u64) -> Result<Reserved, Full> {
        match Arc::clone(&self.units).try_acquire_many_owned(self.units_of(bytes)) {
            Ok(units) => Ok(Reserved { units: Some(units) }),
            Err(_) => Err(self.full(bytes)),
        }
    }

    /// Waits until `bytes` are free and opens an account with them, which can grow.
    pub async fn account(&self, bytes: u64) -> Account {
        let first = self.reserve(bytes).await;
        let covered = bytes.min(self.limit_bytes());
        let state = AccountState { used: 0, covered, held: vec![first] };
        Account { pool: self.clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// The error for a user that needs `wanted` bytes and gets none.
    pub fn full(&self, wanted: u64) -> Full {
        Full { wanted, used: self.used_bytes(), limit: self.limit_bytes(), key: self.key }
    }

    fn units_of(&self, bytes: u64) -> u32 {
        bytes.div_ceil(UNIT).min(self.limit_units.into()) as u32
    }
}

/// The memory of one piece of work, which grows with the work. Clones share it; the last one returns it to the pool.
#[derive(Debug, Clone)]
pub struct Account {
    pool: Pool,
    state: Arc<Mutex<AccountState>>,
}

#[derive(Debug)]
struct AccountState {
    /// Bytes that the work has counted.
    used: u64,
    /// Bytes that were reserved for it.
    covered: u64,
    held: Vec<Reserved>,
}

impl Account {
    /// Counts `bytes` more.
    ///
    /// # Errors
    /// `Full` if the pool has no room for them; then nothing is counted.
    pub fn grow(&self, bytes: u64) -> Result<(), Full> {
        let mut state = self.state.lock();
        let used = state.used.saturating_add(bytes);
        if used > state.covered {
            if used > self.pool.limit_bytes() {
                return Err(self.pool.full(used));
            }
            let missing = used - state.covered;
            // Reserves in steps, so that the list of reservations stays short.
            let step = missing.max(self.pool.limit_bytes() / 64);
            let (more, taken) = match self.pool.try_reserve(step) {
                Ok(more) => (more, step),
                Err(_) => (self.pool.try_reserve(missing)?, missing),
            };
            state.held.push(more);
            state.covered += taken;
        }
        state.used = used;
        Ok(())
    }

    /// Counts `bytes` more until the returned value is dropped. They stay reserved for this account.
    ///
    /// # Errors
    /// Those of [`Self::grow`].
    pub fn lend(&self, bytes: u64) -> Result<Lent, Full> {
        self.grow(bytes)?;
        Ok(Lent { account: self.clone(), bytes })
    }

    /// Returns memory that is reserved and not counted: the work has ended, and its result stays.
    pub fn settle(&self) {
        let mut state = self.state.lock();
        let AccountState { used, covered, held } = &mut *state;
        let mut spare = covered.saturating_sub(*used) / UNIT;
        for reserved in held {
            let Some(units) = &mut reserved.units else { continue };
            let given = spare.min(units.num_permits() as u64);
            drop(units.split(given as usize));
            spare -= given;
            *covered -= given * UNIT;
        }
    }
}

/// Bytes that an account counts until this is dropped.
#[derive(Debug)]
pub struct Lent {
    account: Account,
    bytes: u64,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut state = self.account.state.lock();
        state.used = state.used.saturating_sub(self.bytes);
    }
}

impl PartialEq for Account {
    /// True for clones of one account.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

impl Eq for Account {}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const KIB: u64 = 1 << 10;

    fn pool(kib: u64) -> Pool {
        Pool::new("some.key", kib * KIB)
    }

    #[tokio::test]
    async fn waiters_are_served_in_order_and_before_attempts() {
        let pool = pool(64);
        let first = pool.reserve(40 * KIB).await;
        let (large, small) = (pool.reserve(60 * KIB), pool.reserve(KIB));
        tokio::pin!(large, small);
        assert!(large.as_mut().now_or_never().is_none());
        assert!(small.as_mut().now_or_never().is_none(), "it would overtake");
        assert!(pool.try_reserve(KIB).is_err());
        drop(first);
        let large = large.now_or_never().expect("its turn");
        assert!(small.as_mut().now_or_never().is_some());
        assert_eq!(pool.used_bytes(), 60 * KIB);
        drop(large);
        assert_eq!(pool.used_bytes(), 0);
    }

    #[tokio::test]
    async fn a_need_above_the_limit_runs_alone() {
        let pool = pool(64);
        let all = pool.reserve(u64::MAX).await;
        assert_eq!(pool.used_bytes(), 64 * KIB);
        assert!(pool.reserve(1).now_or_never().is_none());
        drop(all);
    }

    #[tokio::test]
    async fn an_account_grows_up_to_the_limit_and_says_why_no_further() {
        let pool = pool(64);
        let account = pool.account(8 * KIB).await;
        account.grow(8 * KIB).unwrap();
        assert_eq!(pool.used_bytes(), 8 * KIB, "it was taken before");
        account.grow(50 * KIB).unwrap();
        let text = account.grow(8 * KIB).unwrap_err().to_string();
        assert_eq!(text, "67584 bytes of memory are needed, 59392 of 65536 bytes are in use (some.key)");
        account.grow(6 * KIB).unwrap();
        let twin = account.clone();
        drop(account);
        assert_eq!(pool.used_bytes(), 64 * KIB);
        drop(twin);
        assert_eq!(pool.used_bytes(), 0);
    }

    #[tokio::test]
    async fn an_account_that_is_settled_keeps_its_counted_bytes_and_can_grow_again() {
        let pool = pool(64);
        let account = pool.account(32 * KIB).await;
        account.grow(5 * KIB).unwrap();
        account.settle();
        assert_eq!(pool.used_bytes(), 5 * KIB);
        account.grow(50 * KIB).unwrap();
        account.settle();
        assert_eq!(pool.used_bytes(), 55 * KIB);
        drop(account);
        assert_eq!(pool.used_bytes(), 0);
    }

    #[tokio::test]
    async fn lent_memory_is_used_again_by_its_account() {
        let pool = pool(64);
        let account = pool.account(0).await;
        account.grow(30 * KIB).unwrap();
        for _ in 0..3 {
            let lent = account.lend(30 * KIB).unwrap();
            assert!(account.lend(30 * KIB).is_err());
            drop(lent);
        }
        account.grow(30 * KIB).unwrap();
        assert_eq!(pool.used_bytes(), 60 * KIB);
    }

    #[tokio::test]
    async fn accounts_never_wait_for_each_other() {
        let pool = pool(64);
        let (one, other) = (pool.account(24 * KIB).await, pool.account(24 * KIB).await);
        one.grow(24 * KIB).unwrap();
        other.grow(24 * KIB).unwrap();
        assert_eq!(one.grow(17 * KIB).unwrap_err().used, 48 * KIB);
        drop(other);
        one.grow(17 * KIB).unwrap();
    }
}

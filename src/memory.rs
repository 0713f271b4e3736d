//! Memory that is given out by the byte, first come first served, up to a limit.
//!
//! One [`Pool`] stands for each part of the process' memory that many hold at once: requests in flight, running queries.
//! Whoever holds some may *try* to get more and is refused with the reason; it must never wait for more, or two who hold
//! half of the pool each would wait for each other.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Classify, ErrorKind};

/// One permit of a pool.
const UNIT: u64 = 1 << 10;

/// More than the pool has.
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
        // What is more than all of it does not fit later either.
        if self.wanted > self.limit { ErrorKind::Invalid } else { ErrorKind::Exhausted }
    }
}

/// Bytes under one limit. Clones share it.
#[derive(Debug, Clone)]
pub struct Pool {
    units: Arc<Semaphore>,
    limit_units: u32,
    key: &'static str,
}

/// Memory that counts until this is dropped.
#[derive(Debug)]
pub struct Held {
    _units: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// `key` is the setting that `limit_bytes` comes from, for messages.
    pub fn new(key: &'static str, limit_bytes: u64) -> Self {
        let limit_units = (limit_bytes / UNIT).clamp(1, u64::from(u32::MAX / 2)) as u32;
        Self { units: Arc::new(Semaphore::new(limit_units as usize)), limit_units, key }
    }

    pub fn limit_bytes(&self) -> u64 {
        u64::from(self.limit_units) * UNIT
    }

    pub fn used_bytes(&self) -> u64 {
        let free = self.units.available_permits() as u64 * UNIT;
        self.limit_bytes().saturating_sub(free)
    }

    /// Waits, first come first served, until `bytes` are free. More than the limit counts as the limit: it runs alone.
    pub async fn reserve(&self, bytes: u64) -> Held {
        // The semaphore is never closed, so there is always a permit.
        Held { _units: Arc::clone(&self.units).acquire_many_owned(self.units_of(bytes)).await.ok() }
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// `Full` if the bytes are not free, or somebody waits for them.
    pub fn try_reserve(&self, bytes: u64) -> Result<Held, Full> {
        match Arc::clone(&self.units).try_acquire_many_owned(self.units_of(bytes)) {
            Ok(units) => Ok(Held { _units: Some(units) }),
            Err(_) => Err(self.full(bytes)),
        }
    }

    /// Waits for `bytes` to begin with, and counts what comes on top.
    pub async fn account(&self, bytes: u64) -> Account {
        let first = self.reserve(bytes).await;
        let covered = bytes.min(self.limit_bytes());
        let state = AccountState { used: 0, covered, held: vec![first] };
        Account { pool: self.clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// What is said to somebody who asks for `wanted` bytes and gets none.
    pub fn full(&self, wanted: u64) -> Full {
        Full { wanted, used: self.used_bytes(), limit: self.limit_bytes(), key: self.key }
    }

    fn units_of(&self, bytes: u64) -> u32 {
        bytes.div_ceil(UNIT).min(self.limit_units.into()) as u32
    }
}

/// What one piece of work holds of a pool, growing as it goes on. Clones share it; it is given back with the last one.
#[derive(Debug, Clone)]
pub struct Account {
    pool: Pool,
    state: Arc<Mutex<AccountState>>,
}

#[derive(Debug)]
struct AccountState {
    /// What the work has said that it holds.
    used: u64,
    /// What was taken from the pool for it.
    covered: u64,
    held: Vec<Held>,
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
            // In steps, so that the list of what is held stays short.
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
    async fn who_waits_is_served_in_order_and_before_those_who_try() {
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
    async fn what_is_larger_than_the_limit_runs_alone() {
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

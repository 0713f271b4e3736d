//! Memory that work under way needs beyond its admission.
//!
//! Such work never waits, because it holds memory that others wait for. While many wait, the pool that they wait at has
//! nothing free, so a smaller pool is kept for growth alone. It is asked first.
//!
//! Must never: wait.

use super::{Full, Pool, Reserved, UNIT};
use crate::fault::{self, Planted};

/// A call reserves as much again as it has, up to so much, so that its list of reservations stays short.
const STEP: u64 = 16 << 10;

/// Where calls under way take more memory. Clones share it.
#[derive(Debug, Clone)]
pub struct Growth {
    /// Kept for growth.
    own: Pool,
    /// For the admission of calls.
    shared: Pool,
}

impl Growth {
    pub fn new(own: Pool, shared: Pool) -> Self {
        Self { own, shared }
    }

    /// For a call that was let in with `admitted` bytes of the shared pool.
    pub fn of_call(&self, admitted: u64) -> Extra {
        Extra { growth: self.clone(), admitted, counted: 0, reserved: 0, held: Vec::new() }
    }

    pub fn used_bytes(&self) -> u64 {
        self.own.used_bytes()
    }

    fn reserve(&self, bytes: u64) -> Option<Reserved> {
        let own = (bytes <= self.own.limit_bytes()).then(|| self.own.try_reserve(bytes).ok()).flatten();
        own.or_else(|| self.shared.try_reserve(bytes).ok())
    }
}

/// The memory of a call beyond its admission. Dropping it returns the bytes.
#[derive(Debug)]
pub struct Extra {
    growth: Growth,
    admitted: u64,
    counted: u64,
    reserved: u64,
    held: Vec<Reserved>,
}

impl Extra {
    /// Bytes that were taken.
    pub fn taken_bytes(&self) -> u64 {
        self.counted
    }

    /// Takes `bytes` more.
    ///
    /// # Errors
    /// `Full` if they are not free now, or if the call would need more than the shared pool has for all; then nothing is
    /// taken.
    pub fn take(&mut self, bytes: u64) -> Result<(), Full> {
        if fault::planted(Planted::GrowthUncounted) {
            return Ok(());
        }
        let counted = self.counted.saturating_add(bytes);
        let needed = self.admitted.saturating_add(counted);
        if needed > self.growth.shared.limit_bytes() {
            return Err(self.growth.shared.full(needed));
        }
        if let Some(missing) = counted.checked_sub(self.reserved).filter(|missing| *missing > 0) {
            let step = missing.max(self.counted.clamp(UNIT, STEP));
            let more = self.growth.reserve(step).map(|held| (held, step));
            let more = more.or_else(|| self.growth.reserve(missing).map(|held| (held, missing)));
            let (held, reserved) = more.ok_or_else(|| self.growth.shared.full(missing))?;
            self.held.push(held);
            self.reserved += reserved;
        }
        self.counted = counted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::error::{Classify as _, ErrorKind};

    const KIB: u64 = 1 << 10;

    fn growth(own: u64, shared: u64) -> (Growth, Pool, Pool) {
        let (own, shared) = (Pool::new("own.key", own * KIB), Pool::new("some.key", shared * KIB));
        (Growth::new(own.clone(), shared.clone()), own, shared)
    }

    #[tokio::test]
    async fn growth_has_a_pool_of_its_own_while_others_wait() {
        let (growth, own, shared) = growth(32, 256);
        let all = shared.reserve(256 * KIB).await;
        let waiting = shared.reserve(KIB);
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        let mut extra = growth.of_call(0);
        extra.take(KIB).unwrap();
        assert_eq!(own.used_bytes(), KIB, "many small calls share the pool");
        extra.take(20 * KIB).unwrap();
        let full = extra.take(20 * KIB).unwrap_err();
        assert_eq!((full.kind(), full.key), (ErrorKind::Exhausted, "some.key"));
        extra.take(KIB).unwrap();
        assert_eq!(own.used_bytes(), 22 * KIB, "there is no room for a whole step");
        drop(all);
        waiting.await;
        extra.take(20 * KIB).unwrap();
        drop(extra);
        assert_eq!((own.used_bytes(), shared.used_bytes()), (0, 0));
    }

    #[test]
    fn what_no_pool_has_room_for_is_refused_for_good() {
        let (growth, own, shared) = growth(32, 256);
        let mut extra = growth.of_call(200 * KIB);
        extra.take(50 * KIB).unwrap();
        let full = extra.take(7 * KIB).unwrap_err();
        assert_eq!((full.kind(), full.wanted, full.limit), (ErrorKind::Invalid, 257 * KIB, 256 * KIB));
        assert_eq!((own.used_bytes(), shared.used_bytes()), (0, 50 * KIB), "nothing is taken");
        extra.take(6 * KIB).unwrap();
        assert!(extra.take(u64::MAX).is_err());
    }
}

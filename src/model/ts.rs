//! Hybrid timestamps of Milvus: `milliseconds since 1970 << 18 | counter`.

use std::time::Duration;

use crate::fault::{self, Planted};

/// A hybrid timestamp. Ordered; 0 means "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

const LOGICAL_BITS: u32 = 18;

impl Timestamp {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(u64::MAX);

    /// The first timestamp of a millisecond.
    pub fn from_ms(ms: u64) -> Self {
        Self(ms << LOGICAL_BITS)
    }

    /// Milliseconds since 1970.
    pub fn physical_ms(self) -> u64 {
        self.0 >> LOGICAL_BITS
    }

    /// The counter inside the millisecond.
    pub fn logical(self) -> u64 {
        self.0 & ((1 << LOGICAL_BITS) - 1)
    }

    /// The bound that follows from a time to live at `now_ms`: a row has expired exactly if its timestamp is smaller.
    pub fn expire_before(ttl: Duration, now_ms: u64) -> Self {
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Self::from_ms(now_ms.saturating_sub(ttl_ms))
    }

    /// True if a row of this timestamp is strictly older than `ttl` at `now_ms`, in milliseconds.
    pub fn is_expired(self, ttl: Duration, now_ms: u64) -> bool {
        let early = u64::from(fault::planted(Planted::ExpiresEarly));
        self.physical_ms().saturating_add(ttl.as_millis() as u64) < now_ms.saturating_add(early)
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_strict() {
        let ts = Timestamp(Timestamp::from_ms(1_000).0 | 77);
        assert!(!ts.is_expired(Duration::from_millis(500), 1_500));
        assert!(ts.is_expired(Duration::from_millis(500), 1_501));
    }

    #[test]
    fn a_timestamp_has_milliseconds_and_a_counter() {
        let ts = Timestamp(470597344867647489);
        assert_eq!((ts.physical_ms(), ts.logical()), (470597344867647489 >> 18, 470597344867647489 & 0x3FFFF));
        assert_eq!(Timestamp::from_ms(ts.physical_ms()).logical(), 0);
    }
}

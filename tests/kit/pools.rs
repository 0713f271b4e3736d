//! Memory for calls of tests.

use datacoord::memory::{Extra, Growth, Pool};

/// Pools of so many bytes each: one kept for growth, and one that calls are let in with.
pub(crate) fn growth(bytes: u64) -> Growth {
    Growth::new(Pool::new("growth.key", bytes), Pool::new("some.key", bytes))
}

/// A call that may have as much as it wants.
pub(crate) fn ample() -> Extra {
    growth(u64::MAX).of_call(0)
}

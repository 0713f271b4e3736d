//! Bounds on the bodies of requests. Must never: grow with a number that a client claims.

use std::time::Duration;

use crate::memory::Pool;

/// Bounds on the memory of requests, and on how long they may hold it.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// A body has to arrive within this time.
    pub idle: Duration,
    /// The pool that bodies take their memory from.
    pub memory: Pool,
    pub large: LargeBodies,
}

/// Bounds on bodies with rows or vectors.
#[derive(Debug, Clone)]
pub struct LargeBodies {
    pub(super) memory: Pool,
    /// Most bytes of a body.
    pub(super) most: usize,
    /// The setting that this limit comes from.
    pub(super) key: &'static str,
}

/// Memory that a body with rows takes, as it arrived and as columns, for each of its bytes.
pub(super) const COPIES: u64 = 4;

impl LargeBodies {
    /// At most `most` bytes each, and no more than the memory has room for. `key` is the setting of `most`.
    pub fn new(memory: Pool, most: usize, key: &'static str) -> Self {
        let room = usize::try_from(memory.limit_bytes() / COPIES).unwrap_or(usize::MAX);
        Self { memory, most: most.min(room), key }
    }
}

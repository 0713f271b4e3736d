//! Bounds on the bodies of requests. Must never: grow with a number that a client claims.

use std::time::Duration;

use super::paths::LARGE;
use crate::memory::{Growth, Pool};

/// Bounds on the memory of requests, and on how long they may hold it.
#[derive(Debug, Clone)]
pub struct RequestBounds {
    /// A body has to arrive within this time.
    pub idle: Duration,
    /// The pool that bodies take their memory from.
    pub memory: Pool,
    /// Where a request takes more, for the values of its body.
    pub growth: Growth,
    pub large: LargeBodies,
    /// Most event streams of the page that are open at once.
    pub streams: usize,
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

/// Limit of a body without rows: a few names and numbers.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;
/// Memory that a body with rows takes, as it arrived and as columns, for each of its bytes.
const COPIES: u64 = 4;
/// The same of other bodies, which are short: a number of a list has two bytes there and eight in memory, and is copied.
const SMALL_COPIES: u64 = 16;

/// The memory that bodies of a path take for each of their bytes, whatever they hold.
pub(super) fn copies(path: &str) -> u64 {
    if LARGE.contains(&path) { COPIES } else { SMALL_COPIES }
}

/// The memory and the limit of a body of a path.
pub(super) struct Entry<'b> {
    pub(super) memory: &'b Pool,
    /// Bytes of memory for each byte. A short body is let in with itself alone: one that never comes holds no more.
    pub(super) copies: u64,
    /// Most bytes of the body, and the setting of that limit.
    pub(super) most: usize,
    pub(super) key: Option<&'static str>,
}

impl RequestBounds {
    pub(super) fn entry(&self, path: &str) -> Entry<'_> {
        let LargeBodies { memory, most, key } = &self.large;
        match LARGE.contains(&path) {
            true => Entry { memory, copies: COPIES, most: *most, key: Some(*key) },
            false => Entry { memory: &self.memory, copies: 1, most: MAX_BODY_BYTES, key: None },
        }
    }
}

impl LargeBodies {
    /// At most `most` bytes each, and no more than the memory has room for. `key` is the setting of `most`.
    pub fn new(memory: Pool, most: usize, key: &'static str) -> Self {
        let room = usize::try_from(memory.limit_bytes() / COPIES).unwrap_or(usize::MAX);
        Self { memory, most: most.min(room), key }
    }
}

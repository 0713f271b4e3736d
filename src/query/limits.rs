//! The limits of one read, the memory that it may hold, and the cores that it shares with others.
//!
//! Must never: wait for memory. A read that waits holds memory that others wait for.

use super::{QueryError, RowSource, SearchCores};
use crate::{
    memory::{Account, Full, Lent},
    model::FieldId,
};

/// Limits of one read.
#[derive(Debug, Clone)]
pub struct QueryLimits {
    /// Maximum of limit and offset together.
    pub max_window: u64,
    /// Maximum of rows in an answer to a query without limit; also of the keys of [`super::matching_keys`].
    pub max_rows: u64,
    /// Maximum of bytes of the rows of an answer, in memory.
    pub max_bytes: u64,
    /// Counts the memory that the read holds; none: it is not counted.
    pub memory: Option<Account>,
    /// The cores among which one search may be divided.
    pub cores: SearchCores,
}

impl QueryLimits {
    /// Counts memory that the read is about to hold.
    pub(super) fn hold(&self, bytes: u64) -> Result<(), QueryError> {
        Ok(self.memory.as_ref().map_or(Ok(()), |account| account.grow(bytes))?)
    }

    /// Counts memory until the returned value is dropped; none: it is not counted.
    pub(super) fn lend(&self, bytes: u64) -> Result<Option<Lent>, Full> {
        self.memory.as_ref().map(|account| account.lend(bytes)).transpose()
    }

    /// Lets a source keep columns in memory. One column is made at a time, so the largest counts.
    pub(super) async fn keep(&self, source: &dyn RowSource, fields: &[FieldId]) {
        let mut held = 0;
        let mut reserve = |bytes| self.reserve(&mut held, bytes);
        source.keep(fields, &mut reserve).await;
    }

    /// Counts memory that is used again and again, if there is room: `held` bytes were counted for it so far.
    pub(super) fn reserve(&self, held: &mut u64, bytes: u64) -> bool {
        let has_room = self.hold(bytes.saturating_sub(*held)).is_ok();
        if has_room {
            *held = bytes.max(*held);
        }
        has_room
    }
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            max_window: 16_384,
            max_rows: 4_000_000,
            max_bytes: 128 << 20,
            memory: None,
            cores: SearchCores::default(),
        }
    }
}

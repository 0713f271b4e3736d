//! The limits of one read, the memory that it may hold, and the cores that it shares with others.
//!
//! Must never: wait for memory. A read that waits holds memory that others wait for.

use std::sync::Arc;

use super::{QueryError, RowSource, SearchCores};
use crate::{
    memory::{Account, Full, Lent, Spare},
    model::FieldId,
    storage::OpenIndex,
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

    /// Memory that only saves work: of columns, deletes and indexes while they are brought into the cache, which counts
    /// them from then on.
    pub(super) fn spare(&self) -> Spare {
        self.memory.as_ref().map_or_else(Spare::uncounted, Spare::beside)
    }

    /// Lets a source keep columns in memory. One column is made at a time, so the largest counts.
    pub(super) async fn keep(&self, source: &dyn RowSource, fields: &[FieldId]) {
        source.keep(fields, &self.spare()).await;
    }

    /// The index of a field, if the source has one and there is memory to open it.
    pub(super) async fn open_index(&self, source: &dyn RowSource, field: FieldId) -> Option<Arc<OpenIndex>> {
        source.index(field, &self.spare()).await
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

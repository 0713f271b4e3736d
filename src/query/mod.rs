//! Reads: rows, counts and keys over growing and flushed segments minus deletes.
//!
//! ```text
//!  RowSource (memory, segment) ──▶ scan: cheap columns, filter, deletes, expiry ──▶ survivors (key, time, place)
//!                                                                                      │
//!   query: newest row per key, smallest keys first, window ──▶ output columns of those rows only
//!   count: how many          matching_keys: which keys, for a delete by filter
//! ```
//!
//! What a read sees is everything in its [`ReadSet`] and nothing else: who builds the set decides what is visible.
//!
//! - R1 A row is dead if a delete of its key, in its channel and partition, has a strictly greater timestamp.
//! - R2 A row is expired if its timestamp is smaller than the bound that the collection's time to live gives.
//! - R3 A query answers one row per primary key, the newest of those that *match*; rows of one timestamp: the first of
//!   the first source. Rows are in ascending order of their keys; offset and limit apply to that.
//! - R4 A count counts every live matching row, several of one key too.
//!
//! R3 and R4 are what Milvus 2.3.5 was observed to do.
//!
//! Must never hold a whole segment, decode vectors of rows that are not answered, or block a thread that serves
//! requests. Dropping a read ends it: what it has on other threads ends at the next checkpoint (`interrupt`), which is
//! never further away than a few kilobytes of text.

pub mod count;
pub mod deletes;
pub mod error;
pub mod expr;
mod interrupt;
pub mod scan;
pub mod select;
pub mod source;

#[cfg(test)]
mod tests;

pub use count::{count, matching_keys};
pub use deletes::ScopedDelete;
pub use error::QueryError;
pub use expr::{BoundExpr, ExprError, PkFilter, compile, is_key_name};
pub use scan::{ReadSet, Scope, expire_before};
pub use select::{Query, QueryLimits, query};
pub use source::{MemorySource, RowSource, SegmentSource};

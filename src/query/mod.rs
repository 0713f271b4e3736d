//! Reads: rows, counts and keys over growing and flushed segments minus deletes.
//!
//! ```text
//!  RowSource (memory, segment) ──▶ scan: cheap columns, filter, deletes, expiry ──▶ survivors (key, time, place)
//!                                                                                      │
//!   query: newest row per key, smallest keys first, window ──▶ output columns of those rows only
//!   count: how many          matching_keys: which keys, for a delete by filter
//!   search: nearest rows per query vector ──▶ output columns of those rows only
//! ```
//!
//! A read sees everything in its [`ReadSet`] and nothing else, so the builder of the set decides what is visible.
//!
//! - R1 A row is dead if a delete of its key, in its channel and partition, has a strictly greater timestamp.
//! - R2 A row is expired if its timestamp is smaller than the bound that the collection's time to live gives.
//! - R3 A query returns one row per primary key, the newest of those that *match*; of equal timestamps, the first row of
//!   the first source. Rows are in ascending order of their keys. Offset and limit apply to that order.
//! - R4 A count counts every live matching row, even several of one key.
//!
//! R3 and R4 were observed on Milvus 2.3.5. The rules of searches are in [`mod@search`].
//!
//! Must never hold a whole column of a segment outside the cache, decode vectors that are neither searched nor returned, or
//! block a thread that serves requests.
//!
//! Dropping a read ends it: its work on other threads ends at the next checkpoint (`interrupt`), after a few kilobytes of
//! text at most.

mod cores;
pub mod count;
pub mod deletes;
pub mod error;
mod eval;
pub mod expr;
mod interrupt;
mod limits;
pub mod scan;
pub mod search;
pub mod select;
pub mod source;

#[cfg(test)]
mod tests;

pub use cores::SearchCores;
pub use count::{count, matching_keys};
pub use deletes::ScopedDelete;
pub use error::QueryError;
pub use expr::{BoundExpr, ExprError, FilterError, PkFilter, compile, is_key_name};
pub use limits::QueryLimits;
pub use scan::{ReadSet, Scope};
pub use search::{Effort, Found, Fusion, Grouping, Hybrid, IteratorPage, QueryVectors, Range, Search, hybrid, search};
pub use select::{Query, query};
pub use source::{MemorySource, RowSource, SegmentSource};

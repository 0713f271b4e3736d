//! Search: the rows whose vectors are nearest to query vectors; exact, unless a segment has an index (`indexed`).
//!
//! ```text
//!  sources ──▶ scan: live rows that match ──▶ ranks of vectors (compare, kernel) ──▶ nearest per query (nearest)
//!                                                                                      │
//!                                 output columns of the rows that are left (select) ◀──┘
//! ```
//!
//! - S1 A search sees the rows that a query of the same scope counts.
//! - S2 It finds one row per key: the nearest; of equally near ones the newest. So an answer is never shorter because a
//!   key has several rows, and compaction changes no answer.
//!   A grouped search finds one row per value of a field instead, or several: then those of the nearest group come first,
//!   and offset and limit count groups.
//!   A page of an iterator has all rows that are as near as its last one, beyond its limit.
//! - S3 Rows are ordered by nearness, then by key. Offset and limit apply to that order.
//! - S4 A vector has no rank if a component of it or of the query is no finite number, if the metric is COSINE and all are
//!   zero, or if a structure is not contained. Such a row is never found.
//!
//! Several searches over the same rows become one in `hybrid`.
//!
//! S2 is stricter than Milvus 2.3.5, which takes the nearest rows of each segment before it drops repeated keys; S4 was
//! observed on it.
//!
//! Must never hold more vectors than those of a few logs, beside those in the cache.

mod compare;
mod effort;
mod exact;
mod found;
mod fusion;
mod grouped;
mod hybrid;
mod indexed;
mod kernel;
mod nearest;
mod parts;
mod request;
mod vectors;
mod wanted;

pub use effort::Effort;
pub use exact::search;
#[cfg(test)]
pub(in crate::query) use exact::search_until;
pub use found::Found;
pub use fusion::Fusion;
pub use grouped::Grouping;
pub use hybrid::{Hybrid, hybrid};
pub use request::{IteratorPage, Range, Search};
pub use vectors::QueryVectors;

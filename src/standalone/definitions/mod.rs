//! Definitions: databases, collections, aliases, partitions, properties, indexes, load state.
//!
//! One change at a time, durable before it is seen, and finished once it has begun (`coordinator::steps`). Knows schemas
//! only as values: parsing and checking a client's request is the edge's work. Index definitions and load states are kept
//! to be described. Must never build an index or load a row.

mod aliases;
mod change;
mod collections;
mod databases;
mod indexes;
mod load;
mod partitions;

pub use collections::NewCollection;
pub(crate) use partitions::partition_ids;

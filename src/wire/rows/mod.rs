//! Rows between requests and record batches: `insert` decodes what clients send, `answer` encodes what they get, `queries`
//! decodes the vectors of a search, `defaults` fills in what clients leave out.
//!
//! Columns are those of `CollectionSchema::arrow_schema`: named by field id, never null, vectors as fixed-size
//! little-endian bytes, array cells as serialised `ScalarField` messages. Numbers and vectors are moved, not copied.
//!
//! Must never: let a value into a batch that is not valid for its schema. No code behind this module checks values again.

pub mod answer;
mod defaults;
mod error;
pub mod insert;
pub mod queries;

pub use error::RowError;

#[cfg(test)]
mod tests;

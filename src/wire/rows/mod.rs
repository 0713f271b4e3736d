//! Rows between requests and record batches: `insert` decodes the rows of a request, `answer` encodes those of an answer,
//! `queries` decodes the vectors of a search. Below `insert`, `columns` converts columns, `checks` has the rules of values,
//! `defaults` completes rows that lack values, `distinct` compares keys, `values` counts, `carried` takes
//! memory for ids and keys.
//!
//! Columns are those of `CollectionSchema::arrow_schema`: named by field id, never null, vectors as fixed-size
//! little-endian bytes, array cells as serialised `ScalarField` messages. Numbers and vectors are moved, not copied.
//!
//! Must never: let a value into a batch that is not valid for its schema. No code behind this module checks values again.

pub mod answer;
mod carried;
mod checks;
mod columns;
mod defaults;
mod distinct;
mod error;
pub mod insert;
pub mod queries;
pub mod values;

pub use error::RowError;

#[cfg(test)]
mod tests;

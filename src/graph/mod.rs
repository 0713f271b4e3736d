//! HNSW graphs over the vectors of a segment: building, their bytes, and the search for near vectors.
//!
//! The only user of `usearch`, which walks the graph; distances are those of `simsimd`, which exact searches use too. A
//! graph answers with *places* of rows; callers rank them exactly. Vectors of COSINE are stored with length 1. Builds and
//! searches compare *halves* of long vectors (half precision) on their way, if halves tell the vectors apart.
//!
//! Must never: open bytes that were not checked against their checksum (the engine trusts them), or panic in a function
//! that the engine calls (that ends the process).

mod build;
mod error;
mod halves;
mod metric;
mod numbers;
mod open;
mod shape;
mod stored;
mod walk;

pub use build::{GraphBuilder, GraphVectors};
pub use error::GraphError;
pub use open::{Graph, Walk};
pub use shape::GraphShape;

#[cfg(test)]
mod tests;

//! The index of one vector field of a segment, as the segment's record names it.

use serde::{Deserialize, Serialize};

use super::FieldId;

/// A finished index. Its objects are `index_files/<build>/<version>/<partition>/<segment>/<part>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentIndex {
    /// Id of the definition that it was built for.
    pub index: i64,
    pub field: FieldId,
    /// The plan that built it.
    pub build: i64,
    /// The attempt of that plan, from 1.
    pub version: i64,
    /// Objects, in the order of the rows. Part 0 is the first.
    pub parts: Vec<IndexPart>,
}

/// One object of an index: a graph over some rows of the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPart {
    /// Vectors in it. A vector that no search finds is in none.
    pub rows: u64,
    pub bytes: u64,
    /// CRC-32C of the whole object.
    pub checksum: u32,
}

impl SegmentIndex {
    /// Bytes of all objects.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

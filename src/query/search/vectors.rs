//! The query vectors of a search.

use arrow_buffer::Buffer;

use crate::storage::Vectors;

/// Query vectors of one width, in the form of stored ones.
#[derive(Debug, Clone)]
pub struct QueryVectors(Vectors);

impl QueryVectors {
    /// `data` has whole vectors of `width` bytes, one after the other: little-endian floats, or bits.
    pub fn new(data: Vec<u8>, width: usize) -> Self {
        Self(Vectors::dense(Buffer::from_vec(data), width))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of one vector.
    pub fn width(&self) -> usize {
        self.0.width()
    }

    pub(super) fn bytes(&self, index: usize) -> &[u8] {
        self.0.bytes(index)
    }

    pub(super) fn floats(&self, index: usize) -> &[f32] {
        self.0.floats(index)
    }
}

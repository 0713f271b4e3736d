//! Decoded vectors: dense, one after the other, aligned for the kernels that compare them.

use arrow_array::FixedSizeBinaryArray;
use arrow_buffer::{Buffer, ScalarBuffer};

/// Vectors of one width. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vectors {
    data: Buffer,
    /// The same bytes as numbers; empty if a vector can't consist of them.
    floats: ScalarBuffer<f32>,
    /// Bytes of one vector.
    width: usize,
}

impl Vectors {
    /// The vectors of a column. Copies them only if they are not aligned for numbers.
    pub fn of(column: &FixedSizeBinaryArray) -> Self {
        Self::dense(column.values().clone(), column.value_size())
    }

    /// Vectors of `width` bytes, one after the other. Copies them only if they are not aligned for numbers.
    pub fn dense(data: Buffer, width: usize) -> Self {
        let is_aligned = data.as_ptr().align_offset(align_of::<f32>()) == 0;
        let data = if is_aligned { data } else { Buffer::from(data.as_slice()) };
        let numbers = if width.is_multiple_of(size_of::<f32>()) { data.len() / size_of::<f32>() } else { 0 };
        Self { floats: ScalarBuffer::new(data.clone(), 0, numbers), data, width }
    }

    pub fn len(&self) -> usize {
        self.data.len().checked_div(self.width).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where they are in memory. Clones are at one address, and others are not while one of them lives, unless all are empty.
    pub fn address(&self) -> usize {
        self.data.as_ptr().addr()
    }

    /// Bytes of one vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Memory that they take, in bytes.
    pub fn bytes_in_memory(&self) -> u64 {
        self.data.len() as u64
    }

    /// One vector; empty behind the last.
    pub fn bytes(&self, index: usize) -> &[u8] {
        self.data.get(index * self.width..(index + 1) * self.width).unwrap_or(&[])
    }

    /// One vector as numbers; empty behind the last.
    pub fn floats(&self, index: usize) -> &[f32] {
        let numbers = self.width / size_of::<f32>();
        self.floats.get(index * numbers..(index + 1) * numbers).unwrap_or(&[])
    }
}

//! How the engine writes an index: the vectors, a head, the links. Only this is known of its format, and only here.

use std::{collections::HashMap, ops::Range};

use arrow_buffer::{Buffer, ScalarBuffer};
use usearch::Index;

use super::GraphError;

/// Bytes in front of the vectors: their number, and the bytes of each.
pub(super) const HEAD_BYTES: usize = 8;

/// Where the number of dimensions is, behind the vectors: after a name of 7 bytes, three numbers of the release, four
/// kinds, and how many vectors there are and were deleted.
pub(super) fn dimensions_in(behind_vectors: usize) -> Range<usize> {
    let from = behind_vectors + 7 + 3 * 2 + 4 + 2 * 8;
    from..from + 8
}

/// The vectors where they lie in the bytes of a graph, by place. The engine copies a vector behind a lock, which takes as
/// long as several distances.
#[derive(Debug)]
pub(super) struct StoredVectors {
    numbers: ScalarBuffer<f32>,
    dim: usize,
    /// Which of the vectors belongs to a place.
    slots: Vec<u32>,
}

impl StoredVectors {
    /// A place without a vector.
    const NONE: u32 = u32::MAX;

    /// Looks for the vectors of the index in its bytes. The order of threads that built it decides over their order.
    ///
    /// # Errors
    /// They are not where the engine writes them.
    pub(super) fn find(bytes: &Buffer, index: &Index, places: u64) -> Result<Self, GraphError> {
        let (rows, dim) = (index.size(), index.dimensions());
        let width = dim * size_of::<f32>();
        let other = |what: &str| GraphError::Other { expected: format!("{rows} vectors"), found: what.to_owned() };
        let end = rows.checked_mul(width).and_then(|length| length.checked_add(HEAD_BYTES));
        let stored = end.and_then(|end| bytes.get(HEAD_BYTES..end)).ok_or_else(|| other("fewer"))?;
        let slots_of: HashMap<&[u8], u32> = (0..).zip(stored.chunks_exact(width)).map(|(slot, v)| (v, slot)).collect();
        let (mut slots, mut found, mut vector) = (Vec::new(), 0, vec![0.0f32; dim]);
        for place in 0..places {
            if found == rows {
                break;
            }
            if index.get(place, &mut vector).map_err(GraphError::engine)? == 0 {
                slots.push(Self::NONE);
                continue;
            }
            let copied: Vec<u8> = vector.iter().flat_map(|number| number.to_ne_bytes()).collect();
            slots.push(*slots_of.get(copied.as_slice()).ok_or_else(|| other("others"))?);
            found += 1;
        }
        if found < rows {
            return Err(other("some of other places"));
        }
        slots.shrink_to_fit();
        let numbers = ScalarBuffer::new(bytes.clone(), HEAD_BYTES / size_of::<f32>(), rows * dim);
        Ok(Self { numbers, dim, slots })
    }

    /// All of them, by slot.
    pub(super) fn numbers(&self) -> &ScalarBuffer<f32> {
        &self.numbers
    }

    pub(super) fn in_slot(&self, slot: usize) -> Option<&[f32]> {
        self.numbers.get(slot.checked_mul(self.dim)?..)?.get(..self.dim)
    }

    pub(super) fn slot(&self, place: u64) -> Option<usize> {
        let slot = self.slots.get(usize::try_from(place).ok()?).filter(|slot| **slot != Self::NONE)?;
        Some(*slot as usize)
    }

    pub(super) fn at(&self, place: u64) -> Option<&[f32]> {
        self.in_slot(self.slot(place)?)
    }
}

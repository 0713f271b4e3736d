//! Vectors of a graph in half precision, which a walk compares instead of the stored ones.
//!
//! A walk waits for memory: it reaches vectors in no order, and half the bytes arrive in about half the time. It only
//! finds candidates, which callers rank with the stored vectors; a build keeps these in its bytes as well. So halves
//! decide over recall, never over a distance that a client sees.
//!
//! Must never: be used before [`Halves::are_faithful`] has said so. Vectors that differ by less than halves tell apart
//! (rows close together and far from the origin) would be found by chance.

use arrow_buffer::ScalarBuffer;
use half::{f16, slice::HalfFloatSliceExt};
use simsimd::{SpatialSimilarity, capabilities};

use super::{GraphError, GraphShape, metric::distance, numbers::PagedNumbers};
use crate::model::Metric;

/// Shorter vectors are so few cache lines that halves save less than they cost.
const LEAST_DIM: u32 = 256;
/// Length of the longest vector after scaling. Kernels add in half precision, and the squared distance of two opposite
/// vectors of this length, 57,600, is still a number there.
const LONGEST: f32 = 120.0;
/// Vectors whose surroundings are looked at, and the rows of each.
const SAMPLES: usize = 32;
const SURROUNDINGS: usize = 17;
/// One pair of rows in so many may be in the wrong order.
const PAIRS_PER_INVERSION: usize = 8;

/// The vectors of a graph, in the order of the stored ones.
#[derive(Debug)]
pub(super) struct Halves {
    metric: Metric,
    dim: usize,
    /// Of a stored component.
    factor: f32,
    numbers: ScalarBuffer<f16>,
}

impl Halves {
    /// False: vectors of this shape have no halves on this machine.
    pub(super) fn serve(shape: &GraphShape) -> bool {
        // A processor without arithmetic of halves turns them into floats first. AMD's since Zen 4 (genoa) compare floats so
        // fast that this takes as long as it saves (docs/benchmarks.md).
        let turns_fast = capabilities::uses_haswell() && !capabilities::uses_genoa();
        let has_kernels = capabilities::uses_sapphire() || turns_fast || capabilities::uses_neon_f16();
        has_kernels && shape.dim >= LEAST_DIM
    }

    /// Memory of the halves of so many vectors.
    pub(super) fn bytes(shape: &GraphShape, rows: u64) -> u64 {
        if Self::serve(shape) { rows * u64::from(shape.dim) * size_of::<f16>() as u64 } else { 0 }
    }

    /// Those of the vectors in `stored`, one behind the other. None: there are none for them.
    ///
    /// # Errors
    /// No memory.
    pub(super) fn of(shape: &GraphShape, stored: &[f32]) -> Result<Option<Self>, GraphError> {
        let dim = shape.dim as usize;
        if !Self::serve(shape) {
            return Ok(None);
        }
        let longest = stored.chunks_exact(dim).map(length).fold(0.0, f32::max);
        let factor = LONGEST / longest;
        if !factor.is_normal() {
            return Ok(None);
        }
        let mut numbers = PagedNumbers::new(stored.len() * size_of::<f16>())?;
        let (mut scaled, mut halves) = (vec![0.0; dim], vec![f16::ZERO; dim]);
        for vector in stored.chunks_exact(dim) {
            scaled.iter_mut().zip(vector).for_each(|(scaled, number)| *scaled = number * factor);
            halves.convert_from_f32_slice(&scaled);
            if !numbers.push(&halves) {
                return Ok(None);
            }
        }
        Ok(Some(Self { metric: shape.metric, dim, factor, numbers: numbers.finish()? }))
    }

    /// The halves of a vector.
    pub(super) fn at(&self, slot: usize) -> Option<&[f16]> {
        self.numbers.get(slot.checked_mul(self.dim)?..)?.get(..self.dim)
    }

    /// The halves of a query. None: it is too far from the vectors, or has no direction.
    pub(super) fn of_query(&self, query: &[f32]) -> Option<Vec<f16>> {
        let length = length(query);
        let factor = match self.metric {
            Metric::L2 => Some(self.factor).filter(|factor| length * factor <= LONGEST),
            // Its length does not change the order of rows.
            _ => Some(LONGEST / length).filter(|factor| factor.is_normal()),
        }?;
        let scaled: Vec<f32> = query.iter().map(|number| number * factor).collect();
        let mut halves = vec![f16::ZERO; scaled.len()];
        halves.convert_from_f32_slice(&scaled);
        Some(halves)
    }

    /// How far apart two of them are; only the order of such values tells something.
    pub(super) fn distance(&self, one: &[f16], other: &[f16]) -> f32 {
        let (one, other) = (as_kernel(one), as_kernel(other));
        let found = match self.metric {
            Metric::Ip => simsimd::f16::dot(one, other).map(|product| -product),
            // The order of L2 is that of the cosine for vectors of one length, and is exact where they are close.
            _ => simsimd::f16::l2sq(one, other),
        };
        found.unwrap_or(f64::MAX) as f32
    }

    /// True if they rank the rows around some of the vectors as the stored vectors do, but for some neighbours in the
    /// ranking. `near` gives the slots of rows around one, found by a walk.
    ///
    /// # Errors
    /// Those of `near`.
    pub(super) fn are_faithful(
        &self,
        stored: &[f32],
        mut near: impl FnMut(usize, usize) -> Result<Vec<usize>, GraphError>,
    ) -> Result<bool, GraphError> {
        let rows = stored.len() / self.dim;
        let vector = |slot: usize| &stored[slot * self.dim..][..self.dim];
        let (mut pairs, mut inversions) = (0, 0);
        for slot in (0..rows).step_by(rows.div_ceil(SAMPLES).max(1)) {
            let Some(halves) = self.at(slot) else { continue };
            let found = near(slot, SURROUNDINGS)?;
            let ranked: Vec<(f32, f32)> = found
                .iter()
                .filter(|found| **found != slot && **found < rows)
                .filter_map(|found| {
                    let exact = distance(self.metric, vector(slot), vector(*found));
                    Some((exact, self.distance(halves, self.at(*found)?)))
                })
                .collect();
            for (place, one) in ranked.iter().enumerate() {
                for other in &ranked[place + 1..] {
                    pairs += usize::from(one.0 != other.0);
                    inversions +=
                        usize::from((one.0 < other.0 && one.1 >= other.1) || (one.0 > other.0 && one.1 <= other.1));
                }
            }
        }
        Ok(inversions * PAIRS_PER_INVERSION <= pairs)
    }
}

fn as_kernel(halves: &[f16]) -> &[simsimd::f16] {
    // SAFETY: both types are one u16, in the same representation (IEEE 754, `repr(transparent)`).
    unsafe { std::slice::from_raw_parts(halves.as_ptr().cast(), halves.len()) }
}

fn length(vector: &[f32]) -> f32 {
    super::metric::length(vector) as f32
}

//! A finished graph: searches over its bytes, where they lie.

use std::{collections::HashMap, fmt};

use arrow_buffer::{Buffer, ScalarBuffer};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use usearch::Index;

use super::{
    GraphError, GraphShape,
    metric::{empty, use_kernels},
};

/// Searches of one graph at once. Others wait: the engine refuses a search that finds none of its work areas free.
const SEARCHES: usize = 32;

/// A graph that does not change.
pub struct Graph {
    /// Points into `bytes`, so it goes first.
    index: Index,
    bytes: Buffer,
    vectors: StoredVectors,
    shape: GraphShape,
    free: Mutex<usize>,
    freed: Condvar,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("shape", &self.shape).field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Graph {
    /// Memory of a node beside the bytes of the graph: where its vector is, and the place that it belongs to.
    pub const TABLE_BYTES: u64 = 44;

    /// Opens the bytes of [`super::GraphBuilder::to_bytes`], which have been checked since. All places in it are below
    /// `places`.
    ///
    /// # Errors
    /// Bytes of another shape; no memory.
    pub fn open(bytes: Bytes, shape: GraphShape, places: u64) -> Result<Self, GraphError> {
        let is_aligned = bytes.as_ptr().align_offset(align_of::<u64>()) == 0;
        let bytes = if is_aligned { Buffer::from(bytes) } else { Buffer::from(bytes.as_ref()) };
        let mut index = empty(&shape)?;
        let head = Index::metadata_from_buffer(&bytes).map_err(GraphError::engine)?;
        if head.dimensions != u64::from(shape.dim) || head.metric != index.metric_kind() {
            let told =
                |dimensions: u64, metric: usearch::MetricKind| format!("{dimensions} dimensions, metric {metric:?}");
            let expected = told(shape.dim.into(), index.metric_kind());
            return Err(GraphError::Other { expected, found: told(head.dimensions, head.metric) });
        }
        // SAFETY: the bytes live, unchanged and where they are, as long as the index: both are in one `Graph`.
        unsafe { index.view_from_buffer(&bytes) }.map_err(GraphError::engine)?;
        index.reserve_capacity_and_threads(index.size(), SEARCHES).map_err(GraphError::engine)?;
        use_kernels(&mut index, &shape);
        let vectors = StoredVectors::find(&bytes, &index, places)?;
        Ok(Self { index, bytes, vectors, shape, free: Mutex::new(SEARCHES), freed: Condvar::new() })
    }

    pub fn shape(&self) -> &GraphShape {
        &self.shape
    }

    /// Vectors in it.
    pub fn rows(&self) -> u64 {
        self.index.size() as u64
    }

    /// Memory that it takes, in bytes.
    pub fn bytes_in_memory(&self) -> u64 {
        self.bytes.len() as u64 + self.rows() * Self::TABLE_BYTES
    }

    /// Places of about the `count` vectors that are nearest to a query, among those that `keep` keeps (none: all). More
    /// are found more surely. `keep` must not panic.
    ///
    /// # Errors
    /// A query of another dimension; no memory.
    pub fn nearest(
        &self,
        query: &[f32],
        count: usize,
        keep: Option<&dyn Fn(u64) -> bool>,
    ) -> Result<Vec<u64>, GraphError> {
        let count = count.min(self.index.size());
        if count == 0 {
            return Ok(Vec::new());
        }
        let _area = self.area();
        let found = match keep {
            None => self.index.search(query, count),
            Some(keep) => self.index.filtered_search(query, count, keep),
        };
        Ok(found.map_err(GraphError::engine)?.keys)
    }

    /// The vector at a place. None: the graph has none.
    pub fn vector(&self, place: u64) -> Option<&[f32]> {
        self.vectors.at(place)
    }

    fn area(&self) -> Area<'_> {
        let mut free = self.free.lock();
        while *free == 0 {
            self.freed.wait(&mut free);
        }
        *free -= 1;
        Area(self)
    }
}

/// The vectors where they lie in the bytes of a graph, by place. The engine copies a vector behind a lock, which takes as
/// long as several distances.
#[derive(Debug)]
struct StoredVectors {
    numbers: ScalarBuffer<f32>,
    dim: usize,
    /// Which of the vectors belongs to a place.
    slots: Vec<u32>,
}

impl StoredVectors {
    /// Bytes in front of the vectors: their number, and the bytes of each.
    const HEAD_BYTES: usize = 8;
    /// A place without a vector.
    const NONE: u32 = u32::MAX;

    /// Looks for the vectors of the index in its bytes. The order of threads that built it decides over their order.
    ///
    /// # Errors
    /// They are not where the engine writes them.
    fn find(bytes: &Buffer, index: &Index, places: u64) -> Result<Self, GraphError> {
        let (rows, dim) = (index.size(), index.dimensions());
        let width = dim * size_of::<f32>();
        let other = |what: &str| GraphError::Other { expected: format!("{rows} vectors"), found: what.to_owned() };
        let end = rows.checked_mul(width).and_then(|length| length.checked_add(Self::HEAD_BYTES));
        let stored = end.and_then(|end| bytes.get(Self::HEAD_BYTES..end)).ok_or_else(|| other("fewer"))?;
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
        let numbers = ScalarBuffer::new(bytes.clone(), Self::HEAD_BYTES / size_of::<f32>(), rows * dim);
        Ok(Self { numbers, dim, slots })
    }

    fn at(&self, place: u64) -> Option<&[f32]> {
        let slot = self.slots.get(usize::try_from(place).ok()?).filter(|slot| **slot != Self::NONE)?;
        let from = *slot as usize * self.dim;
        self.numbers.get(from..from + self.dim)
    }
}

/// A work area of the engine, until it is dropped.
struct Area<'g>(&'g Graph);

impl Drop for Area<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

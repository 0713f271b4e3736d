//! A finished graph: searches over its bytes, where they lie.

use std::fmt;

use arrow_buffer::Buffer;
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
    pub const TABLE_BYTES: u64 = 40;

    /// Opens the bytes of [`super::GraphBuilder::to_bytes`], which have been checked since.
    ///
    /// # Errors
    /// Bytes of another shape; no memory.
    pub fn open(bytes: Bytes, shape: GraphShape) -> Result<Self, GraphError> {
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
        Ok(Self { index, bytes, shape, free: Mutex::new(SEARCHES), freed: Condvar::new() })
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

    /// Copies the vector at a place. False: there is none.
    ///
    /// # Errors
    /// Space for another number of dimensions.
    pub fn vector(&self, place: u64, into: &mut [f32]) -> Result<bool, GraphError> {
        Ok(self.index.get(place, into).map_err(GraphError::engine)? > 0)
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

/// A work area of the engine, until it is dropped.
struct Area<'g>(&'g Graph);

impl Drop for Area<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

//! A finished graph: searches over its bytes, where they lie.

use std::{fmt, sync::Arc};

use arrow_buffer::Buffer;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use usearch::Index;

use super::{
    GraphError, GraphShape,
    halves::Halves,
    metric::empty,
    stored::StoredVectors,
    walk::{compare_stored, with_query},
};

/// Searches of one graph at once. Others wait: the engine refuses a search that finds none of its work areas free.
const SEARCHES: usize = 32;

/// The vectors that a search compares on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// Those in the bytes of the graph.
    Stored,
    /// Halves of them, in memory of their own, if the vectors are long and halves tell them apart. Ways through memory
    /// take half as long.
    Halves,
}

/// A graph that does not change.
pub struct Graph {
    /// Points into `bytes`, so it goes first.
    pub(super) index: Index,
    bytes: Buffer,
    vectors: StoredVectors,
    pub(super) halves: Option<Arc<Halves>>,
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
    const TABLE_BYTES: u64 = 44;

    /// Memory of a graph of so many vectors beside its bytes, at most.
    pub fn bytes_beside(shape: &GraphShape, rows: u64, walk: Walk) -> u64 {
        let halves = if walk == Walk::Halves { Halves::bytes(shape, rows) } else { 0 };
        rows.saturating_mul(Self::TABLE_BYTES).saturating_add(halves)
    }

    /// Opens the bytes of [`super::GraphBuilder::into_bytes`], which have been checked since. All places in it are below
    /// `places`.
    ///
    /// # Errors
    /// Bytes of another shape; no memory.
    pub fn open(bytes: Bytes, shape: GraphShape, places: u64, walk: Walk) -> Result<Self, GraphError> {
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
        let vectors = StoredVectors::find(&bytes, &index, places)?;
        let halves = match walk {
            Walk::Stored => None,
            Walk::Halves => Halves::of(&shape, vectors.numbers())?.map(Arc::new),
        };
        compare_stored(&mut index, &shape, vectors.numbers().clone(), halves.clone());
        let (free, freed) = (Mutex::new(SEARCHES), Condvar::new());
        let mut graph = Self { index, bytes, vectors, halves, shape, free, freed };
        if !graph.has_faithful_halves()? {
            graph.halves = None;
            compare_stored(&mut graph.index, &shape, graph.vectors.numbers().clone(), None);
        }
        Ok(graph)
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
        let walk = if self.halves.is_some() { Walk::Halves } else { Walk::Stored };
        self.bytes.len() as u64 + Self::bytes_beside(&self.shape, self.rows(), walk)
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
        let halves = self.halves.as_ref().and_then(|halves| halves.of_query(query));
        let found = with_query(query, halves.as_deref(), || match keep {
            None => self.index.search(query, count),
            Some(keep) => self.index.filtered_search(query, count, keep),
        });
        Ok(found.map_err(GraphError::engine)?.keys)
    }

    /// The vector at a place. None: the graph has none.
    pub fn vector(&self, place: u64) -> Option<&[f32]> {
        self.vectors.at(place)
    }

    /// True without halves, too.
    fn has_faithful_halves(&self) -> Result<bool, GraphError> {
        let Some(halves) = &self.halves else { return Ok(true) };
        halves.are_faithful(self.vectors.numbers(), |slot, count| {
            let Some(vector) = self.vectors.in_slot(slot) else { return Ok(Vec::new()) };
            let found = with_query(vector, halves.at(slot), || self.index.search(vector, count));
            let places = found.map_err(GraphError::engine)?.keys;
            Ok(places.iter().filter_map(|place| self.vectors.slot(*place)).collect())
        })
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

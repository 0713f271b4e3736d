//! Building a graph, on as many threads as the caller has.

use usearch::Index;

use super::{
    GraphError, GraphShape,
    metric::{empty, length, use_kernels},
};
use crate::model::Metric;

/// A graph that grows. Several threads may add vectors at once.
pub struct GraphBuilder {
    index: Index,
    shape: GraphShape,
}

impl GraphBuilder {
    /// For at most `rows` vectors, added by at most `threads` threads at once.
    ///
    /// # Errors
    /// No memory.
    pub fn new(shape: GraphShape, rows: usize, threads: usize) -> Result<Self, GraphError> {
        let mut index = empty(&shape)?;
        index.reserve_capacity_and_threads(rows, threads).map_err(GraphError::engine)?;
        use_kernels(&mut index, &shape);
        Ok(Self { index, shape })
    }

    /// Adds the vector at a place. False: no search finds such a vector, so it is left out.
    ///
    /// # Errors
    /// Vectors of another dimension, a place that is there already, more than were announced.
    pub fn add(&self, place: u64, vector: &[f32]) -> Result<bool, GraphError> {
        let length = length(vector);
        // A sum beyond all numbers has no distance from anything.
        if !(length * length).is_finite() || (length * length) as f32 == f32::INFINITY {
            return Ok(false);
        }
        if self.shape.metric != Metric::Cosine {
            self.index.add(place, vector).map_err(GraphError::engine)?;
            return Ok(true);
        }
        if length == 0.0 {
            return Ok(false);
        }
        let unit: Vec<f32> = vector.iter().map(|number| (f64::from(*number) / length) as f32).collect();
        self.index.add(place, &unit).map_err(GraphError::engine)?;
        Ok(true)
    }

    /// Vectors in it.
    pub fn rows(&self) -> u64 {
        self.index.size() as u64
    }

    /// Its bytes, for [`super::Graph::open`].
    ///
    /// # Errors
    /// No memory.
    pub fn to_bytes(&self) -> Result<Vec<u8>, GraphError> {
        let mut bytes = vec![0; self.index.serialized_length()];
        self.index.save_to_buffer(&mut bytes).map_err(GraphError::engine)?;
        Ok(bytes)
    }
}

//! The metric of a graph: the distance between two of its vectors, and its name for the engine.

use simsimd::SpatialSimilarity;
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use super::{GraphError, GraphShape};
use crate::model::Metric;

/// An empty index of this shape.
pub(super) fn empty(shape: &GraphShape) -> Result<Index, GraphError> {
    let options = IndexOptions {
        dimensions: shape.dim as usize,
        metric: if shape.metric == Metric::L2 { MetricKind::L2sq } else { MetricKind::IP },
        quantization: ScalarKind::F32,
        connectivity: shape.links as usize,
        expansion_add: shape.width as usize,
        // A search asks for as many vectors as it keeps in view.
        expansion_search: 1,
        multi: false,
    };
    Index::new(&options).map_err(GraphError::engine)
}

/// The distance between two vectors. Vectors of COSINE have length 1.
pub(super) fn distance(metric: Metric, one: &[f32], other: &[f32]) -> f32 {
    let found = match metric {
        Metric::L2 => f32::l2sq(one, other),
        _ => f32::dot(one, other).map(|product| 1.0 - product),
    };
    // A kernel has no answer for vectors of different lengths only. Farther than everything.
    found.unwrap_or(f64::MAX) as f32
}

/// The length of a vector.
pub(super) fn length(vector: &[f32]) -> f64 {
    f32::dot(vector, vector).unwrap_or(f64::NAN).sqrt()
}

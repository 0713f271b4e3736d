//! The distance between two vectors of a graph, as the engine calls it.

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

/// Has the engine use our kernels. To be called after the index was filled from bytes, which sets its own.
pub(super) fn use_kernels(index: &mut Index, shape: &GraphShape) {
    let dim = shape.dim as usize;
    let is_l2 = shape.metric == Metric::L2;
    let distance = move |one: *const f32, other: *const f32| {
        // SAFETY: the engine passes two of its vectors, or one and a query that has been checked to have this dimension;
        // both have `dim` floats and live during the call. `Graph::open` aligns the bytes.
        let (one, other) = unsafe { (std::slice::from_raw_parts(one, dim), std::slice::from_raw_parts(other, dim)) };
        let found = if is_l2 { f32::l2sq(one, other) } else { f32::dot(one, other).map(|product| 1.0 - product) };
        // A kernel has no answer for vectors of different lengths only. Farther than everything.
        found.unwrap_or(f64::MAX) as f32
    };
    index.change_metric::<f32>(Box::new(distance));
}

/// The length of a vector.
pub(super) fn length(vector: &[f32]) -> f64 {
    f32::dot(vector, vector).unwrap_or(f64::NAN).sqrt()
}

//! The comparisons that the engine asks for on its way through a graph: of halves if there are any, of the vectors otherwise.
//!
//! Must never panic: the engine calls them, and that would end the process.

use std::{cell::Cell, sync::Arc};

use arrow_buffer::ScalarBuffer;
use half::f16;
use usearch::Index;

use super::{GraphShape, halves::Halves, metric::distance};

/// Has an index whose vectors are one number, that of a vector in `stored`, compare those.
pub(super) fn compare_numbered(
    index: &mut Index,
    shape: &GraphShape,
    stored: ScalarBuffer<f32>,
    halves: Option<Arc<Halves>>,
) {
    let (metric, dim) = (shape.metric, shape.dim as usize);
    let between = move |one: *const f32, other: *const f32| {
        // SAFETY: the engine passes two of its vectors, or one and the vector to add; each is one float.
        let (one, other) = unsafe { (number(*one), number(*other)) };
        match &halves {
            Some(halves) => match (halves.at(one), halves.at(other)) {
                (Some(one), Some(other)) => halves.distance(one, other),
                _ => f32::MAX,
            },
            None => match (stored.get(one * dim..(one + 1) * dim), stored.get(other * dim..(other + 1) * dim)) {
                (Some(one), Some(other)) => distance(metric, one, other),
                _ => f32::MAX,
            },
        }
    };
    index.change_metric::<f32>(Box::new(between));
}

/// A number as the one component of a vector.
pub(super) fn numbered(number: u32) -> f32 {
    f32::from_bits(number)
}

fn number(component: f32) -> usize {
    component.to_bits() as usize
}

thread_local! {
    /// The query that this thread searches for: where it is, and its halves.
    static QUERY: Cell<(*const f32, *const [f16])> = const { Cell::new((std::ptr::null(), NO_HALVES)) };
}

const NO_HALVES: *const [f16] = std::ptr::slice_from_raw_parts(std::ptr::null(), 0);

/// Searches for a query, whose halves a walk compares if they are there.
pub(super) fn with_query<T>(query: &[f32], halves: Option<&[f16]>, search: impl FnOnce() -> T) -> T {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            QUERY.set((std::ptr::null(), NO_HALVES));
        }
    }
    let Some(halves) = halves else { return search() };
    let _reset = Reset;
    QUERY.set((query.as_ptr(), std::ptr::from_ref(halves)));
    search()
}

/// Has an index that was opened from bytes compare its vectors, which lie in `stored` one behind the other. To be called
/// after it was opened, which sets a kernel of the engine.
pub(super) fn compare_stored(
    index: &mut Index,
    shape: &GraphShape,
    stored: ScalarBuffer<f32>,
    halves: Option<Arc<Halves>>,
) {
    let (metric, dim) = (shape.metric, shape.dim as usize);
    let slot = move |vector: *const f32| {
        let from = (vector as usize).checked_sub(stored.as_ptr() as usize)?;
        Some(from / (dim * size_of::<f32>())).filter(|_| from < stored.len() * size_of::<f32>())
    };
    let between = move |one: *const f32, other: *const f32| {
        if let Some(halves) = &halves {
            let (query, query_halves) = QUERY.get();
            let find = |vector: *const f32| {
                if vector == query {
                    // SAFETY: `with_query` borrows them until the search of this thread has ended.
                    return Some(unsafe { &*query_halves });
                }
                // Without the halves of a query the whole search compares stored vectors.
                halves.at(slot(vector).filter(|_| !query.is_null())?)
            };
            if let (Some(one), Some(other)) = (find(one), find(other)) {
                return halves.distance(one, other);
            }
        }
        // SAFETY: the engine passes two of its vectors, or one and a query that has been checked to have this dimension;
        // both have `dim` floats and live during the call. `Graph::open` aligns the bytes.
        let (one, other) = unsafe { (std::slice::from_raw_parts(one, dim), std::slice::from_raw_parts(other, dim)) };
        distance(metric, one, other)
    };
    index.change_metric::<f32>(Box::new(between));
}

//! Building a graph: its vectors are collected first, then linked on as many threads as the caller has.
//!
//! The engine sees the number of a vector where it expects the vector, so that vectors lie on huge pages and a walk can
//! compare their halves. The bytes of the finished graph have the vectors themselves.

use std::sync::Arc;

use arrow_buffer::{ScalarBuffer, ToByteSlice};
use usearch::Index;

use super::{
    GraphError, GraphShape,
    halves::Halves,
    metric::{empty, length},
    numbers::PagedNumbers,
    stored::{HEAD_BYTES, dimensions_in},
    walk::{compare_numbered, numbered},
};
use crate::model::Metric;

/// Vectors that are to become a graph.
#[derive(Debug)]
pub struct GraphVectors {
    shape: GraphShape,
    numbers: PagedNumbers,
    /// Of the rows, in ascending order.
    places: Vec<u64>,
}

impl GraphVectors {
    /// For at most `rows` vectors.
    ///
    /// # Errors
    /// No memory.
    pub fn new(shape: GraphShape, rows: usize) -> Result<Self, GraphError> {
        let bytes = rows.saturating_mul(shape.dim as usize).saturating_mul(size_of::<f32>());
        Ok(Self { shape, numbers: PagedNumbers::new(bytes)?, places: Vec::new() })
    }

    /// Takes the vector at a place beyond those taken before. False: no search finds such a vector, so it is left out.
    ///
    /// # Errors
    /// Vectors of another dimension, a place that is not beyond, more than were announced.
    pub fn push(&mut self, place: u64, vector: &[f32]) -> Result<bool, GraphError> {
        if vector.len() != self.shape.dim as usize {
            let told = |dim: usize| format!("{dim} dimensions");
            return Err(GraphError::Other { expected: told(self.shape.dim as usize), found: told(vector.len()) });
        }
        if let Some(last) = self.places.last().filter(|last| **last >= place) {
            return Err(GraphError::Engine(format!("place {place} comes after place {last}")));
        }
        let length = length(vector);
        // A sum beyond all numbers has no distance from anything.
        if !(length * length).is_finite() || (length * length) as f32 == f32::INFINITY {
            return Ok(false);
        }
        let has_room = if self.shape.metric != Metric::Cosine {
            self.numbers.push(vector)
        } else if length == 0.0 {
            return Ok(false);
        } else {
            let unit: Vec<f32> = vector.iter().map(|number| (f64::from(*number) / length) as f32).collect();
            self.numbers.push(&unit)
        };
        if !has_room {
            return Err(GraphError::Engine(format!("more than the {} vectors announced", self.places.len())));
        }
        self.places.push(place);
        Ok(true)
    }

    /// Vectors taken.
    pub fn rows(&self) -> usize {
        self.places.len()
    }
}

/// A graph that grows. Several threads may link vectors at once.
pub struct GraphBuilder {
    index: Index,
    shape: GraphShape,
    places: Vec<u64>,
    stored: ScalarBuffer<f32>,
    halves: Option<Arc<Halves>>,
}

impl GraphBuilder {
    /// A graph of these vectors, none of which is linked. At most `threads` threads link them at once.
    ///
    /// # Errors
    /// No memory.
    pub fn new(vectors: GraphVectors, threads: usize) -> Result<Self, GraphError> {
        let GraphVectors { shape, numbers, places } = vectors;
        let stored = numbers.finish()?;
        let halves = Halves::of(&shape, &stored)?.map(Arc::new);
        let index = unlinked(&shape, &places, &stored, halves.as_ref(), threads)?;
        Ok(Self { index, shape, places, stored, halves })
    }

    /// Vectors in it, linked or not.
    pub fn rows(&self) -> usize {
        self.places.len()
    }

    /// Links a vector to those that are linked.
    ///
    /// # Errors
    /// No such vector, or one that is linked; no memory.
    pub fn link(&self, number: usize) -> Result<(), GraphError> {
        let place = self.places.get(number).ok_or_else(|| GraphError::Engine(format!("no vector {number}")))?;
        self.index.add(*place, &[numbered(number as u32)]).map_err(GraphError::engine)
    }

    /// To be asked when all vectors are linked. Some: they lie so close together that halves do not tell them apart; this
    /// graph is to be linked instead, which compares the vectors themselves.
    ///
    /// # Errors
    /// No memory.
    pub fn to_be_linked_exactly(&self, threads: usize) -> Result<Option<Self>, GraphError> {
        let Some(halves) = &self.halves else { return Ok(None) };
        let near = |number: usize, count: usize| {
            let found = self.index.search(&[numbered(number as u32)], count).map_err(GraphError::engine)?;
            Ok(found.keys.iter().filter_map(|place| self.places.binary_search(place).ok()).collect())
        };
        if halves.are_faithful(&self.stored, near)? {
            return Ok(None);
        }
        let (shape, places, stored) = (self.shape, self.places.clone(), self.stored.clone());
        let index = unlinked(&shape, &places, &stored, None, threads)?;
        Ok(Some(Self { index, shape, places, stored, halves: None }))
    }

    /// Its bytes, for [`super::Graph::open`]: those that the engine writes for an index of the vectors themselves.
    ///
    /// # Errors
    /// No memory; the engine writes other bytes than expected.
    pub fn into_bytes(self) -> Result<Vec<u8>, GraphError> {
        let Self { index, shape, stored, halves, .. } = self;
        drop(halves);
        let mut numbered = vec![0; index.serialized_length()];
        index.save_to_buffer(&mut numbered).map_err(GraphError::engine)?;
        let (rows, dim) = (index.size(), shape.dim as usize);
        drop(index);
        let other = || GraphError::Engine("writes an index in another way than expected".to_owned());
        let numbers = numbered.get(HEAD_BYTES..HEAD_BYTES + rows * size_of::<u32>()).ok_or_else(other)?;
        let rest = &numbered[HEAD_BYTES + numbers.len()..];
        let mut bytes = Vec::with_capacity(HEAD_BYTES + rows * dim * size_of::<f32>() + rest.len());
        bytes.extend_from_slice(&(rows as u32).to_le_bytes());
        bytes.extend_from_slice(&((dim * size_of::<f32>()) as u32).to_le_bytes());
        for number in numbers.as_chunks().0 {
            let from = u32::from_le_bytes(*number) as usize * dim;
            bytes.extend_from_slice(stored.get(from..from + dim).ok_or_else(other)?.to_byte_slice());
        }
        let rest_at = bytes.len();
        bytes.extend_from_slice(rest);
        let dimensions = bytes.get_mut(dimensions_in(rest_at)).ok_or_else(other)?;
        dimensions.copy_from_slice(&u64::from(shape.dim).to_le_bytes());
        let head = Index::metadata_from_buffer(&bytes).map_err(GraphError::engine)?;
        if head.dimensions != u64::from(shape.dim) || head.count_present != rows as u64 {
            return Err(other());
        }
        Ok(bytes)
    }
}

fn unlinked(
    shape: &GraphShape,
    places: &[u64],
    stored: &ScalarBuffer<f32>,
    halves: Option<&Arc<Halves>>,
    threads: usize,
) -> Result<Index, GraphError> {
    let mut index = empty(&GraphShape { dim: 1, ..*shape })?;
    index.reserve_capacity_and_threads(places.len(), threads).map_err(GraphError::engine)?;
    compare_numbered(&mut index, shape, stored.clone(), halves.map(Arc::clone));
    Ok(index)
}

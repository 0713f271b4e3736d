//! The request of a search. Values only.

use super::{Effort, Grouping, QueryVectors, kernel};
use crate::{
    model::{FieldId, Metric},
    query::Scope,
};

/// A request for the rows that are nearest to each of several vectors.
#[derive(Debug, Clone)]
pub struct Search {
    pub scope: Scope,
    /// A vector field.
    pub field: FieldId,
    pub metric: Metric,
    pub queries: QueryVectors,
    /// Rows for each query vector.
    pub limit: u64,
    /// Nearer rows that are left out.
    pub offset: u64,
    /// None: any value.
    pub range: Option<Range>,
    /// Rows of each group are found, not one of each key.
    pub group: Option<Grouping>,
    /// The search is for a page of an iterator.
    pub page: Option<IteratorPage>,
    /// Columns of the answer, in this order. Any stored field is allowed.
    pub output: Vec<FieldId>,
    pub effort: Effort,
}

/// A page of an iterator: the rows behind those of the page before. A page ends between two values, so it has all rows that
/// are as near as its last one, and no row is missed or found twice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IteratorPage {
    /// The value of the last row of the page before. None: this is the first page.
    pub after: Option<f32>,
}

/// Bounds of the values that rows may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The far end, not included.
    pub radius: f32,
    /// The near end, included. None: there is none.
    pub near: Option<f32>,
}

impl Range {
    /// The same as bounds of ranks: from, and below.
    pub(super) fn ranks(self, metric: Metric) -> std::ops::Range<f32> {
        let rank = |value| kernel::rank(metric, value);
        self.near.map_or(f32::NEG_INFINITY, rank)..rank(self.radius)
    }
}

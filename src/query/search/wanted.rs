//! A search that was checked against its collection, and places for the rows that it finds.
//!
//! Must never: let a search through whose vectors, metric, range or group don't fit the field.

use super::{
    IteratorPage, Search,
    grouped::{FoundRows, GroupMembers},
    kernel,
    nearest::Nearest,
};
use crate::{
    model::{CollectionSchema, DataType, Field, PrimaryKey, SearchError},
    query::QueryError,
};

/// A search whose parts fit each other.
pub(super) struct Wanted {
    pub(super) search: Search,
    /// Limit and offset together.
    pub(super) most: usize,
    pub(super) ranks: Option<std::ops::Range<f32>>,
    pub(super) group: Option<Field>,
}

impl Wanted {
    pub(super) fn of(schema: &CollectionSchema, search: Search) -> Result<Self, QueryError> {
        let unknown = || QueryError::UnknownField { field: search.field, collection: schema.name.clone() };
        let field = schema.field_by_id(search.field).ok_or_else(unknown)?;
        if !field.data_type.is_vector() {
            return Err(SearchError::NotAVector(field.name.clone()).into());
        }
        if !search.metric.fits(field.data_type) {
            return Err(SearchError::MetricOfOtherVectors { metric: search.metric, field: field.name.clone() }.into());
        }
        if search.queries.width() != field.vector_bytes() {
            let (expected, got) = (field.vector_bytes(), search.queries.width());
            return Err(SearchError::Dimension { expected, got }.into());
        }
        if search.range.is_some() && !search.metric.has_ranges() {
            return Err(SearchError::NoRange(search.metric).into());
        }
        let most = usize::try_from(search.limit.saturating_add(search.offset)).unwrap_or(usize::MAX);
        let mut ranks = search.range.map(|range| range.ranks(search.metric));
        if let Some(IteratorPage { after: Some(after) }) = search.page {
            let ranks = ranks.get_or_insert(f32::NEG_INFINITY..f32::INFINITY);
            ranks.start = ranks.start.max(kernel::rank(search.metric, after).next_up());
        }
        let group =
            search.group.map(|group| schema.field_by_id(group.field).cloned().ok_or_else(unknown)).transpose()?;
        if let Some(group) = group.as_ref().filter(|group| !can_group(group.data_type)) {
            let (field, data_type) = (group.name.clone(), group.data_type.name());
            return Err(SearchError::GroupType { field, data_type }.into());
        }
        Ok(Self { search, most, ranks, group })
    }

    pub(super) fn empty(&self) -> Vec<Nearest> {
        let empty = || match self.search.page {
            None => Nearest::new(self.most),
            Some(_) => Nearest::with_ties(self.most),
        };
        (0..self.search.queries.len()).map(|_| empty()).collect()
    }

    /// Places for the rows of a look.
    pub(super) fn places(&self, look: &SearchRound) -> Vec<FoundRows> {
        match look {
            SearchRound::First => self.empty().into_iter().map(FoundRows::Nearest).collect(),
            SearchRound::Members { groups, size } => {
                let size = usize::try_from(*size).unwrap_or(usize::MAX);
                groups.iter().map(|order| FoundRows::Members(GroupMembers::of(order.clone(), size))).collect()
            }
        }
    }

    /// Number of lists of rows in these places.
    pub(super) fn lists(&self, look: &SearchRound) -> usize {
        match look {
            SearchRound::First => self.search.queries.len(),
            SearchRound::Members { groups, .. } => groups.iter().map(Vec::len).sum(),
        }
    }
}

/// The rows that one look over the sources collects.
pub(super) enum SearchRound {
    /// The nearest, or the nearest of each group.
    First,
    /// For each query vector, the nearest rows of these groups, which the first look has found.
    Members { groups: Vec<Vec<PrimaryKey>>, size: u64 },
}

/// As in Milvus.
fn can_group(data_type: DataType) -> bool {
    use DataType as D;
    matches!(data_type, D::Bool | D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::VarChar)
}

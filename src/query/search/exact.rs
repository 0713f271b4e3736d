//! Exact search: the rank of every live row that matches.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Found, IteratorPage, Search,
    found::Ranking,
    grouped::{FoundRows, GroupMembers},
    kernel::{self, Kernel},
    nearest::{HIT_BYTES, Hit, Nearest},
    parts::VectorParts,
};
use crate::{
    model::{CollectionSchema, DataType, Field, PrimaryKey, SearchError},
    query::{
        QueryError, QueryLimits, ReadSet, RowSource,
        interrupt::{Checkpoint, Interrupt},
        scan::{CONCURRENT_SOURCES, Detail, Scan, Survivors},
        select::{RowPlace, output_schema},
    },
    storage::Vectors,
};

/// Bytes of stored vectors that are compared with every query before the next ones are: they stay in the processor's cache.
const PIECE_BYTES: usize = 128 << 10;
/// Bytes of vectors that are compared in about the time in which a byte of text is looked at.
const BYTES_PER_UNIT: usize = 8;
/// Estimated memory of the nearest rows of a query before there is one.
const QUERY_BYTES: u64 = 128;

/// Finds the nearest rows of each query vector.
///
/// # Errors
/// [`SearchError`] if the vectors of the request don't fit the field.
pub async fn search(
    schema: &Arc<CollectionSchema>,
    read_set: ReadSet,
    search: Search,
    limits: &QueryLimits,
) -> Result<Found, QueryError> {
    search_until(schema, read_set, search, limits, Interrupt::default()).await
}

pub(in crate::query) async fn search_until(
    schema: &Arc<CollectionSchema>,
    read_set: ReadSet,
    search: Search,
    limits: &QueryLimits,
    interrupt: Interrupt,
) -> Result<Found, QueryError> {
    let _ends_with_the_caller = interrupt.on_drop();
    let output = search.output.clone();
    let answer_schema = output_schema(schema, &output)?;
    let wanted = Arc::new(Wanted::of(schema, search)?);
    let ReadSet { sources, deletes } = read_set;
    let metric = wanted.search.metric;
    let mut skip = usize::try_from(wanted.search.offset).unwrap_or(usize::MAX);
    let mut nearest =
        wanted.nearest(schema, &sources, deletes.clone(), limits, &interrupt, &SearchRound::First).await?;
    if let Some(size) = wanted.search.group.map(|group| group.size).filter(|size| *size > 1) {
        let groups = |found: &FoundRows| match found {
            FoundRows::Nearest(nearest) => nearest.groups().skip(skip).cloned().collect(),
            FoundRows::Members(_) => Vec::new(),
        };
        let look = SearchRound::Members { groups: nearest.iter().map(groups).collect(), size };
        nearest = wanted.nearest(schema, &sources, deletes, limits, &interrupt, &look).await?;
        skip = 0;
    }
    let hits = nearest.iter().map(FoundRows::len).sum();
    let scored = move |hit: Hit| (kernel::score(metric, hit.rank.0), hit.place);
    let rows = move |nearest: FoundRows| Ok(nearest.into_hits().into_iter().skip(skip).map(scored));
    let ranking = interrupt.sized(hits, move |_| Ranking::of(nearest.into_iter().map(rows))).await?;
    ranking.read((answer_schema, &output), &sources, limits, &interrupt).await
}

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
    fn places(&self, look: &SearchRound) -> Vec<FoundRows> {
        match look {
            SearchRound::First => self.empty().into_iter().map(FoundRows::Nearest).collect(),
            SearchRound::Members { groups, size } => {
                let size = usize::try_from(*size).unwrap_or(usize::MAX);
                groups.iter().map(|order| FoundRows::Members(GroupMembers::of(order.clone(), size))).collect()
            }
        }
    }

    /// The nearest rows of all sources, for each query vector.
    pub(super) async fn nearest(
        self: &Arc<Self>,
        schema: &Arc<CollectionSchema>,
        sources: &[Box<dyn RowSource>],
        deletes: Vec<crate::query::ScopedDelete>,
        limits: &QueryLimits,
        interrupt: &Interrupt,
        look: &SearchRound,
    ) -> Result<Vec<FoundRows>, QueryError> {
        let places = match look {
            SearchRound::First => self.search.queries.len(),
            SearchRound::Members { groups, .. } => groups.iter().map(Vec::len).sum(),
        };
        limits.hold(places as u64 * QUERY_BYTES * (CONCURRENT_SOURCES as u64 + 1))?;
        let scope = self.search.scope.clone();
        let group = self.group.clone();
        let scan = &Scan::begin(schema, deletes, scope, Detail::KeyAndTime, group, Some(limits), interrupt).await?;
        let parts = scan.chosen(sources).into_iter().map(|index| {
            let source = sources[index].as_ref();
            async move { self.nearest_in(scan, index, source, limits, interrupt, look).await }
        });
        let mut parts = stream::iter(parts).buffer_unordered(CONCURRENT_SOURCES);
        let mut nearest = self.places(look);
        while let Some(part) = parts.try_next().await? {
            let hits = part.iter().map(FoundRows::len).sum();
            let merge = move |checkpoint: &Checkpoint| {
                for (all, part) in nearest.iter_mut().zip(part) {
                    checkpoint.spend(part.len())?;
                    all.merge(part);
                }
                Ok(nearest)
            };
            nearest = interrupt.sized(hits, merge).await?;
        }
        Ok(nearest)
    }

    /// The nearest rows of one source.
    async fn nearest_in(
        self: &Arc<Self>,
        scan: &Scan,
        index: usize,
        source: &dyn RowSource,
        limits: &QueryLimits,
        interrupt: &Interrupt,
        look: &SearchRound,
    ) -> Result<Vec<FoundRows>, QueryError> {
        if let Some(found) = self.nearest_by_index(scan, index, source, limits, interrupt).await? {
            return Ok(found.into_iter().map(FoundRows::Nearest).collect());
        }
        let mut nearest = self.places(look);
        let mut found = scan.open(index, source).await?;
        let mut parts = VectorParts::of(source);
        let (mut held_hits, mut held_bytes) = (0, 0);
        while let Some(batch) = found.try_next().await? {
            let batch = Arc::new(batch);
            let mut done = 0;
            while let Some(place) = batch.places.get(done) {
                parts.find(*place)?;
                if !parts.is_open() {
                    parts.open(self.search.field, &mut |bytes| limits.reserve(&mut held_bytes, bytes));
                }
                let (start, vectors) = parts.reach(*place).await?;
                let rows: u64 = vectors.iter().map(|vectors| vectors.len() as u64).sum();
                let end = done + batch.places[done..].partition_point(|place| *place < start + rows);
                let (this, batch) = (Arc::clone(self), Arc::clone(&batch));
                let compare = move |checkpoint: &Checkpoint| {
                    this.compare(&mut nearest, &batch, done..end, start, &vectors, checkpoint)?;
                    Ok(nearest)
                };
                nearest = interrupt.blocking(compare).await?;
                let hits = nearest.iter().map(|nearest| nearest.len() as u64).sum();
                limits.hold(u64::saturating_sub(hits, held_hits) * HIT_BYTES)?;
                held_hits = held_hits.max(hits);
                done = end;
            }
        }
        Ok(nearest)
    }

    /// Ranks some rows of a batch. `vectors` are those from place `start` on.
    fn compare(
        &self,
        nearest: &mut [FoundRows],
        batch: &Survivors,
        rows: std::ops::Range<usize>,
        mut start: u64,
        vectors: &[Vectors],
        checkpoint: &Checkpoint,
    ) -> Result<(), QueryError> {
        let Some(keys) = &batch.keys else { return Ok(()) };
        let kernels = (0..nearest.len()).map(|query| Kernel::new(self.search.metric, &self.search.queries, query));
        let kernels: Vec<Kernel<'_>> = kernels.collect();
        let mut at = rows.start;
        for vectors in vectors {
            let end = start + vectors.len() as u64;
            let upto = at + batch.places[at..rows.end].partition_point(|place| *place < end);
            let piece_rows = (PIECE_BYTES / vectors.width().max(1)).max(1);
            for piece in (at..upto).step_by(piece_rows) {
                let piece = piece..upto.min(piece + piece_rows);
                for (kernel, nearest) in kernels.iter().zip(nearest.iter_mut()) {
                    checkpoint.spend(piece.len() * vectors.width() / BYTES_PER_UNIT)?;
                    for row in piece.clone() {
                        let place = batch.places[row];
                        let rank = kernel.rank(vectors, (place - start) as usize);
                        let in_range = self.ranks.as_ref().is_none_or(|ranks| ranks.contains(&rank));
                        if in_range && nearest.may_take(rank) {
                            let place = RowPlace { ts: batch.times[row], source: batch.source, row: place };
                            nearest.offer(rank, place, keys, batch.groups.as_ref(), row);
                        }
                    }
                }
            }
            (at, start) = (upto, end);
        }
        Ok(())
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

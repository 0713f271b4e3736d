//! Exact search: the rank of every live row that matches.

use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{
    Effort, Grouping, QueryVectors,
    grouped::{Collected, Members},
    kernel::{self, Kernel},
    nearest::{HIT_BYTES, Nearest},
};
use crate::{
    model::{CollectionSchema, DataType, Field, FieldId, Metric, PrimaryKey, SearchError},
    query::{
        QueryError, QueryLimits, ReadSet, RowSource, Scope,
        interrupt::{Checkpoint, Interrupt},
        scan::{CONCURRENT_SOURCES, Detail, Scan, Survivors},
        select::{RowPlace, fetch, output_schema},
    },
    storage::Vectors,
};

/// Bytes of stored vectors that are compared with every query before the next ones are: they stay in the processor's cache.
const PIECE_BYTES: usize = 128 << 10;
/// Bytes of vectors that are compared in about the time in which a byte of text is looked at.
const BYTES_PER_UNIT: usize = 8;
/// Estimated memory of the nearest rows of a query before there is one.
const QUERY_BYTES: u64 = 128;

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
    pub page: Option<Page>,
    /// Columns of the answer, in this order. Any stored field is allowed.
    pub output: Vec<FieldId>,
    pub effort: Effort,
}

/// A page of an iterator: the rows behind those of the page before. A page ends between two values, so it has all rows that
/// are as near as its last one, and no row is missed or found twice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Page {
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
    fn ranks(self, metric: Metric) -> std::ops::Range<f32> {
        let rank = |value| kernel::rank(metric, value);
        self.near.map_or(f32::NEG_INFINITY, rank)..rank(self.radius)
    }
}

/// The rows that were found, those of the first query vector first, the nearest of each first.
#[derive(Debug)]
pub struct Found {
    /// Number of rows of each query vector.
    pub counts: Vec<usize>,
    /// Value of each row in the metric of the search.
    pub scores: Vec<f32>,
    /// The output columns, named and typed as in `CollectionSchema::arrow_schema`.
    pub rows: RecordBatch,
}

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
    let mut nearest = wanted.nearest(schema, &sources, deletes.clone(), limits, &interrupt, &Look::First).await?;
    if let Some(size) = wanted.search.group.map(|group| group.size).filter(|size| *size > 1) {
        let groups = |found: &Collected| match found {
            Collected::Nearest(nearest) => nearest.groups().skip(skip).cloned().collect(),
            Collected::Members(_) => Vec::new(),
        };
        let look = Look::Members { groups: nearest.iter().map(groups).collect(), size };
        nearest = wanted.nearest(schema, &sources, deletes, limits, &interrupt, &look).await?;
        skip = 0;
    }
    let hits = nearest.iter().map(Collected::len).sum();
    let ordered = interrupt.sized(hits, move |_| {
        let (mut counts, mut scores, mut places) = (Vec::with_capacity(nearest.len()), Vec::new(), Vec::new());
        for nearest in nearest {
            let before = places.len();
            for hit in nearest.into_hits().into_iter().skip(skip) {
                scores.push(kernel::score(metric, hit.rank.0));
                places.push(hit.place);
            }
            counts.push(places.len() - before);
        }
        Ok((counts, scores, Arc::<[RowPlace]>::from(places)))
    });
    let (counts, scores, places) = ordered.await?;
    let rows = fetch(answer_schema, &sources, &output, places, limits, &interrupt).await?;
    Ok(Found { counts, scores, rows })
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
        if let Some(Page { after: Some(after) }) = search.page {
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
    fn places(&self, look: &Look) -> Vec<Collected> {
        match look {
            Look::First => self.empty().into_iter().map(Collected::Nearest).collect(),
            Look::Members { groups, size } => {
                let size = usize::try_from(*size).unwrap_or(usize::MAX);
                groups.iter().map(|order| Collected::Members(Members::of(order.clone(), size))).collect()
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
        look: &Look,
    ) -> Result<Vec<Collected>, QueryError> {
        let places = match look {
            Look::First => self.search.queries.len(),
            Look::Members { groups, .. } => groups.iter().map(Vec::len).sum(),
        };
        limits.hold(places as u64 * QUERY_BYTES * (CONCURRENT_SOURCES as u64 + 1))?;
        let scope = self.search.scope.clone();
        let scan = &Scan::begin(schema, deletes, scope, Detail::KeyAndTime, self.group.clone(), interrupt).await?;
        let parts = scan.chosen(sources).into_iter().map(|index| {
            let source = sources[index].as_ref();
            async move { self.nearest_in(scan, index, source, limits, interrupt, look).await }
        });
        let mut parts = stream::iter(parts).buffer_unordered(CONCURRENT_SOURCES);
        let mut nearest = self.places(look);
        while let Some(part) = parts.try_next().await? {
            let hits = part.iter().map(Collected::len).sum();
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
        look: &Look,
    ) -> Result<Vec<Collected>, QueryError> {
        if let Some(found) = self.nearest_by_index(scan, index, source, limits, interrupt).await? {
            return Ok(found.into_iter().map(Collected::Nearest).collect());
        }
        let mut nearest = self.places(look);
        let mut found = scan.open(index, source).await?;
        let mut parts = Parts::of(source);
        let (mut held_hits, mut held_bytes) = (0, 0);
        while let Some(batch) = found.try_next().await? {
            let batch = Arc::new(batch);
            let mut done = 0;
            while let Some(place) = batch.places.get(done) {
                parts.find(*place)?;
                if parts.vectors.is_none() {
                    parts.open(self.search.field, &mut |bytes| {
                        let has_room = limits.hold(bytes.saturating_sub(held_bytes)).is_ok();
                        held_bytes = if has_room { held_bytes.max(bytes) } else { held_bytes };
                        has_room
                    });
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
        nearest: &mut [Collected],
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
pub(super) enum Look {
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

/// The vectors of a source, read part by part.
struct Parts<'s> {
    source: &'s dyn RowSource,
    rows: Vec<u64>,
    /// The current part, and the place of its first row.
    part: usize,
    start: u64,
    /// The current part, if it is open.
    vectors: Option<OpenPart>,
}

/// Some vectors of a part, those behind them, and the place of the first.
struct OpenPart {
    start: u64,
    here: Arc<[Vectors]>,
    rest: BoxStream<'static, Result<Arc<[Vectors]>, QueryError>>,
}

impl<'s> Parts<'s> {
    fn of(source: &'s dyn RowSource) -> Self {
        Self { rows: source.vector_parts(), source, part: 0, start: 0, vectors: None }
    }

    /// Goes to the part that has a place, which is not before the current part.
    fn find(&mut self, place: u64) -> Result<(), QueryError> {
        loop {
            let Some(rows) = self.rows.get(self.part) else {
                return Err(QueryError::Short { got: self.start as usize, wanted: place as usize + 1 });
            };
            let end = self.start + rows;
            if place < end {
                return Ok(());
            }
            (self.part, self.start, self.vectors) = (self.part + 1, end, None);
        }
    }

    /// Opens the current part. See [`RowSource::vectors`].
    fn open(&mut self, field: FieldId, reserve: &mut dyn FnMut(u64) -> bool) {
        let rest = self.source.vectors(field, self.part, reserve);
        self.vectors = Some(OpenPart { start: self.start, here: Arc::new([]), rest });
    }

    /// The vectors around a place of the open part, not before those that were returned last; and the place of the first.
    async fn reach(&mut self, place: u64) -> Result<(u64, Arc<[Vectors]>), QueryError> {
        let short = |got: u64| QueryError::Short { got: got as usize, wanted: place as usize + 1 };
        let Some(open) = &mut self.vectors else { return Err(short(self.start)) };
        loop {
            let end = open.start + open.here.iter().map(|vectors| vectors.len() as u64).sum::<u64>();
            if place < end {
                return Ok((open.start, Arc::clone(&open.here)));
            }
            // First, so that they are not held twice.
            (open.start, open.here) = (end, Arc::new([]));
            open.here = open.rest.try_next().await?.ok_or_else(|| short(end))?;
        }
    }
}

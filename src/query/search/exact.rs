//! Exact search: the rank of every live row that matches.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Found, Search,
    compare::{ComparingSearch, Comparison, QUERY_BYTES, compare, merged},
    found::Ranking,
    grouped::FoundRows,
    kernel,
    nearest::{HIT_BYTES, Hit},
    parts::VectorParts,
    wanted::{SearchRound, Wanted},
};
use crate::{
    fault::{self, Planted},
    model::CollectionSchema,
    query::{
        QueryError, QueryLimits, ReadSet, RowSource,
        interrupt::Interrupt,
        scan::{CONCURRENT_SOURCES, Detail, Scan},
        select::output_schema,
    },
};

/// Most sources that a search reads at once, however many cores are free: each holds a few vectors.
const MOST_SOURCES: usize = 8;

/// Finds the nearest rows of each query vector.
///
/// # Errors
/// [`crate::model::SearchError`] if the vectors of the request don't fit the field.
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
        wanted.nearest(schema, &sources, deletes.clone(), limits, &interrupt, Arc::new(SearchRound::First)).await?;
    if let Some(size) = wanted.search.group.map(|group| group.size).filter(|size| *size > 1) {
        let groups = |found: &FoundRows| match found {
            FoundRows::Nearest(nearest) => nearest.groups().skip(skip).cloned().collect(),
            FoundRows::Members(_) => Vec::new(),
        };
        let look = Arc::new(SearchRound::Members { groups: nearest.iter().map(groups).collect(), size });
        nearest = wanted.nearest(schema, &sources, deletes, limits, &interrupt, look).await?;
        skip = 0;
    }
    let hits = nearest.iter().map(FoundRows::len).sum();
    let scored = move |hit: Hit| (kernel::score(metric, hit.rank.0), hit.place);
    let rows = move |nearest: FoundRows| Ok(nearest.into_hits().into_iter().skip(skip).map(scored));
    let ranking = interrupt.sized(hits, move |_| Ranking::of(nearest.into_iter().map(rows))).await?;
    ranking.read((answer_schema, &output), &sources, limits, &interrupt).await
}

impl Wanted {
    /// The nearest rows of all sources, for each query vector.
    pub(super) async fn nearest(
        self: &Arc<Self>,
        schema: &Arc<CollectionSchema>,
        sources: &[Box<dyn RowSource>],
        deletes: Vec<crate::query::ScopedDelete>,
        limits: &QueryLimits,
        interrupt: &Interrupt,
        look: Arc<SearchRound>,
    ) -> Result<Vec<FoundRows>, QueryError> {
        let at_once = limits.cores.free().clamp(CONCURRENT_SOURCES, MOST_SOURCES);
        limits.hold(self.lists(&look) as u64 * QUERY_BYTES * (at_once.min(sources.len()) as u64 + 1))?;
        let scope = self.search.scope.clone();
        let group = self.group.clone();
        let scan = &Scan::begin(schema, deletes, scope, Detail::KeyAndTime, group, Some(limits), interrupt).await?;
        let parts = scan.chosen(sources).into_iter().map(|index| {
            let (source, look) = (sources[index].as_ref(), &look);
            async move { self.nearest_in(scan, index, source, limits, interrupt, look).await }
        });
        let mut parts = stream::iter(parts).buffer_unordered(at_once);
        let mut nearest = self.places(&look);
        while let Some(part) = parts.try_next().await? {
            nearest = merged(nearest, vec![part], interrupt).await?;
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
        look: &Arc<SearchRound>,
    ) -> Result<Vec<FoundRows>, QueryError> {
        if let Some(found) = self.nearest_by_index(scan, index, source, limits, interrupt).await? {
            return Ok(found.into_iter().map(FoundRows::Nearest).collect());
        }
        let mut nearest = self.places(look);
        let mut found = scan.open(index, source).await?;
        let mut parts = VectorParts::of(source);
        let (mut held_hits, spare) = (0, limits.spare());
        while let Some(batch) = found.try_next().await? {
            let batch = Arc::new(batch);
            let mut done = 0;
            while let Some(place) = batch.places.get(done) {
                parts.find(*place)?;
                if !parts.is_open() {
                    parts.open(self.search.field, &spare);
                }
                let (start, vectors) = parts.reach(*place).await?;
                let rows: u64 = vectors.iter().map(|vectors| vectors.len() as u64).sum();
                let end = done + batch.places[done..].partition_point(|place| *place < start + rows);
                let compared = done..end - usize::from(fault::planted(Planted::LastVectorUnseen));
                let comparison = Comparison::new(
                    (Arc::clone(self), Arc::clone(look)),
                    (Arc::clone(&batch), compared),
                    (start, vectors),
                );
                let search = ComparingSearch { comparison, limits: limits.clone(), interrupt: interrupt.clone() };
                nearest = compare(search, nearest).await?;
                let hits = nearest.iter().map(|nearest| nearest.len() as u64).sum();
                limits.hold(u64::saturating_sub(hits, held_hits) * HIT_BYTES)?;
                held_hits = held_hits.max(hits);
                done = end;
            }
        }
        Ok(nearest)
    }
}

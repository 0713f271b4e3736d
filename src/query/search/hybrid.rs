//! Hybrid search: several searches over the same rows, whose results become one by a [`Fusion`].
//!
//! - H1 All searches see the same rows.
//! - H2 A key is found once. Of several rows of it the newest of those that the searches found is answered.
//! - H3 Rows are ordered by their fused value, then by key. Offset and limit apply to that order.
//!
//! Must never read output columns of rows that are not in the answer.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::{
    Found, Fusion, Search,
    found::Ranking,
    grouped::FoundRows,
    kernel,
    nearest::{HIT_BYTES, Hit},
    wanted::{SearchRound, Wanted},
};
use crate::{
    model::{CollectionSchema, FieldId, Metric, PrimaryKey, SearchError},
    query::{
        QueryError, QueryLimits, ReadSet,
        interrupt::{Checkpoint, Interrupt},
        select::{RowPlace, output_schema},
    },
};

/// A request for the best rows of several searches together.
#[derive(Debug, Clone)]
pub struct Hybrid {
    /// Each with as many query vectors as the others. Their output columns don't count.
    pub searches: Vec<Search>,
    pub fusion: Fusion,
    /// Rows for each query vector.
    pub limit: u64,
    /// Better rows that are left out.
    pub offset: u64,
    /// Columns of the answer, in this order. Any stored field is allowed.
    pub output: Vec<FieldId>,
}

/// Finds the best rows for each query vector. The scores of the answer are the fused values.
///
/// # Errors
/// [`SearchError`] if the vectors of a search don't fit its field, or searches differ in their number of vectors.
pub async fn hybrid(
    schema: &Arc<CollectionSchema>,
    read_set: ReadSet,
    hybrid: Hybrid,
    limits: &QueryLimits,
) -> Result<Found, QueryError> {
    let interrupt = Interrupt::default();
    let _ends_with_the_caller = interrupt.on_drop();
    let Hybrid { searches, fusion, limit, offset, output } = hybrid;
    let answer_schema = output_schema(schema, &output)?;
    let queries = searches.first().map_or(0, |search| search.queries.len());
    let mut all = Vec::with_capacity(searches.len());
    for (at, search) in searches.into_iter().enumerate() {
        let got = search.queries.len();
        if got != queries {
            return Err(SearchError::OtherQueries { search: at, expected: queries, got }.into());
        }
        all.push(Arc::new(Wanted::of(schema, search)?));
    }
    let ReadSet { sources, deletes } = read_set;
    let mut results = Vec::with_capacity(all.len());
    // One after the other: each of them reads several sources at once.
    for wanted in &all {
        results.push(
            wanted.nearest(schema, &sources, deletes.clone(), limits, &interrupt, Arc::new(SearchRound::First)).await?,
        );
    }
    let hits: usize = results.iter().flatten().map(FoundRows::len).sum();
    limits.hold(hits as u64 * HIT_BYTES)?;
    let metrics: Vec<Metric> = all.iter().map(|wanted| wanted.search.metric).collect();
    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let fuse = move |checkpoint: &Checkpoint| {
        let mut results: Vec<_> = results.into_iter().map(Vec::into_iter).collect();
        Ranking::of((0..queries).map(|_| {
            let found = results.iter_mut().filter_map(Iterator::next);
            Ok(fused(&fusion, &metrics, found, checkpoint)?.into_iter().skip(skip).take(most))
        }))
    };
    let ranking = interrupt.sized(hits, fuse).await?;
    ranking.read((answer_schema, &output), &sources, limits, &interrupt).await
}

/// The rows of one query vector, the best first. `found` has the result of each search.
fn fused(
    fusion: &Fusion,
    metrics: &[Metric],
    found: impl Iterator<Item = FoundRows>,
    checkpoint: &Checkpoint,
) -> Result<Vec<(f32, RowPlace)>, QueryError> {
    let mixed = metrics.iter().any(|metric| metric.greater_is_nearer())
        && metrics.iter().any(|metric| !metric.greater_is_nearer());
    // Clients choose the keys, so the hash function is one whose collisions they can't provoke.
    let mut rows: HashMap<PrimaryKey, (f32, RowPlace)> = HashMap::new();
    for (search, (nearest, metric)) in found.zip(metrics).enumerate() {
        checkpoint.spend(nearest.len())?;
        for (at, Hit { rank, key, place }) in nearest.into_hits().into_iter().enumerate() {
            let share = fusion.share(search, *metric, mixed, at, kernel::score(*metric, rank.0));
            match rows.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert((share, place));
                }
                Entry::Occupied(mut entry) => {
                    let (sum, known) = entry.get_mut();
                    *sum += share;
                    if place.beats(known) {
                        *known = place;
                    }
                }
            }
        }
    }
    let mut rows: Vec<(PrimaryKey, (f32, RowPlace))> = rows.into_iter().collect();
    checkpoint.spend(rows.len())?;
    let smaller_is_better = fusion.smaller_is_better(metrics);
    rows.sort_unstable_by(|(one_key, (one, _)), (other_key, (other, _))| {
        let order = if smaller_is_better { one.total_cmp(other) } else { other.total_cmp(one) };
        order.then_with(|| one_key.cmp(other_key))
    });
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

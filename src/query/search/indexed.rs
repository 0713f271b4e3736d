//! Search of one segment through its index: near rows come out of the graphs, and are then ranked exactly.
//!
//! The graphs are asked only for rows that are live and match. If few are, or few are in the segment, all of them are
//! ranked instead, which costs less and misses none.
//!
//! Must never: answer if more rows may be found than were looked at. The caller then searches without the index.

use std::sync::Arc;

use arrow_array::{Int64Array, StringArray, cast::AsArray, types::Int64Type};
use arrow_buffer::BooleanBuffer;

use super::{
    effort::Effort,
    kernel::Kernel,
    nearest::{HIT_BYTES, Nearest},
    wanted::Wanted,
};
use crate::{
    model::{FieldId, Timestamp},
    query::{
        QueryError, QueryLimits, RowSource,
        interrupt::{Checkpoint, Interrupt},
        scan::{KeyColumn, RowConditions, Scan},
        select::RowPlace,
    },
    storage::OpenIndex,
};

/// Rows that a search keeps in view if the client does not say.
const USUAL_WIDTH: usize = 128;
/// Beyond this a search of the graph costs more than all rows do.
const MOST_WIDTH: usize = 32 << 10;
/// Distances that a graph computes for each row in view, in the time that ranking takes for as many rows: the graph reaches
/// its rows in no order, and asks for each whether it passes.
const STEPS: usize = 24;
/// Rows in view for each wanted row at least, however few of the segment's rows pass.
const LEAST_VIEW: usize = 4;
/// Work of one of them, in the units of a checkpoint.
const GRAPH_UNITS: usize = 64;

/// The rows of a segment that may be found.
enum Passing {
    All,
    /// Those that are not dead.
    Live(RowConditions),
    /// Those of these places.
    Places(BooleanBuffer),
}

impl Wanted {
    /// The nearest rows of one source, by its index. None: there is no index for this search.
    pub(super) async fn nearest_by_index(
        self: &Arc<Self>,
        scan: &Scan,
        number: usize,
        source: &dyn RowSource,
        limits: &QueryLimits,
        interrupt: &Interrupt,
    ) -> Result<Option<Vec<Nearest>>, QueryError> {
        let is_finite = |query| self.search.queries.floats(query).iter().all(|number| number.is_finite());
        let takes_an_index = self.search.effort != Effort::Exact
            && self.ranks.is_none()
            && self.group.is_none()
            && self.search.page.is_none()
            && self.most <= MOST_WIDTH / 2
            && (0..self.search.queries.len()).all(is_finite);
        if !takes_an_index {
            return Ok(None);
        }
        let Some(index) = limits.open_index(source, self.search.field).await else { return Ok(None) };
        if index.graphs.iter().any(|graph| graph.shape().metric != self.search.metric) {
            return Ok(None);
        }
        let passing = match scan.gate(source).await? {
            None => return Ok(Some(self.empty())),
            Some(gate) if !gate.is_filtered() => {
                if gate.is_open() {
                    Passing::All
                } else {
                    Passing::Live(gate)
                }
            }
            Some(gate) => {
                limits.hold(source.rows().div_ceil(8))?;
                Passing::Places(scan.bits(number, source, gate).await?)
            }
        };
        let this = Arc::clone(self);
        let core = limits.cores.begin();
        let look = move |checkpoint: &Checkpoint| {
            let _core = core;
            this.look(number, &index, &passing, checkpoint)
        };
        let Some(nearest) = interrupt.blocking(look).await? else { return Ok(None) };
        let hits: u64 = nearest.iter().map(|nearest| nearest.len() as u64).sum();
        limits.hold(hits * HIT_BYTES)?;
        Ok(Some(nearest))
    }

    /// Looks for all query vectors. None: the index does not tell.
    fn look(
        &self,
        number: usize,
        index: &OpenIndex,
        passing: &Passing,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Vec<Nearest>>, QueryError> {
        let rows = IndexedRows::of(number, index)?;
        let keep = |place: u64| rows.passes(passing, place);
        let keep: Option<&dyn Fn(u64) -> bool> = if matches!(passing, Passing::All) { None } else { Some(&keep) };
        let matching = match passing {
            Passing::All | Passing::Live(_) => rows.times.len(),
            Passing::Places(places) => places.count_set_bits(),
        };
        let asked = match self.search.effort {
            Effort::Width(width) => width as usize,
            Effort::Usual | Effort::Exact => USUAL_WIDTH,
        };
        let width = asked.clamp(self.most, MOST_WIDTH.max(self.most));
        let width = width_among(width, self.most, matching as f64 / rows.times.len().max(1) as f64);
        let mut all = self.empty();
        for (query, nearest) in all.iter_mut().enumerate() {
            let kernel = Kernel::new(self.search.metric, &self.search.queries, query);
            let is_few =
                matching.saturating_mul(matching) <= width.saturating_mul(STEPS).saturating_mul(rows.times.len());
            if is_few {
                match passing {
                    Passing::Places(places) => {
                        let places = places.set_indices().map(|place| place as u64);
                        rows.rank(places, &kernel, nearest, checkpoint)?;
                    }
                    Passing::All | Passing::Live(_) => {
                        let places = (0..rows.times.len() as u64).filter(|place| keep.is_none_or(|keep| keep(*place)));
                        rows.rank(places, &kernel, nearest, checkpoint)?;
                    }
                }
                continue;
            }
            let mut width = width;
            loop {
                let mut may_have_more = false;
                for graph in &index.graphs {
                    checkpoint.spend(width * STEPS * GRAPH_UNITS)?;
                    let places = graph.nearest(self.search.queries.floats(query), width, keep);
                    let Ok(places) = places else { return Ok(None) };
                    may_have_more |= places.len() >= width;
                    rows.rank(places.into_iter(), &kernel, nearest, checkpoint)?;
                }
                // Several rows of one key leave room for others.
                if nearest.len() >= self.most || !may_have_more {
                    break;
                }
                width *= 4;
                if width > MOST_WIDTH {
                    return Ok(None);
                }
                *nearest = Nearest::new(self.most);
            }
        }
        Ok(Some(all))
    }
}

/// Rows in view if a share of the rows may be found. A graph goes on until so many have come into view that may be, so it
/// sees the more rows the smaller the share is. In between: it sees more, and fewer of them count.
fn width_among(width: usize, most: usize, share: f64) -> usize {
    let narrowed = (width as f64 * share.sqrt()) as usize;
    narrowed.max(width.min(most.saturating_mul(LEAST_VIEW))).max(most)
}

/// Keys and timestamps of a segment's rows, by place.
struct IndexedRows<'i> {
    number: usize,
    index: &'i OpenIndex,
    keys: KeyColumn,
    ints: Option<&'i Int64Array>,
    texts: Option<&'i StringArray>,
    times: &'i Int64Array,
}

impl<'i> IndexedRows<'i> {
    fn of(number: usize, index: &'i OpenIndex) -> Result<Self, QueryError> {
        let wrong = || QueryError::Batch { field: FieldId::TIMESTAMP, wanted: "keys and timestamps".to_owned() };
        let [key, time] = index.rows.columns() else { return Err(wrong()) };
        let times = time.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
        let (ints, texts) = (key.as_primitive_opt::<Int64Type>(), key.as_string_opt::<i32>());
        Ok(Self { number, index, keys: KeyColumn::of(Arc::clone(key)), ints, texts, times })
    }

    /// Never panics: the engine calls it.
    fn passes(&self, passing: &Passing, place: u64) -> bool {
        let at = place as usize;
        if at >= self.times.len() {
            return false;
        }
        match passing {
            Passing::All => true,
            Passing::Places(places) => at < places.len() && places.value(at),
            Passing::Live(gate) => {
                let time = Timestamp(self.times.value(at) as u64);
                match (self.ints, self.texts) {
                    (Some(keys), _) => gate.lets_int(keys.value(at), time),
                    (None, Some(keys)) => gate.lets_text(keys.value(at), time),
                    (None, None) => false,
                }
            }
        }
    }

    /// Ranks rows exactly, with the vectors of the graphs.
    fn rank(
        &self,
        places: impl Iterator<Item = u64>,
        kernel: &Kernel<'_>,
        nearest: &mut Nearest,
        checkpoint: &Checkpoint,
    ) -> Result<(), QueryError> {
        let dim = self.index.graphs.first().map_or(0, |graph| graph.shape().dim as usize);
        for row in places {
            checkpoint.spend(dim)?;
            // A row in no graph has no rank.
            let Some(vector) = self.index.graphs.iter().find_map(|graph| graph.vector(row)) else { continue };
            let rank = kernel.rank_floats(vector);
            if nearest.may_take(rank) && (row as usize) < self.times.len() {
                let ts = Timestamp(self.times.value(row as usize) as u64);
                let place = RowPlace { ts, source: self.number, row };
                nearest.offer(rank, place, &self.keys, None, row as usize);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// The rows that come into view are the width divided by the root of the share, up to the least view.
    #[rstest]
    #[case::all(128, 10, 1.0, 128)]
    #[case::half(128, 10, 0.5, 90)]
    #[case::a_quarter(128, 10, 0.25, 64)]
    #[case::few(128, 10, 0.01, 40)]
    #[case::few_of_a_narrow_search(16, 10, 0.01, 16)]
    #[case::no_wider_than_asked(30, 10, 0.81, 30)]
    #[case::as_many_as_are_wanted(16_384, 16_384, 0.1, 16_384)]
    #[case::none(128, 10, 0.0, 40)]
    fn a_search_for_a_share_of_the_rows_has_fewer_in_view(
        #[case] width: usize,
        #[case] most: usize,
        #[case] share: f64,
        #[case] expected: usize,
    ) {
        assert_eq!(width_among(width, most, share), expected);
    }
}

//! Queries: first the newest row per key, in order of keys, then the requested columns of these rows only.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field as ArrowField, Schema};
use arrow_select::interleave::interleave_record_batch;
use futures::{TryStreamExt, pin_mut};

use super::{
    QueryError, QueryLimits, ReadSet, RowSource, Scope,
    interrupt::{Checkpoint, Interrupt, ROW_UNITS},
    scan::{Detail, Survivors, survivors},
};
use crate::model::{CollectionSchema, FieldId, PrimaryKey, RequestError, Timestamp};

/// A request for rows.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub scope: Scope,
    /// Columns of the answer, in this order. Any stored field is allowed.
    pub output: Vec<FieldId>,
    /// None: all rows, and the offset is ignored, as Milvus 2.3.5 does.
    pub limit: Option<u64>,
    pub offset: u64,
}

/// Estimated memory of a chosen row: its key in the tree, and its place.
pub(super) const CHOSEN_BYTES: u64 = 128;
/// Copies of an answer that are in memory at once: as read, in order, as a message, and encoded.
const ANSWER_COPIES: u64 = 4;

/// The place of a row of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowPlace {
    pub(super) ts: Timestamp,
    pub(super) source: usize,
    pub(super) row: u64,
}

impl RowPlace {
    /// Of the rows of one key the newer one comes first, or of equal times the first.
    pub(super) fn precedence(&self, other: &Self) -> Ordering {
        (other.ts, self.source, self.row).cmp(&(self.ts, other.source, other.row))
    }

    /// True if this row wins over another one of the same key.
    pub(super) fn beats(&self, other: &Self) -> bool {
        self.precedence(other).is_lt()
    }
}

/// Answers a query with one batch. It has a column per output field, named and typed as in
/// `CollectionSchema::arrow_schema`.
pub async fn query(
    schema: &Arc<CollectionSchema>,
    read_set: ReadSet,
    query: Query,
    limits: &QueryLimits,
) -> Result<RecordBatch, QueryError> {
    query_until(schema, read_set, query, limits, Interrupt::default()).await
}

pub(super) async fn query_until(
    schema: &Arc<CollectionSchema>,
    read_set: ReadSet,
    query: Query,
    limits: &QueryLimits,
    interrupt: Interrupt,
) -> Result<RecordBatch, QueryError> {
    let _ends_with_the_caller = interrupt.on_drop();
    let answer_schema = output_schema(schema, &query.output)?;
    let window = match query.limit {
        None => None,
        Some(limit) => match limit.checked_add(query.offset).filter(|end| *end <= limits.max_window) {
            Some(end) => Some(end),
            None => {
                let got = limit.saturating_add(query.offset);
                return Err(RequestError::QueryWindow { got, most: limits.max_window }.into());
            }
        },
    };
    let mut chosen = Chosen { rows: BTreeMap::new(), window, max_rows: limits.max_rows };
    let ReadSet { sources, deletes } = read_set;
    {
        let found =
            survivors(schema, &sources, deletes, query.scope, Detail::KeyAndTime, Some(limits), &interrupt).await?;
        pin_mut!(found);
        while let Some(batch) = found.try_next().await? {
            let before = chosen.rows.len();
            chosen = interrupt.sized(batch.places.len(), move |checkpoint| chosen.with(&batch, checkpoint)).await?;
            limits.hold(chosen.rows.len().saturating_sub(before) as u64 * CHOSEN_BYTES)?;
        }
    }
    let skip = if window.is_some() { query.offset } else { 0 };
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    let rows = chosen.rows;
    let places: Arc<[RowPlace]> =
        interrupt.sized(rows.len(), move |_| Ok(rows.into_values().skip(skip).collect())).await?;
    fetch(answer_schema, &sources, &query.output, places, limits, &interrupt).await
}

pub(super) fn output_schema(schema: &CollectionSchema, output: &[FieldId]) -> Result<Arc<Schema>, QueryError> {
    let stored = schema.stored_fields();
    let columns = output.iter().map(|id| match stored.iter().find(|field| field.id == *id) {
        Some(field) => Ok(ArrowField::new(field.column_name(), field.arrow_type(), false)),
        None => Err(QueryError::UnknownField { field: *id, collection: schema.name.clone() }),
    });
    Ok(Arc::new(Schema::new(columns.collect::<Result<Vec<_>, _>>()?)))
}

/// The best row of each key so far. With a window only the smallest keys are kept.
struct Chosen {
    rows: BTreeMap<PrimaryKey, RowPlace>,
    window: Option<u64>,
    max_rows: u64,
}

impl Chosen {
    fn with(mut self, found: &Survivors, checkpoint: &Checkpoint) -> Result<Self, QueryError> {
        let Some(keys) = &found.keys else { return Ok(self) };
        for (i, (row, ts)) in found.places.iter().zip(&found.times).enumerate() {
            checkpoint.spend(ROW_UNITS)?;
            // The last key of a full window only becomes smaller, so a key beyond it never gets in.
            if self.window.is_some_and(|window| self.rows.len() as u64 >= window)
                && self.rows.last_key_value().is_none_or(|(last, _)| keys.exceeds(i, last))
            {
                continue;
            }
            let place = RowPlace { ts: *ts, source: found.source, row: *row };
            match self.rows.entry(keys.get(i)) {
                Entry::Vacant(entry) => {
                    entry.insert(place);
                }
                Entry::Occupied(mut entry) => {
                    if place.beats(entry.get()) {
                        entry.insert(place);
                    }
                }
            }
            match self.window {
                Some(window) if self.rows.len() as u64 > window => {
                    self.rows.pop_last();
                }
                None if self.rows.len() as u64 > self.max_rows => {
                    return Err(QueryError::TooLarge { what: "rows", max: self.max_rows });
                }
                _ => {}
            }
        }
        Ok(self)
    }
}

/// The second pass: reads the output columns of the chosen rows and puts them into the answer's order.
pub(super) async fn fetch(
    schema: Arc<Schema>,
    sources: &[Box<dyn RowSource>],
    output: &[FieldId],
    places: Arc<[RowPlace]>,
    limits: &QueryLimits,
    interrupt: &Interrupt,
) -> Result<RecordBatch, QueryError> {
    if places.is_empty() {
        return Ok(RecordBatch::new_empty(schema));
    }
    if output.is_empty() {
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        return Ok(RecordBatch::try_new_with_options(schema, Vec::new(), &options)?);
    }
    // Positions in the answer, in the order in which the sources return the rows.
    let order = {
        let places = Arc::clone(&places);
        interrupt.sized(places.len(), move |_| Ok(in_source_order(&places))).await?
    };
    let mut batches = Vec::new();
    let mut indices = vec![(0, 0); places.len()];
    let mut bytes = 0;
    let mut given = 0;
    for group in order.chunk_by(|a, b| places[*a].source == places[*b].source) {
        let source = &sources[places[group[0]].source];
        let mut taken = source.take(output, group.iter().map(|i| places[*i].row).collect());
        let end = given + group.len();
        while let Some(batch) = taken.try_next().await? {
            let size = batch.get_array_memory_size() as u64;
            bytes += size;
            if bytes > limits.max_bytes {
                return Err(QueryError::TooLarge { what: "bytes", max: limits.max_bytes });
            }
            limits.hold(size * ANSWER_COPIES)?;
            for row in 0..batch.num_rows().min(end - given) {
                indices[order[given]] = (batches.len(), row);
                given += 1;
            }
            batches.push(batch);
        }
        if given != end {
            return Err(QueryError::Short { got: given + group.len() - end, wanted: group.len() });
        }
    }
    // Copies the whole answer.
    let answer = interrupt.blocking(move |_| {
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        Ok(interleave_record_batch(&batches, &indices)?)
    });
    Ok(RecordBatch::try_new(schema, answer.await?.columns().to_vec())?)
}

/// Positions in `places`, by source and row.
fn in_source_order(places: &[RowPlace]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_unstable_by_key(|i| places.get(*i).map(|place| (place.source, place.row)));
    order
}

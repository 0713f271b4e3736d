//! The first pass: key, timestamp and row-id columns of every batch, read to decide which rows survive.
//!
//! Columns that can't change the answer are not read: no keys without deletes, no timestamps if nothing can have
//! expired. If the deletes do not fit into memory, their keys are taken in shards and the keys of the batches are read
//! once per shard.
//!
//! Must never: hold more of a batch than an object of keys, one of timestamps, and one bit per row.

use std::{sync::Arc, time::Duration};

use super::{
    CompactError,
    deletes::{DeleteMap, Shard, WrongKeyType},
    inputs::{DeltaLog, Inputs},
    memory::run_units,
    merge_run::{MergeRun, SMALL_BYTES},
    selection::{Keep, Mask, RowIds, Selection, TimeRange},
};
use crate::{
    binlog::scan_delta,
    model::{Delete, Timestamp},
};

/// Bytes that one unit of decoding takes besides the object: pages, arrays of two steps.
pub(super) const DECODE_BYTES: u64 = 4 << 20;

/// A batch between two shards of deletes.
struct PendingBatch {
    index: usize,
    mask: Mask,
    deleted: u64,
}

/// Result of the first pass.
pub(super) struct RowSurvey {
    /// One per batch of the inputs.
    pub(super) selections: Vec<Selection>,
    /// Delta entries beyond the horizon, counted once per input that logged them.
    pub(super) retained: u64,
}

/// The shards in which the deletes of `inputs` are taken so that a map leaves room for the rest.
pub(super) fn shards(exec: &MergeRun<'_>, inputs: &Inputs) -> (u64, impl ExactSizeIterator<Item = Shard> + use<>) {
    let all = DeleteMap::estimate_bytes(inputs.key_type(), inputs.deltas.iter().map(|d| &d.file));
    let most = exec.budget.limit_bytes() / 4;
    (all.min(most), Shard::split(all, most))
}

pub(super) async fn survey(exec: &MergeRun<'_>, inputs: &Inputs) -> Result<RowSurvey, CompactError> {
    let (map_bytes, shards) = shards(exec, inputs);
    let mask_bytes = inputs.rows() / 8;
    let unit_bytes = |index: usize| {
        let batch = inputs.batches.get(index);
        let objects = inputs.narrow().into_iter().filter_map(|field| batch.map(|b| b.file_bytes(field))).max();
        // Keys and timestamps are read side by side.
        2 * exec.budget.reading_bytes(objects.unwrap_or(0)) + DECODE_BYTES
    };
    let largest = (0..inputs.batches.len()).map(unit_bytes).max().unwrap_or(0);
    let _memory = exec.reserve(map_bytes + mask_bytes + largest).await?;

    let mut retained = 0;
    let mut pending: Vec<PendingBatch> = inputs
        .batches
        .iter()
        .enumerate()
        .map(|(index, batch)| PendingBatch { index, mask: Mask::new(batch.rows as usize), deleted: 0 })
        .collect();
    let mut selections: Vec<Option<Selection>> = inputs.batches.iter().map(|_| None).collect();
    for shard in shards {
        let map = Arc::new(load(exec, inputs, shard, &mut retained).await?);
        let last = shard.is_last();
        let units = std::mem::take(&mut pending).into_iter().map(|p| (unit_bytes(p.index), p));
        run_units(
            exec.budget,
            units,
            exec.parallel(),
            |batch| examine(exec, inputs, batch, map.clone(), last),
            |examined| match examined {
                Examined::PendingBatch(batch) => pending.push(batch),
                Examined::Selected(index, selection) => {
                    if let Some(slot) = selections.get_mut(index) {
                        *slot = Some(selection);
                    }
                }
            },
            || exec.stop.cancel(),
        )
        .await?;
    }
    let selections: Option<Vec<Selection>> = selections.into_iter().collect();
    let selections = selections.ok_or_else(|| CompactError::Internal("a batch was not examined".to_owned()))?;
    Ok(RowSurvey { selections, retained })
}

/// Shows the entries of one delta log to `each`, a few at a time. Returns the final `state`.
pub(super) async fn scan_deletes<T: Send + 'static>(
    exec: &MergeRun<'_>,
    delta: &DeltaLog,
    mut state: T,
    mut each: impl FnMut(&mut T, Vec<Delete>) -> Result<(), WrongKeyType> + Send + 'static,
) -> Result<T, CompactError> {
    let path = delta.path();
    let fetched = exec.fetch(delta.object()).await?;
    exec.cores
        .run(move || {
            let (bytes, object) = fetched.open()?;
            let mut wrong = None;
            let scanned = scan_delta(bytes, |part| {
                if wrong.is_none() {
                    wrong = each(&mut state, part).err();
                }
            });
            if let Some(WrongKeyType { key, expected }) = wrong {
                return Err(CompactError::KeyType { object: path.to_string(), key, expected });
            }
            match (scanned, object.and_then(|object| object.take_failure())) {
                (Ok(()), _) => Ok(state),
                (Err(_), Some(failure)) => Err(failure.into()),
                (Err(source), None) => Err(CompactError::Object { object: path.to_string(), source }),
            }
        })
        .await
}

async fn load(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    shard: Shard,
    retained: &mut u64,
) -> Result<DeleteMap, CompactError> {
    let mut loaded = (DeleteMap::new(inputs.key_type()), 0);
    let horizon = exec.task.plan.keep_deletes_after;
    for delta in &inputs.deltas {
        loaded = scan_deletes(exec, delta, loaded, move |(map, beyond), part| {
            *beyond += map.absorb(part, horizon, shard)?;
            Ok(())
        })
        .await?;
    }
    let (map, beyond) = loaded;
    *retained += beyond;
    Ok(map)
}

enum Examined {
    PendingBatch(PendingBatch),
    Selected(usize, Selection),
}

async fn examine(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    batch: PendingBatch,
    deletes: Arc<DeleteMap>,
    last: bool,
) -> Result<Examined, CompactError> {
    let PendingBatch { index, mut mask, mut deleted } = batch;
    let known = inputs.batches.get(index).map_or(TimeRange::default(), |b| TimeRange { from: b.ts_from, to: b.ts_to });
    let rows = inputs.batches.get(index).map_or(0, |batch| batch.rows);

    let keys = !deletes.is_empty() && mask.kept() > 0;
    let ttl = exec.task.plan.ttl.filter(|ttl| last && known.from.is_expired(*ttl, exec.task.now_ms));
    let range_is_known = mask.kept() as u64 == rows && known.from > Timestamp::ZERO && known.to >= known.from;
    let (mut expired, mut range) = (0, Some(known));
    if keys || ttl.is_some() || (last && !range_is_known) {
        let judge = Judge { mask, deleted, expired, range: None, last, ttl, now_ms: exec.task.now_ms };
        let judge = judged(exec, inputs, index, judge, keys.then_some(deletes)).await?;
        (mask, deleted, expired, range) = (judge.mask, judge.deleted, judge.expired, judge.range);
    }
    if !last {
        return Ok(Examined::PendingBatch(PendingBatch { index, mask, deleted }));
    }

    let TimeRange { from: ts_from, to: ts_to } = range.unwrap_or_default();
    let (kept, keep) = (mask.kept() as u64, mask.finish());
    let (mut row_ids, mut readable) = (None, false);
    if kept > 0 {
        let column = inputs.column(index, Inputs::ROW_ID)?;
        let bytes = exec.fetch(column.object()).await?;
        let (stop, kept) = (exec.stop.clone(), keep.clone());
        let scan = move || {
            let open = column.open(bytes)?;
            let mut found = None;
            column.scan(&open, &stop, |row, array| {
                let ids = column.int64s(array)?;
                match kept.slice(row, ids.len()) {
                    Keep::All => RowIds::extend(&mut found, ids),
                    Keep::None => {}
                    Keep::Some(bits) => bits.set_indices().filter_map(|at| ids.get(at)).for_each(|id| {
                        RowIds::extend(&mut found, std::slice::from_ref(id));
                    }),
                }
                Ok(())
            })?;
            Ok((found, open.log.is_readable()))
        };
        (row_ids, readable) = exec.cores.run(scan).await?;
        exec.progress.alive();
        if readable && keep == Keep::All && row_ids.is_some_and(|ids| ids.ascending) {
            readable = large_columns_are_readable(exec, inputs, index).await?;
        }
    }
    let survivors = kept;
    let selection = Selection { keep, kept, survivors, deleted, expired, ts_from, ts_to, row_ids, readable };
    Ok(Examined::Selected(index, selection))
}

/// Whether stock readers accept the large columns of a batch as they are, judged by their footers. A refused column is
/// written anew, which needs a batch that was cut for it: otherwise it could take more memory than there is. Small
/// columns always have that room.
async fn large_columns_are_readable(exec: &MergeRun<'_>, inputs: &Inputs, batch: usize) -> Result<bool, CompactError> {
    for field in 0..inputs.fields.len() {
        let column = inputs.column(batch, field)?;
        if column.file.bytes < SMALL_BYTES {
            continue;
        }
        let fetched = exec.look_into(column.path).await?;
        if !exec.cores.run(move || Ok(column.open(fetched)?.log.is_readable())).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Decides about the rows of a batch, some at a time.
struct Judge {
    mask: Mask,
    deleted: u64,
    expired: u64,
    /// Of the survivors, if this is the last time that the batch is looked at.
    range: Option<TimeRange>,
    last: bool,
    ttl: Option<Duration>,
    now_ms: u64,
}

impl Judge {
    /// Decides about rows after deletes have been applied to them.
    fn judge(&mut self, row: usize, timestamps: &[i64]) {
        if let Some(ttl) = self.ttl {
            self.expired += self.mask.drop_expired(row, timestamps, ttl, self.now_ms);
        }
        if self.last {
            self.mask.extend_range(row, timestamps, &mut self.range);
        }
    }
}

/// Has all rows of a batch judged by their timestamps and, if there are deletes, by their keys. Both columns are read side
/// by side, so that neither is ever held.
async fn judged(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    batch: usize,
    mut judge: Judge,
    deletes: Option<Arc<DeleteMap>>,
) -> Result<Judge, CompactError> {
    let Some(deletes) = deletes else {
        let times = (batch, Inputs::TIMESTAMP);
        return scan_values(exec, inputs, times, judge, |judge, row, timestamps| judge.judge(row, timestamps)).await;
    };
    let (times, keys) = (inputs.column(batch, Inputs::TIMESTAMP)?, inputs.column(batch, inputs.key)?);
    let time_bytes = exec.fetch(times.object()).await?;
    let key_bytes = exec.fetch(keys.object()).await?;
    let stop = exec.stop.clone();
    let judge = exec
        .cores
        .run(move || {
            let times_open = times.open(time_bytes)?;
            let mut timestamps = times.values(&times_open)?;
            keys.scan(&keys.open(key_bytes)?, &stop, |row, array| {
                let timestamps = timestamps.next(array.len())?;
                let dropped = judge.mask.drop_deleted(row, array, timestamps, &deletes);
                judge.deleted += dropped.ok_or_else(|| keys.mismatch("is not a column of primary keys"))?;
                judge.judge(row, timestamps);
                Ok(())
            })?;
            Ok(judge)
        })
        .await?;
    exec.progress.alive();
    Ok(judge)
}

/// Shows the values of an Int64 column of one batch to `each`, some at a time, with the row they begin at. Returns
/// `state` as `each` left it.
pub(super) async fn scan_values<T: Send + 'static>(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    (batch, field): (usize, usize),
    mut state: T,
    mut each: impl FnMut(&mut T, usize, &[i64]) + Send + 'static,
) -> Result<T, CompactError> {
    let column = inputs.column(batch, field)?;
    let bytes = exec.fetch(column.object()).await?;
    let stop = exec.stop.clone();
    exec.cores
        .run(move || {
            column.scan(&column.open(bytes)?, &stop, |row, array| {
                each(&mut state, row, column.int64s(array)?);
                Ok(())
            })?;
            Ok(state)
        })
        .await
}

//! Writing the outputs of a merge: rows are cut into outputs and pieces, and every column of every piece is written.
//!
//! Cuts are made by estimate. If an output turns out larger than the plan allows, all outputs are discarded and cut again.
//!
//! Must never: keep an output above the plan's limit, unless it is a single row.

use std::{cmp::Reverse, sync::Arc};

use parking_lot::Mutex;

use super::{
    CompactError,
    cut::{CutLimits, cut},
    inputs::Inputs,
    memory::run_units,
    merge_run::MergeRun,
    piece_work::{PieceWork, Selections},
    second_pass::{ColumnTarget, Written, write_column, write_columns},
};
use crate::{
    binlog::PkStatsBuilder,
    model::{ClusterRange, LogFile, LogIds},
};

/// Bytes of an insert object besides its rows: container header, page headers, parquet footer.
const OBJECT_OVERHEAD_BYTES: u64 = 350;
/// If the largest of several outputs is filled less than this, in hundredths, all are cut again.
const LEAST_FILLED: u64 = 80;
/// Each retry aims 1/16 below the last attempt's estimate.
const AIM_MARGIN: u128 = 16;

/// An output segment under construction.
pub(super) struct OutputDraft {
    pub(super) ids: LogIds,
    pub(super) keys: Arc<Mutex<PkStatsBuilder>>,
    /// Log of field f of piece p at `[p][f]`.
    pub(super) pieces: Vec<Vec<Option<LogFile>>>,
    pub(super) cluster_range: Option<ClusterRange>,
}

impl OutputDraft {
    fn bytes(&self) -> u64 {
        self.pieces.iter().flatten().flatten().map(|file| file.bytes).sum()
    }

    fn rows(&self) -> u64 {
        self.pieces.iter().filter_map(|piece| piece.first()?.as_ref()).map(|file| file.rows).sum()
    }
}

/// Bytes of the largest output that can be divided: one of a single row can't.
pub(super) fn largest(drafts: &[OutputDraft]) -> u64 {
    drafts.iter().filter(|d| d.rows() > 1).map(OutputDraft::bytes).max().unwrap_or(0)
}

/// The next aim, after aiming at `aim` made an output of `largest` bytes instead of `most`.
pub(super) fn next_aim(aim: u64, most: u64, largest: u64) -> u64 {
    let scaled = u128::from(aim) * u128::from(most) / u128::from(largest.max(1));
    u64::try_from(scaled - scaled / AIM_MARGIN).unwrap_or(u64::MAX)
}

/// Batches by their smallest row id. They rarely overlap, so the rows of a piece are mostly in order as they come.
pub(super) fn merge_order(inputs: &Inputs, selections: &Selections) -> Vec<usize> {
    let mut batches: Vec<usize> = (0..inputs.batches.len()).collect();
    batches.sort_by_key(|batch| selections.get(*batch).and_then(|s| s.row_ids).map(|ids| ids.min));
    batches
}

/// Writes the columns of all outputs, none of which is larger than the plan allows.
///
/// Rows that compress better or worse than in the inputs may prove the estimate of the cuts wrong. Then everything is
/// written once more with another aim: rare enough to be worth neither sequential writing nor guessing low every time.
/// From the second time on every aim is lower, down to single rows, so this ends.
pub(super) async fn write(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
) -> Result<Vec<OutputDraft>, CompactError> {
    let most = exec.task.plan.max_output_bytes;
    let mut aim = most;
    for attempt in 1.. {
        let order = merge_order(inputs, selections);
        let max_outputs = exec.task.max_outputs;
        let cuts = Cuts { output_bytes: aim, binlog_bytes: exec.binlog.max_bytes, first: 0, max_outputs };
        let (drafts, works) = arrange(exec, inputs, selections, &order, cuts)?;
        let units = units_of_pieces(exec, inputs, selections, works)?;
        let drafts = write_units(exec, inputs, &order, drafts, units).await?;
        let largest = largest(&drafts);
        // Rows that compress better than they did leave more outputs than needed, all of them badly filled.
        let too_small = attempt == 1 && drafts.len() > 1 && largest < most / 100 * LEAST_FILLED;
        if largest <= most && !too_small {
            return Ok(drafts);
        }
        tracing::info!(plan = %exec.task.plan.id, bytes = largest, limit = most, "output of the wrong size, cut again");
        exec.clean_up().await;
        aim = next_aim(aim, most, largest);
    }
    Err(CompactError::Internal("no attempt to write was made".to_owned()))
}

/// How the rows of an output, or of all of them, are cut.
#[derive(Clone, Copy)]
pub(super) struct Cuts {
    pub(super) output_bytes: u64,
    pub(super) binlog_bytes: u64,
    /// Number of the first output.
    pub(super) first: usize,
    /// Outputs that the plan may still have.
    pub(super) max_outputs: u64,
}

/// Cuts the surviving rows into pieces and gives every output segment its id.
///
/// # Errors
/// `TooManyOutputs`.
pub(super) fn arrange(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    batches: &[usize],
    Cuts { output_bytes, binlog_bytes, first, max_outputs }: Cuts,
) -> Result<(Vec<OutputDraft>, Vec<PieceWork>), CompactError> {
    let sizes = batches.iter().filter_map(|b| Some(inputs.batches.get(*b)?.size(selections.get(*b)?)));
    let (copied_bytes, overhead_bytes) = (exec.copied_bytes, OBJECT_OVERHEAD_BYTES * inputs.fields.len() as u64);
    let limits = CutLimits { binlog_bytes, copied_bytes, output_bytes, overhead_bytes };
    let outputs = cut(&sizes.collect::<Vec<_>>(), limits);
    if outputs.len() as u64 > max_outputs {
        return Err(exec.too_many_outputs());
    }
    let (mut drafts, mut works) = (Vec::with_capacity(outputs.len()), Vec::new());
    for (output, outline) in outputs.into_iter().enumerate() {
        let group = &exec.task.plan.group;
        let segment = exec.ids.next_segment()?;
        let ids = group.log_ids(segment);
        let key = exec.task.schema.primary_key();
        let rate = exec.binlog.bloom_false_positive;
        // As stock Milvus has it: room for the rows of the sources, dead ones included.
        let keys = PkStatsBuilder::new(key.id, key.data_type, outline.source_rows, rate);
        let keys = Arc::new(Mutex::new(keys));
        let pieces = vec![vec![None; inputs.fields.len()]; outline.pieces.len()];
        for (number, mut piece) in outline.pieces.into_iter().enumerate() {
            for part in &mut piece.parts {
                part.batch = batches.get(part.batch).copied().unwrap_or(part.batch);
            }
            let place = (first + output, number);
            works.push(PieceWork::new(place, piece, ids, keys.clone(), selections, inputs.fields.len()));
        }
        drafts.push(OutputDraft { ids, keys, pieces, cluster_range: None });
    }
    Ok((drafts, works))
}

/// Columns that are written together because they need the same batches.
pub(super) struct WriteUnit {
    field: usize,
    pieces: Vec<ColumnTarget>,
    /// Memory that writing takes at most.
    bytes: u64,
}

/// Every column of every piece by itself: pieces rarely need the same batch.
fn units_of_pieces(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    works: Vec<PieceWork>,
) -> Result<Vec<WriteUnit>, CompactError> {
    let mut units = Vec::with_capacity(works.len() * inputs.fields.len());
    for work in works.into_iter().map(Arc::new) {
        let mut columns: Vec<(u64, usize)> =
            (0..inputs.fields.len()).map(|field| (work.memory_bytes(inputs, selections, field, exec), field)).collect();
        // The widest first: the narrow ones fill the gaps.
        columns.sort_unstable_by_key(|(bytes, field)| (Reverse(*bytes), *field));
        for (bytes, field) in columns {
            let target = ColumnTarget { work: work.clone(), selections: selections.clone(), log: exec.ids.next_log()? };
            units.push(WriteUnit { field, pieces: vec![target], bytes });
        }
    }
    Ok(units)
}

/// The pieces of several ranges, each with its selections. Pieces that are whole batches are copied one by one. Of all
/// others the same column is written at once, so that no batch is read for each range anew.
pub(super) fn units_of_ranges(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    ranges: Vec<(Selections, Vec<PieceWork>)>,
) -> Result<Vec<WriteUnit>, CompactError> {
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for (selections, works) in ranges {
        let (copied, others): (Vec<_>, Vec<_>) = works.into_iter().partition(|w| w.copied(&selections).is_some());
        alone.extend(copied.into_iter().map(|work| (Arc::new(work), selections.clone())));
        if !others.is_empty() {
            together.push((selections, others.into_iter().map(Arc::new).collect::<Vec<_>>()));
        }
    }
    let mut units = Vec::new();
    for field in 0..inputs.fields.len() {
        for (work, selections) in &alone {
            let target = ColumnTarget { work: work.clone(), selections: selections.clone(), log: exec.ids.next_log()? };
            let bytes = work.memory_bytes(inputs, selections, field, exec);
            units.push(WriteUnit { field, pieces: vec![target], bytes });
        }
        let (mut pieces, mut bytes) = (Vec::new(), 0u64);
        for (selections, works) in &together {
            bytes += works.iter().map(|w| w.memory_bytes(inputs, selections, field, exec)).max().unwrap_or(0);
            for work in works {
                let (work, selections) = (work.clone(), selections.clone());
                pieces.push(ColumnTarget { work, selections, log: exec.ids.next_log()? });
            }
        }
        if !pieces.is_empty() {
            units.push(WriteUnit { field, pieces, bytes });
        }
    }
    units.sort_by_key(|unit| Reverse(unit.bytes));
    Ok(units)
}

/// Writes all units, and notes their objects in the drafts. `order` lists the batches in the order in which the pieces
/// have their parts.
pub(super) async fn write_units(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    order: &[usize],
    mut drafts: Vec<OutputDraft>,
    units: Vec<WriteUnit>,
) -> Result<Vec<OutputDraft>, CompactError> {
    let largest = units.iter().map(|unit| unit.bytes).max().unwrap_or(0);
    // Masks, and the filters of the keys: less than two bytes a row.
    let held = inputs.rows() * 2 + inputs.bytes().min(exec.budget.waiting_bytes());
    let _memory = exec.reserve(largest + held).await?;
    run_units(
        exec.budget,
        units.into_iter().map(|unit| (unit.bytes, unit)),
        exec.parallel(),
        |WriteUnit { field, pieces, .. }| async move {
            match pieces.as_slice() {
                [ColumnTarget { work, selections, log }] => {
                    Ok(vec![write_column(exec, inputs, selections, work, (field, *log)).await?])
                }
                _ => write_columns(exec, inputs, &pieces, order, field).await,
            }
        },
        |written: Vec<Written>| {
            for Written { output, number, field, file } in written {
                let slot = drafts.get_mut(output).and_then(|d| d.pieces.get_mut(number)?.get_mut(field));
                if let Some(slot) = slot {
                    *slot = Some(file);
                }
            }
        },
        || exec.stop.cancel(),
    )
    .await?;
    Ok(drafts)
}

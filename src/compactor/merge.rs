//! The run of a plan from its task to its outcome.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    CompactError, CompactionTask, Outcome, OutputIds, OutputSegment, ProgressCell, Throttle, clustering,
    cut::{Limits, cut},
    deletes::Retained,
    execution::{Cores, Execution},
    first_pass::{Survey, scan_deletes, shards, survey},
    inputs::Inputs,
    l0_delete,
    memory::{MemoryBudget, run_units},
    second_pass::{Mate, PieceWork, Selections, Written, write_column, write_columns},
};
use crate::{
    binlog::{LogIds, PkStats, PkStatsBuilder, encode_delta, stats_file},
    config::{BinlogConfig, WorkerConfig},
    model::{ClusterRange, LogFile, PlanKind, SegmentLogs},
    storage::{LogPath, SegmentStore},
};

/// What an insert object takes besides its rows: container header, page headers, parquet footer.
const OBJECT_OVERHEAD_BYTES: u64 = 350;
/// Times that all rows are divided into ranges anew because those written first are too large.
const DIVISIONS: u32 = 5;
/// If the largest of several outputs is filled less than this, in hundredths, all are cut again.
const LEAST_FILLED: u64 = 80;
/// Room left for errors of the sample when rows are divided by ranges of keys.
const SAMPLE_MARGIN: u64 = 10;
/// Ranges of a clustering that are written at once: more would leave less memory for each and make smaller binlogs.
const RANGES_AT_ONCE: usize = 8;
/// Each new aim is lower than what the last attempt would call for by this part.
const AIM_MARGIN: u128 = 16;

/// Executes plans, several at once if asked. Cheap to clone; clones share the memory budget and the cores.
#[derive(Clone)]
pub struct Compactor {
    store: SegmentStore,
    /// With what the memory limit leaves of it.
    binlog: BinlogConfig,
    /// Bytes of a binlog as configured: what is copied may be that large whatever the limit.
    copied_bytes: u64,
    ids: Arc<dyn OutputIds>,
    pub(super) budget: MemoryBudget,
    cores: Cores,
    throttle: Option<Arc<Throttle>>,
}

/// An output segment under construction.
struct Draft {
    ids: LogIds,
    keys: Arc<Mutex<PkStatsBuilder>>,
    /// Log of field f of piece p at `[p][f]`.
    pieces: Vec<Vec<Option<LogFile>>>,
    cluster_range: Option<ClusterRange>,
}

/// How the rows of an output, or of all of them, are cut.
#[derive(Clone, Copy)]
struct Cuts {
    output_bytes: u64,
    binlog_bytes: u64,
    /// Number of the first output.
    first: usize,
}

/// Batches by their smallest row id: they rarely overlap, and pieces are in order as they come.
fn merge_order(inputs: &Inputs, selections: &Selections) -> Vec<usize> {
    let mut batches: Vec<usize> = (0..inputs.batches.len()).collect();
    batches.sort_by_key(|batch| selections.get(*batch).and_then(|s| s.row_ids).map(|ids| ids.min));
    batches
}

/// What came of writing ranges.
enum Ranged {
    Written(Vec<Draft>),
    /// Nothing counts of what was written: an output has so many bytes.
    TooLarge(u64),
}

/// Bytes of the largest output that can be divided: one of a single row can't.
fn largest(drafts: &[Draft]) -> u64 {
    drafts.iter().filter(|d| d.rows() > 1).map(Draft::bytes).max().unwrap_or(0)
}

/// What to aim at after aiming at `aim` made an output of `largest` bytes instead of `most`.
fn next_aim(aim: u64, most: u64, largest: u64) -> u64 {
    let scaled = u128::from(aim) * u128::from(most) / u128::from(largest.max(1));
    u64::try_from(scaled - scaled / AIM_MARGIN).unwrap_or(u64::MAX)
}

impl Draft {
    fn bytes(&self) -> u64 {
        self.pieces.iter().flatten().flatten().map(|file| file.bytes).sum()
    }

    fn rows(&self) -> u64 {
        self.pieces.iter().filter_map(|piece| piece.first()?.as_ref()).map(|file| file.rows).sum()
    }
}

impl Compactor {
    /// The memory limit of `worker` holds for all plans that this compactor and its clones run.
    pub fn new(store: SegmentStore, binlog: BinlogConfig, worker: &WorkerConfig, ids: Arc<dyn OutputIds>) -> Self {
        let budget = MemoryBudget::new(worker.memory_limit_bytes);
        let copied_bytes = binlog.max_bytes;
        let binlog = BinlogConfig {
            max_bytes: budget.binlog_bytes(binlog.max_bytes),
            page_bytes: budget.page_bytes(binlog.page_bytes),
            ..binlog
        };
        Self { store, binlog, copied_bytes, ids, budget, cores: Cores::of_machine(), throttle: None }
    }

    /// Bytes of the memory limit that are taken.
    pub fn memory_used(&self) -> u64 {
        self.budget.used_bytes()
    }

    /// Reads and writes no more than this allows.
    pub fn throttled(self, throttle: Arc<Throttle>) -> Self {
        Self { throttle: Some(throttle), ..self }
    }

    /// Merges the inputs of a task into new segments. Waits for memory first if other plans hold it.
    ///
    /// Whatever goes wrong, the inputs are untouched. After an error or a cancellation the objects of this run are
    /// deleted as far as the store allows; if the future is dropped, they are left for garbage collection.
    ///
    /// # Errors
    /// [`CompactError::Cancelled`] soon after `cancel`; errors of kind corrupt name object and offset.
    pub async fn run(
        &self,
        task: &CompactionTask,
        progress: &ProgressCell,
        cancel: &CancellationToken,
    ) -> Result<Outcome, CompactError> {
        let stop = cancel.child_token();
        // Work on other threads ends early if this future is dropped.
        let _stop_on_drop = stop.clone().drop_guard();
        let exec = Execution::new(task, &self.store, &self.binlog, &self.budget, &self.cores, progress, stop)
            .throttled(self.throttle.as_ref());
        let outcome = match task.plan.kind {
            PlanKind::L0Delete => l0_delete::check(&exec).await,
            PlanKind::Mix | PlanKind::Single | PlanKind::Clustering => self.merge(&exec).await,
        };
        // What was decoded window by window is checked before anybody can commit what came of it.
        let outcome = match outcome {
            Ok(outcome) => exec.check_windows().await.map(|()| outcome),
            failed => failed,
        };
        match outcome {
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                exec.clean_up().await;
                Err(if cancel.is_cancelled() { CompactError::Cancelled } else { error })
            }
        }
    }

    async fn merge(&self, exec: &Execution<'_>) -> Result<Outcome, CompactError> {
        let task = exec.task;
        let inputs = Inputs::open(task)?;
        exec.progress.start(inputs.rows(), inputs.bytes());
        let Survey { selections, retained } = survey(exec, &inputs).await?;
        let selections: Selections = selections.into();
        for (batch, selection) in inputs.batches.iter().zip(selections.iter()) {
            // Nothing more will be done about a batch without survivors.
            if selection.kept == 0 {
                exec.progress.add_rows(batch.rows);
                exec.progress.add_bytes(batch.bytes());
            }
        }

        let drafts = match task.plan.kind {
            PlanKind::Clustering => self.cluster(exec, &inputs, &selections).await?,
            _ => self.write(exec, &inputs, &selections).await?,
        };
        let mut outputs = Vec::with_capacity(drafts.len());
        for draft in drafts {
            outputs.push(self.finish(exec, &inputs, draft).await?);
        }
        if retained > 0 {
            self.pass_on_deletes(exec, &inputs, &mut outputs).await?;
        }
        exec.flush().await?;

        Ok(Outcome {
            rows_in: inputs.rows(),
            rows_deleted: selections.iter().map(|s| s.deleted).sum(),
            rows_expired: selections.iter().map(|s| s.expired).sum(),
            rows_out: outputs.iter().map(|(output, _)| output.rows).sum(),
            outputs: outputs.into_iter().map(|(output, _)| output).collect(),
            bytes_read: exec.bytes_read.load(Relaxed),
            bytes_written: exec.bytes_written.load(Relaxed),
            consumed_deltas: exec.consumed(),
        })
    }

    /// Writes the columns of all outputs, none of which is larger than the plan allows.
    ///
    /// Cuts are made by estimate, and rows that compress better or worse than in the inputs may prove it wrong. Then
    /// everything is written once more with another aim: rare enough to be worth neither sequential writing nor guessing
    /// low every time. From the second time on every aim is lower, down to single rows, so this ends.
    async fn write(
        &self,
        exec: &Execution<'_>,
        inputs: &Inputs,
        selections: &Selections,
    ) -> Result<Vec<Draft>, CompactError> {
        let most = exec.task.plan.max_output_bytes;
        let mut aim = most;
        for attempt in 1.. {
            let binlog_bytes = self.binlog.max_bytes;
            let order = merge_order(inputs, selections);
            let cuts = Cuts { output_bytes: aim, binlog_bytes, first: 0 };
            let (drafts, works) = self.arrange(exec, inputs, selections, &order, cuts)?;
            let drafts = self.write_pieces(exec, inputs, selections, drafts, works).await?;
            let largest = largest(&drafts);
            // Rows that compress better than they did leave more outputs than there have to be, all of them badly filled.
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

    /// Writes the rows range by range of the clustering key.
    async fn cluster(
        &self,
        exec: &Execution<'_>,
        inputs: &Inputs,
        selections: &Selections,
    ) -> Result<Vec<Draft>, CompactError> {
        let most = exec.task.plan.max_output_bytes;
        let survey = clustering::survey(exec, inputs, selections).await?;
        let mut aim = most - most / SAMPLE_MARGIN;
        for division in 1.. {
            match self.write_ranges(exec, inputs, &survey, aim, division < DIVISIONS).await? {
                Ranged::Written(drafts) => {
                    exec.progress.complete();
                    return Ok(drafts);
                }
                Ranged::TooLarge(bytes) => {
                    tracing::info!(plan = %exec.task.plan.id, bytes, limit = most, "ranges too large, divided again");
                    exec.clean_up().await;
                    aim = next_aim(aim, most, bytes);
                }
            }
        }
        Err(CompactError::Internal("no attempt to cluster was made".to_owned()))
    }

    /// Divides the surveyed rows and writes them, a few ranges at a time.
    ///
    /// Ranges are cut by a sample and by estimate. If the first ones prove too large and `may_give_up`, so are the others:
    /// it is for the caller to begin again. Whichever proves too large later is surveyed and divided by itself, which is
    /// exact in the end: every time it gets two ranges at least, until each has one key and is cut at any row.
    async fn write_ranges(
        &self,
        exec: &Execution<'_>,
        inputs: &Inputs,
        survey: &clustering::Survey,
        aim: u64,
        may_give_up: bool,
    ) -> Result<Ranged, CompactError> {
        let most = exec.task.plan.max_output_bytes;
        let ranges = survey.divide(aim);
        let at_once = ranges.len().clamp(1, RANGES_AT_ONCE);
        // Of each range a piece is held, its column and what is written of it.
        let binlog_bytes = self.binlog.max_bytes.min(self.budget.limit_bytes() / (3 * at_once as u64)).max(1);
        let order = merge_order(inputs, survey.selections());
        let mut done = Vec::new();
        for first in (0..ranges.len()).step_by(at_once) {
            let (mut drafts, mut works, mut shares) = (Vec::new(), Vec::new(), Vec::new());
            for number in first..ranges.len().min(first + at_once) {
                let Some(share) = ranges.share(exec, inputs, number).await? else { continue };
                let output_bytes = if share.is_uniform() { aim } else { u64::MAX };
                let cuts = Cuts { output_bytes, binlog_bytes, first: drafts.len() };
                let (of_share, of_share_works) = self.arrange(exec, inputs, &share.selections, &order, cuts)?;
                let range = |draft| Draft { cluster_range: Some(share.range.clone()), ..draft };
                let outputs = of_share.len();
                drafts.extend(of_share.into_iter().map(range));
                works.push((share.selections.clone(), of_share_works));
                shares.push((share, outputs));
            }
            let mut drafts = self.write_shares(exec, inputs, &order, drafts, works).await?;
            let all = largest(&drafts);
            if all > most && first == 0 && may_give_up {
                return Ok(Ranged::TooLarge(all));
            }
            for (share, outputs) in shares {
                let of_share: Vec<Draft> = drafts.drain(..outputs).collect();
                let bytes = largest(&of_share);
                if bytes <= most {
                    done.extend(of_share);
                    continue;
                }
                tracing::info!(plan = %exec.task.plan.id, bytes, limit = most, "range too large, divided again");
                exec.discard(|path| of_share.iter().any(|d| d.ids == path.ids())).await;
                let survey = clustering::survey(exec, inputs, &share.selections).await?;
                let aim = next_aim(aim.min(survey.bytes()), most, bytes);
                match Box::pin(self.write_ranges(exec, inputs, &survey, aim, false)).await? {
                    Ranged::Written(drafts) => done.extend(drafts),
                    given_up @ Ranged::TooLarge(_) => return Ok(given_up),
                }
            }
        }
        Ok(Ranged::Written(done))
    }

    /// Writes the pieces of several ranges, each with its selections. Pieces that are whole batches are copied; of all
    /// others the same column is written at once, so that no batch is read for each range anew.
    async fn write_shares(
        &self,
        exec: &Execution<'_>,
        inputs: &Inputs,
        order: &[usize],
        mut drafts: Vec<Draft>,
        shares: Vec<(Selections, Vec<PieceWork>)>,
    ) -> Result<Vec<Draft>, CompactError> {
        let (mut alone, mut together) = (Vec::new(), Vec::new());
        for (selections, works) in shares {
            let (copied, others): (Vec<_>, Vec<_>) = works.into_iter().partition(|w| w.copied(&selections).is_some());
            alone.extend(copied.into_iter().map(|work| (Arc::new(work), selections.clone())));
            if !others.is_empty() {
                together.push((selections, others.into_iter().map(Arc::new).collect::<Vec<_>>()));
            }
        }
        let mut units = Vec::new();
        for field in 0..inputs.fields.len() {
            for (work, selections) in &alone {
                let mate = Mate { work: work.clone(), selections: selections.clone(), log: self.ids.next_log()? };
                units.push((work.memory_bytes(inputs, selections, field, exec), (field, vec![mate])));
            }
            let (mut mates, mut bytes) = (Vec::new(), 0u64);
            for (selections, works) in &together {
                bytes += works.iter().map(|w| w.memory_bytes(inputs, selections, field, exec)).max().unwrap_or(0);
                for work in works {
                    let (work, selections) = (work.clone(), selections.clone());
                    mates.push(Mate { work, selections, log: self.ids.next_log()? });
                }
            }
            if !mates.is_empty() {
                units.push((bytes, (field, mates)));
            }
        }
        units.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let largest = units.iter().map(|(bytes, _)| *bytes).max().unwrap_or(0);
        let held = inputs.rows() * 2 + inputs.bytes().min(exec.budget.waiting_bytes());
        let _memory = exec.reserve(largest + held).await?;
        run_units(
            exec.budget,
            units,
            exec.parallel(),
            |(field, mates)| async move {
                match mates.as_slice() {
                    [Mate { work, selections, log }] => {
                        Ok(vec![write_column(exec, inputs, selections, work, (field, *log)).await?])
                    }
                    _ => write_columns(exec, inputs, &mates, order, field).await,
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

    /// Cuts the surviving rows into pieces and gives every output segment its id.
    fn arrange(
        &self,
        exec: &Execution<'_>,
        inputs: &Inputs,
        selections: &Selections,
        batches: &[usize],
        Cuts { output_bytes, binlog_bytes, first }: Cuts,
    ) -> Result<(Vec<Draft>, Vec<PieceWork>), CompactError> {
        let sizes = batches.iter().filter_map(|b| Some(inputs.batches.get(*b)?.size(selections.get(*b)?)));
        let (copied_bytes, overhead_bytes) = (self.copied_bytes, OBJECT_OVERHEAD_BYTES * inputs.fields.len() as u64);
        let limits = Limits { binlog_bytes, copied_bytes, output_bytes, overhead_bytes };
        let (mut drafts, mut works) = (Vec::new(), Vec::new());
        for (output, outline) in cut(&sizes.collect::<Vec<_>>(), limits).into_iter().enumerate() {
            let group = &exec.task.plan.group;
            let segment = self.ids.next_segment(exec.task.plan.id)?;
            let ids = group.log_ids(segment);
            let key = exec.task.schema.primary_key();
            let rate = self.binlog.bloom_false_positive;
            // As stock Milvus has it: room for the rows of the sources, dead ones included (specification 6.3).
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
            drafts.push(Draft { ids, keys, pieces, cluster_range: None });
        }
        Ok((drafts, works))
    }

    async fn write_pieces(
        &self,
        exec: &Execution<'_>,
        inputs: &Inputs,
        selections: &Selections,
        mut drafts: Vec<Draft>,
        works: Vec<PieceWork>,
    ) -> Result<Vec<Draft>, CompactError> {
        let mut units = Vec::with_capacity(works.len() * inputs.fields.len());
        for work in works.into_iter().map(Arc::new) {
            let mut columns: Vec<(u64, usize)> = (0..inputs.fields.len())
                .map(|field| (work.memory_bytes(inputs, selections, field, exec), field))
                .collect();
            // The widest first: the narrow ones fill the gaps.
            columns.sort_unstable_by_key(|(bytes, field)| (std::cmp::Reverse(*bytes), *field));
            for (bytes, field) in columns {
                units.push((bytes, (work.clone(), field, self.ids.next_log()?)));
            }
        }
        let largest = units.iter().map(|(bytes, _)| *bytes).max().unwrap_or(0);
        // Masks, and the filters of the keys: less than two bytes a row.
        let held = inputs.rows() * 2 + inputs.bytes().min(exec.budget.waiting_bytes());
        let _memory = exec.reserve(largest + held).await?;
        run_units(
            exec.budget,
            units,
            exec.parallel(),
            |(work, field, log)| async move { write_column(exec, inputs, selections, &work, (field, log)).await },
            |Written { output, number, field, file }| {
                let slot = drafts.get_mut(output).and_then(|d| d.pieces.get_mut(number)?.get_mut(field));
                if let Some(slot) = slot {
                    *slot = Some(file);
                }
            },
            || exec.stop.cancel(),
        )
        .await?;
        Ok(drafts)
    }

    /// Writes the statistics of an output whose columns are all written.
    async fn finish(
        &self,
        exec: &Execution<'_>,
        inputs: &Inputs,
        draft: Draft,
    ) -> Result<(OutputSegment, PkStats), CompactError> {
        let segment = draft.ids.segment;
        let mut logs = SegmentLogs::default();
        for (number, field) in inputs.fields.iter().enumerate() {
            let files = draft.pieces.iter().map(|piece| piece.get(number).cloned().flatten());
            let files: Option<Vec<LogFile>> = files.collect();
            let missing = || CompactError::Internal(format!("output {segment}: field {} was not written", field.id));
            logs.insert.push((field.id, files.ok_or_else(missing)?));
        }
        let rows = logs.rows();
        if let Some((field, _)) = logs.insert.iter().find(|(_, f)| f.iter().map(|f| f.rows).sum::<u64>() != rows) {
            return Err(CompactError::Internal(format!("output {segment}: field {field} has not {rows} rows")));
        }

        // All users of the builder are done; the lock is a formality.
        let key = exec.task.schema.primary_key();
        let empty = PkStatsBuilder::new(key.id, key.data_type, 0, self.binlog.bloom_false_positive);
        let stats = std::mem::replace(&mut *draft.keys.lock(), empty).finish();
        let (bytes, log) = (stats.encode(), self.ids.next_log()?);
        let file = stats_file(log, rows, &bytes);
        exec.put(LogPath::stats(draft.ids, key.id, log), bytes).await?;
        logs.stats.push((key.id, vec![file]));
        let (pk_range, cluster_range) = (stats.range.clone(), draft.cluster_range);
        let output = OutputSegment { id: segment, logs, rows, pk_range, cluster_range };
        Ok((output, stats))
    }

    /// Gives the delta entries beyond the horizon to every output that may hold their key, shard by shard.
    async fn pass_on_deletes(
        &self,
        exec: &Execution<'_>,
        inputs: &Inputs,
        outputs: &mut [(OutputSegment, PkStats)],
    ) -> Result<(), CompactError> {
        let (bytes, shards) = shards(exec, inputs);
        let _memory = exec.reserve(bytes).await?;
        let group = &exec.task.plan.group;
        let horizon = exec.task.plan.keep_deletes_after;
        for shard in shards {
            let mut retained = Retained::default();
            for delta in &inputs.deltas {
                retained = scan_deletes(exec, delta, retained, move |retained, part| {
                    retained.absorb(part, horizon, shard);
                    Ok(())
                })
                .await?;
            }
            let deletes = retained.into_deletes();
            for (output, stats) in &mut *outputs {
                let here: Vec<_> = deletes.iter().filter(|d| stats.may_contain(&d.key)).cloned().collect();
                if here.is_empty() {
                    continue;
                }
                let log = self.ids.next_log()?;
                let ids = group.log_ids(output.id);
                let path = LogPath::delta(ids, log);
                let object = path.to_string();
                let (config, now_ms) = (self.binlog.clone(), exec.task.now_ms);
                let encoded = exec.cores.run(move || {
                    encode_delta(ids, &here, &config, now_ms).map_err(|source| CompactError::Object { object, source })
                });
                let encoded = encoded.await?;
                output.logs.delta.push(encoded.log_file(log));
                exec.put(path, encoded.bytes).await?;
            }
        }
        Ok(())
    }
}

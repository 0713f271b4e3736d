//! Completes a written output: its list of objects, its key statistics, and the deletes beyond the plan's horizon.
//!
//! Must never: let an output pass whose columns have different numbers of rows.

use super::{
    CompactError, OutputSegment,
    deletes::Retained,
    first_pass::{scan_deletes, shards},
    inputs::Inputs,
    merge_run::MergeRun,
    write::OutputDraft,
};
use crate::{
    binlog::{PkStats, PkStatsBuilder, encode_delta, stats_file},
    model::{LogFile, SegmentLogs},
    storage::LogPath,
};

/// Writes the statistics of an output whose columns are all written.
pub(super) async fn finish(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    draft: OutputDraft,
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
    let empty = PkStatsBuilder::new(key.id, key.data_type, 0, exec.binlog.bloom_false_positive);
    let stats = std::mem::replace(&mut *draft.keys.lock(), empty).finish();
    let (bytes, log) = (stats.encode(), exec.ids.next_log()?);
    let file = stats_file(log, rows, &bytes);
    exec.put(LogPath::stats(draft.ids, key.id, log), bytes).await?;
    logs.stats.push((key.id, vec![file]));
    let (pk_range, cluster_range) = (stats.range.clone(), draft.cluster_range);
    let output = OutputSegment { id: segment, logs, rows, pk_range, cluster_range };
    Ok((output, stats))
}

/// Writes the delta entries beyond the horizon to every output that may hold their key, shard by shard.
pub(super) async fn pass_on_deletes(
    exec: &MergeRun<'_>,
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
            let log = exec.ids.next_log()?;
            let ids = group.log_ids(output.id);
            let path = LogPath::delta(ids, log);
            let object = path.to_string();
            let (config, now_ms) = (exec.binlog.clone(), exec.task.now_ms);
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

//! The deletes of L0 segments, read and checked. The commit gives them to the segments that they hit, because no segment
//! can be replaced while it runs. It reads the same logs once more, part by part.
//!
//! Writes nothing. Must never: let a log pass that the commit can't read.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    CompactError, CompactionOutcome,
    deletes::DeleteMap,
    first_pass::{DECODE_BYTES, scan_deletes},
    inputs::Inputs,
    merge_run::MergeRun,
};
use crate::model::Timestamp;

/// Reads every delete of the inputs. Fails on the first one that is not of the collection's key type.
pub(super) async fn check(exec: &MergeRun<'_>) -> Result<CompactionOutcome, CompactError> {
    let inputs = Inputs::open(exec.task)?;
    let delta_bytes = inputs.deltas.iter().map(|delta| delta.file.bytes);
    let delta_rows = inputs.deltas.iter().map(|delta| delta.file.rows).sum();
    exec.progress.start(delta_rows, delta_bytes.clone().sum());
    let largest = exec.budget.reading_bytes(delta_bytes.max().unwrap_or(0));
    let _memory = exec.reserve(largest + DECODE_BYTES).await?;
    for delta in &inputs.deltas {
        let accepted = DeleteMap::new(inputs.key_type());
        scan_deletes(exec, delta, accepted, |accepted, part| accepted.check(&part)).await?;
        exec.progress.add_rows(delta.file.rows);
        exec.progress.add_bytes(delta.file.bytes);
    }
    Ok(CompactionOutcome {
        outputs: Vec::new(),
        rows_in: 0,
        rows_deleted: 0,
        rows_expired: 0,
        expired_before: Timestamp::ZERO,
        rows_out: 0,
        bytes_read: exec.bytes_read.load(Relaxed),
        bytes_written: 0,
        consumed_deltas: exec.consumed(),
    })
}

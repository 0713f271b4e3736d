//! The deletes of L0 segments, read and checked: which segments they hit is for the commit to decide.
//!
//! Writes nothing. Must never: lose a delete, or change its time.

use super::{
    CompactError, Outcome,
    deletes::{DeleteMap, WrongKeyType},
    execution::Execution,
    first_pass::read_deletes,
    inputs::Inputs,
};
use crate::model::Delete;

/// All deletes of the inputs by time and key, each once.
pub(super) async fn collect(exec: &Execution<'_>) -> Result<Outcome, CompactError> {
    let inputs = Inputs::open(exec.task)?;
    let delta_bytes = inputs.deltas.iter().map(|delta| delta.file.bytes).sum();
    let delta_rows = inputs.deltas.iter().map(|delta| delta.file.rows).sum();
    exec.progress.start(delta_rows, delta_bytes);
    let estimate = DeleteMap::estimate_bytes(inputs.key_type(), inputs.deltas.iter().map(|d| &d.file));
    let _memory = exec.reserve(estimate).await?;
    let accepted = DeleteMap::new(inputs.key_type());
    let mut deletes: Vec<Delete> = Vec::new();
    for delta in &inputs.deltas {
        let read = read_deletes(exec, delta).await?;
        accepted.check(&read).map_err(|WrongKeyType { key, expected }| CompactError::KeyType {
            object: delta.path().to_string(),
            key,
            expected,
        })?;
        deletes.extend(read);
        exec.progress.add_rows(delta.file.rows);
        exec.progress.add_bytes(delta.file.bytes);
    }
    deletes.sort_unstable_by(|a, b| (a.ts, &a.key).cmp(&(b.ts, &b.key)));
    deletes.dedup();
    Ok(Outcome {
        outputs: Vec::new(),
        rows_in: 0,
        rows_deleted: 0,
        rows_expired: 0,
        rows_out: 0,
        bytes_read: exec.bytes_read.load(std::sync::atomic::Ordering::Relaxed),
        bytes_written: 0,
        consumed_deltas: exec.consumed(),
        deletes,
    })
}

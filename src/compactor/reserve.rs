//! How many ids an attempt of a plan should have for its outputs.
//!
//! Pure. Must never: reserve memory in proportion to the answer, or answer without a bound.

use super::{CompactionInput, deletes::DeleteMap, memory::MemoryBudget, ranges::RANGES_AT_ONCE};
use crate::{
    config::{BinlogConfig, WorkerConfig},
    model::{CollectionSchema, DataType, Plan, PlanKind},
};

/// Cuts are made by estimate and may be made again, every time with new ids. So many times the estimate is reserved.
const ROOM: u64 = 16;
/// Ids that the smallest range has.
const LEAST: u64 = 1 << 10;
/// Ids that the largest range has. They are 64 bits wide: this many are enough for two thousand million attempts.
const MOST: u64 = 1 << 32;

/// How many ids an attempt of `plan` should have: for every output, its statistics and passed-on deletes, and for every
/// column of every binlog, if rows are cut as the sizes of the inputs suggest; times `ROOM`.
///
/// A plan that needs more ends with `CompactError::IdsUsedUp`, which may be repeated, and each further attempt has
/// twice as many. No memory is taken for a range, however large.
pub fn ids_to_reserve(
    plan: &Plan,
    schema: &CollectionSchema,
    inputs: &[CompactionInput],
    binlog: &BinlogConfig,
    worker: &WorkerConfig,
) -> u64 {
    if matches!(plan.kind, PlanKind::L0Delete | PlanKind::Index) {
        // The one writes nothing before its commit, the other names its objects by the plan.
        return 0;
    }
    let columns = schema.stored_fields().len() as u64;
    let budget = MemoryBudget::new(worker.memory_limit_bytes);
    let written_at_once = if plan.kind == PlanKind::Clustering { 3 * RANGES_AT_ONCE as u64 } else { 1 };
    let most_binlog = budget.binlog_bytes(binlog.max_bytes).min(budget.limit_bytes() / written_at_once).max(1);
    let (mut bytes, mut memory, mut batches) = (0u64, 0u64, 0u64);
    for logs in inputs.iter().map(|input| &input.logs) {
        batches += logs.batches() as u64;
        for file in logs.insert.iter().flat_map(|(_, files)| files) {
            bytes = bytes.saturating_add(file.bytes);
            memory = memory.saturating_add(file.memory_bytes.max(file.bytes));
        }
    }
    let outputs = bytes.div_ceil(plan.max_output_bytes.max(1)).saturating_add(1);
    let binlogs = memory.div_ceil(most_binlog).saturating_add(batches).saturating_add(outputs);
    let key_type = schema.fields.iter().find(|f| f.is_primary_key).map_or(DataType::Int64, |f| f.data_type);
    let map_bytes = DeleteMap::estimate_bytes(key_type, inputs.iter().flat_map(|input| &input.logs.delta));
    let shards = map_bytes.div_ceil((budget.limit_bytes() / 4).max(1)).max(1);
    let of_outputs = outputs.saturating_mul(shards.saturating_add(2));
    let estimate = binlogs.saturating_mul(columns).saturating_add(of_outputs);
    let again = plan.attempts.saturating_sub(1).min(16);
    estimate.saturating_mul(ROOM << again).clamp(LEAST, MOST)
}

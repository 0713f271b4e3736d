//! Binlog compaction of one segment: the thresholds beyond which it is rewritten for its own sake.
//!
//! Looks at one segment at a time and never at its neighbours.

use crate::{
    config::CompactionConfig,
    model::{PlanReason, Segment},
    planner::measure::Applicable,
};

/// The first threshold that the segment exceeds, in the order in which they usually hurt. All are strict.
pub(in crate::planner) fn reason(
    segment: &Segment,
    applicable: Applicable,
    expired_rows: u64,
    config: &CompactionConfig,
) -> Option<PlanReason> {
    let rows = segment.rows;
    let delta_rows = applicable.count(segment.delta_rows);
    if delta_rows as f64 > rows as f64 * config.delta_ratio {
        return Some(PlanReason::DeltaRows { delta_rows, rows, threshold_ratio: config.delta_ratio });
    }
    let delta_bytes = applicable.count(segment.delta_bytes);
    if delta_bytes > config.delta_bytes {
        return Some(PlanReason::DeltaBytes { delta_bytes, threshold_bytes: config.delta_bytes });
    }
    let delta_logs = applicable.count(u64::from(segment.delta_logs)) as u32;
    if delta_logs > config.delta_logs {
        return Some(PlanReason::DeltaLogs { delta_logs, threshold: config.delta_logs });
    }
    (expired_rows as f64 > rows as f64 * config.expired_ratio).then_some(PlanReason::Expired {
        expired_rows,
        rows,
        threshold_ratio: config.expired_ratio,
    })
}

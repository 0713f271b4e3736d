//! One segment as a candidate: the rows that a rewrite would drop, and the threshold that calls for it.
//!
//! Looks at one segment at a time, never at its neighbours.

use super::{
    PlanContext, ShareLimit,
    estimate::{Applicable, expired_rows, live_bytes, share_of},
};
use crate::{
    config::CompactionConfig,
    model::{PlanInput, PlanReason, Segment},
};

/// A segment that may become an input, with the numbers that the policies compare.
#[derive(Debug, Clone)]
pub(super) struct Candidate<'a> {
    pub(super) segment: &'a Segment,
    /// Bytes of insert objects after a rewrite.
    pub(super) live_bytes: u64,
    /// Delta entries that a rewrite could apply now, because they are outside the retention window. At least 1 if there
    /// is any.
    pub(super) delta_rows: u64,
    /// Rows past the time to live. At least 1 if there is any.
    pub(super) expired_rows: u64,
    /// The threshold that it exceeds, if any: the reason to rewrite it even alone.
    pub(super) rewrite: Option<PlanReason>,
    /// It would exceed a threshold if no delete were inside the retention window.
    pub(super) retained: bool,
    /// Its objects, dead rows included, are below the share of a full segment that counts as small.
    pub(super) small: bool,
}

impl<'a> Candidate<'a> {
    pub(super) fn measure(segment: &'a Segment, ctx: &PlanContext<'_>) -> Self {
        let applicable = Applicable::of(segment, ctx.now_ms, ctx.retain_after);
        let delta_rows = applicable.count(segment.delta_rows);
        let expired_rows = ctx.ttl.map_or(0, |ttl| {
            let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            expired_rows(segment, ctx.now_ms.saturating_sub(ttl_ms))
        });
        let rewrite = exceeded(segment, applicable, expired_rows, ctx.config);
        let retained = rewrite.is_none()
            && applicable.is_partial()
            && exceeded(segment, Applicable::ALL, expired_rows, ctx.config).is_some();
        Self {
            segment,
            live_bytes: live_bytes(segment, delta_rows, expired_rows),
            delta_rows,
            expired_rows,
            rewrite,
            retained,
            small: segment.insert_bytes < share_of(ctx.config.max_segment_bytes, ctx.config.small_proportion),
        }
    }

    /// True if a rewrite would change anything, thresholds aside.
    pub(super) fn has_work(&self) -> bool {
        self.delta_rows > 0 || self.expired_rows > 0
    }

    /// True if all its deletes are inside the retention window.
    pub(super) fn is_held_back(&self) -> bool {
        self.segment.delta_rows > 0 && self.delta_rows == 0
    }

    /// True if a rewrite would probably leave no row.
    pub(super) fn is_dead(&self) -> bool {
        self.live_bytes == 0 && self.has_work()
    }

    pub(super) fn input(&self) -> PlanInput {
        PlanInput {
            segment: self.segment.id,
            rows: self.segment.rows,
            bytes: self.segment.insert_bytes,
            delta_rows: self.segment.delta_rows,
        }
    }
}

/// The first threshold that the segment exceeds: deletes before expired rows. A number equal to its threshold does not
/// exceed it; of shares the setting says so.
fn exceeded(
    segment: &Segment,
    applicable: Applicable,
    expired_rows: u64,
    config: &CompactionConfig,
) -> Option<PlanReason> {
    let rows = segment.rows;
    let delta_rows = applicable.count(segment.delta_rows);
    if ShareLimit::of_deletes(config).is_exceeded(delta_rows, rows) {
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
    ShareLimit::of_expired(config).is_exceeded(expired_rows, rows).then_some(PlanReason::Expired {
        expired_rows,
        rows,
        threshold_ratio: config.expired_ratio,
    })
}

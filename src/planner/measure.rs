//! What a rewrite of one segment would do: rows that die, bytes that stay.
//!
//! Estimates only; nothing is read. They err towards keeping rows: deletes and expiry are taken to hit independently
//! of each other, so a merge is never planned beyond its limit because the same row was counted out twice.

use super::PlanContext;
use crate::model::{PlanInput, PlanReason, Segment, Timestamp};

/// A segment that may become an input, with what the policies need to know of it.
#[derive(Debug, Clone)]
pub(super) struct Candidate<'a> {
    pub(super) segment: &'a Segment,
    /// Bytes of insert objects after a rewrite.
    pub(super) live_bytes: u64,
    /// Delta entries that a rewrite could apply now, i.e. outside the retention window. Never 0 if there is one.
    pub(super) delta_rows: u64,
    /// Rows past the time to live. Never 0 if there is one.
    pub(super) expired_rows: u64,
    /// Why it has to be rewritten by itself, with thresholds applied.
    pub(super) rewrite: Option<PlanReason>,
    /// Only the retention window keeps it from being rewritten.
    pub(super) retained: bool,
    /// Counts as small: measured bytes of its objects, dead rows included.
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
        let rewrite = super::policy::rewrite::reason(segment, applicable, expired_rows, ctx.config);
        let retained = rewrite.is_none()
            && applicable.is_partial()
            && super::policy::rewrite::reason(segment, Applicable::ALL, expired_rows, ctx.config).is_some();
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

/// `share` of `bytes`, rounded down.
pub(super) fn share_of(bytes: u64, share: f64) -> u64 {
    (bytes as f64 * share) as u64
}

/// Which share of a segment's deletes lies outside the retention window.
///
/// Only the smallest timestamp of the deletes is known, so they are taken to be spread evenly from there until now.
/// Without this, a segment with many deletes inside the window would be rewritten every time the window moves past one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Applicable(f64);

impl Applicable {
    pub(super) const ALL: Self = Self(1.0);
    const NONE: Self = Self(0.0);

    pub(super) fn of(segment: &Segment, now_ms: u64, retain_after: Timestamp) -> Self {
        let from = segment.delta_ts_from;
        let now = Timestamp::from_ms(now_ms);
        if segment.delta_rows == 0 {
            return Self::ALL;
        }
        if from > retain_after {
            Self::NONE
        } else if now <= retain_after || now <= from {
            Self::ALL
        } else {
            // An entry exactly at the edge of the window is outside of it, so the share is never 0 here.
            Self(((retain_after.0 - from.0) as f64 / (now.0 - from.0) as f64).max(f64::MIN_POSITIVE))
        }
    }

    /// The share of `total`, at least 1 unless nothing is applicable: the entry at the smallest timestamp is.
    pub(super) fn count(self, total: u64) -> u64 {
        if self == Self::ALL {
            total
        } else if self == Self::NONE {
            0
        } else {
            ((total as f64 * self.0) as u64).clamp(total.min(1), total)
        }
    }

    fn is_partial(self) -> bool {
        self != Self::ALL
    }
}

/// Rows older than `cutoff_ms`, by linear interpolation over the segment's time range. A rewrite drops all of them,
/// which moves the start of the range to the cutoff and the estimate to 0.
fn expired_rows(segment: &Segment, cutoff_ms: u64) -> u64 {
    let (from, to) = (segment.ts_from.physical_ms(), segment.ts_to.physical_ms());
    if segment.rows == 0 || from >= cutoff_ms {
        0
    } else if to < cutoff_ms {
        segment.rows
    } else {
        // from < cutoff <= to: the range is not empty, and the oldest row has expired.
        let share = u128::from(segment.rows) * u128::from(cutoff_ms - from) / u128::from(to - from);
        (share as u64).clamp(1, segment.rows)
    }
}

fn live_bytes(segment: &Segment, delta_rows: u64, expired_rows: u64) -> u64 {
    let rows = u128::from(segment.rows);
    if rows == 0 {
        return 0;
    }
    let undeleted = rows.saturating_sub(u128::from(delta_rows));
    let unexpired = rows.saturating_sub(u128::from(expired_rows));
    // Two steps, so that the product of three 64-bit numbers can't overflow.
    let bytes = u128::from(segment.insert_bytes) * undeleted / rows;
    (bytes * unexpired / rows) as u64
}

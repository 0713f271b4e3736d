//! Numbers that are estimated because only sums and ranges of a segment are known.
//!
//! Must never read a file. Estimates keep rather too many rows than too few: deletes and expiry are taken as
//! independent of each other. A row that both hit is not subtracted twice, so a merge never outgrows its limit by that.

use crate::model::{Segment, Timestamp};

/// `share` of `bytes`, rounded down.
pub(super) fn share_of(bytes: u64, share: f64) -> u64 {
    (bytes as f64 * share) as u64
}

/// The share of a segment's deletes that lies outside the retention window.
///
/// Only the smallest timestamp of the deletes is known, so the estimate spreads them evenly from there until now.
/// Counting all of them as soon as one is outside would rewrite the segment each time the window moves past a delete.
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
            // An entry exactly at the edge of the window is outside, so the share is never 0 here.
            Self(((retain_after.0 - from.0) as f64 / (now.0 - from.0) as f64).max(f64::MIN_POSITIVE))
        }
    }

    /// This share of `total`. At least 1 unless the share is 0: the entry with the smallest timestamp is outside.
    pub(super) fn count(self, total: u64) -> u64 {
        if self == Self::ALL {
            total
        } else if self == Self::NONE {
            0
        } else {
            ((total as f64 * self.0) as u64).clamp(total.min(1), total)
        }
    }

    pub(super) fn is_partial(self) -> bool {
        self != Self::ALL
    }
}

/// Rows older than `cutoff_ms`, by linear interpolation over the segment's time range. A rewrite drops them all. That moves
/// the start of the range to the cutoff and the estimate to 0.
pub(super) fn expired_rows(segment: &Segment, cutoff_ms: u64) -> u64 {
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

/// Bytes of insert objects that a rewrite would leave.
pub(super) fn live_bytes(segment: &Segment, delta_rows: u64, expired_rows: u64) -> u64 {
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

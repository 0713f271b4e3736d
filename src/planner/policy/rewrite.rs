//! Binlog compaction of one segment: the thresholds beyond which it is rewritten for its own sake.
//!
//! Looks at one segment at a time and never at its neighbours. Clustered segments know nothing but this policy: merged
//! with others they would lose their range of keys.

use crate::{
    config::CompactionConfig,
    model::{PlanReason, Segment},
    planner::{
        Proposals, SkipReason,
        measure::{Applicable, Candidate},
    },
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

/// Why a client's request rewrites these, thresholds aside.
pub(in crate::planner) fn asked_for(members: &[&Candidate<'_>]) -> PlanReason {
    let delta_rows = members.iter().map(|c| c.delta_rows).sum();
    if delta_rows > 0 {
        return PlanReason::ManualRewrite { delta_rows };
    }
    PlanReason::Expired {
        expired_rows: members.iter().map(|c| c.expired_rows).sum(),
        rows: members.iter().map(|c| c.segment.rows).sum(),
        threshold_ratio: 0.0,
    }
}

/// Each by itself: rewritten when it exceeds a threshold, or when a client asks and there is anything to drop.
pub(in crate::planner) fn each(
    clustered: &[Candidate<'_>],
    asked: bool,
    config: &CompactionConfig,
    proposals: &mut Proposals,
) {
    for candidate in clustered {
        let reason =
            if asked { candidate.has_work().then(|| asked_for(&[candidate])) } else { candidate.rewrite.clone() };
        match reason {
            Some(reason) => proposals.draft(reason, &[candidate]),
            None => {
                let few = too_little(candidate, config);
                proposals.skip(candidate.segment, few.unwrap_or(SkipReason::Level { level: candidate.segment.level }));
            }
        }
    }
}

/// What there is to drop in a segment that is not worth a rewrite; none if there is nothing.
pub(in crate::planner) fn too_little(candidate: &Candidate<'_>, config: &CompactionConfig) -> Option<SkipReason> {
    let rows = candidate.segment.rows;
    if candidate.retained || candidate.is_held_back() {
        Some(SkipReason::Retained { delta_rows: candidate.segment.delta_rows })
    } else if candidate.delta_rows > 0 {
        let threshold_ratio = config.delta_ratio;
        Some(SkipReason::FewDeletes { delta_rows: candidate.delta_rows, rows, threshold_ratio })
    } else if candidate.expired_rows > 0 {
        let threshold_ratio = config.expired_ratio;
        Some(SkipReason::FewExpired { expired_rows: candidate.expired_rows, rows, threshold_ratio })
    } else {
        None
    }
}

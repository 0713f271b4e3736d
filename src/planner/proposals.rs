//! The answer of the planner: drafts of plans, and the reason for each segment that is left alone.
//!
//! Collects; the policies decide.

use super::{SkipReason, measure::Candidate};
use crate::model::{PlanInput, PlanKind, PlanReason, Segment, SegmentId};

/// A plan that does not exist yet: the coordinator gives it an id and makes it durable.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanDraft {
    pub kind: PlanKind,
    pub reason: PlanReason,
    /// Ascending by id, at least one.
    pub inputs: Vec<PlanInput>,
    /// Bytes of insert objects that the rewrite should yield.
    pub estimated_output_bytes: u64,
    /// No output grows beyond this many bytes; more rows make several outputs.
    pub max_output_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Proposals {
    /// Ascending by their first input.
    pub drafts: Vec<PlanDraft>,
    /// Ascending by id.
    pub skipped: Vec<(SegmentId, SkipReason)>,
    /// Of each draft.
    max_output_bytes: u64,
}

impl Proposals {
    pub(super) fn limited_to(max_output_bytes: u64) -> Self {
        Self { max_output_bytes, ..Self::default() }
    }

    pub(super) fn skip(&mut self, segment: &Segment, reason: SkipReason) {
        self.skipped.push((segment.id, reason));
    }

    /// Adds a merge or rewrite of `members`, whose order does not matter.
    pub(super) fn draft(&mut self, reason: PlanReason, members: &[&Candidate<'_>]) {
        let kind = if members.len() > 1 { PlanKind::Mix } else { PlanKind::Single };
        self.draft_as(kind, reason, members);
    }

    pub(super) fn draft_as(&mut self, kind: PlanKind, reason: PlanReason, members: &[&Candidate<'_>]) {
        let mut inputs: Vec<PlanInput> = members.iter().map(|m| m.input()).collect();
        inputs.sort_unstable_by_key(|i| i.segment);
        self.drafts.push(PlanDraft {
            kind,
            reason,
            inputs,
            estimated_output_bytes: members.iter().map(|m| m.live_bytes).sum(),
            max_output_bytes: self.max_output_bytes,
        });
    }
}

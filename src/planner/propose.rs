//! From a group to its proposals: which segments are candidates, which policy gets them, which drafts are valid.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{
    CommitLimit, GroupView, LastFailure, PlanContext, PlanDraft, Policy, Proposals, Rules, SkipReason, Violation,
    measure::Candidate, policy, validate,
};
use crate::model::{Group, Segment, SegmentId, SegmentLevel, Trigger};

/// Decides what to do with one group now. Gives a reason for every live segment that is left alone.
pub fn propose(view: &GroupView<'_>, ctx: &PlanContext<'_>) -> Proposals {
    let policy = if ctx.trigger == Trigger::Manual { ctx.policy } else { Policy::Standard };
    let max_output_bytes = match policy {
        Policy::ForceMerge { target_bytes } => target_bytes.max(1),
        Policy::Standard | Policy::Clustering | Policy::L0Delete => ctx.config.max_segment_bytes,
    };
    let mut proposals = Proposals::limited_to(max_output_bytes);
    let mut candidates = Vec::with_capacity(view.segments.len());
    let off = switched_off(ctx);
    let mut live = 0;
    for segment in view.segments.iter().filter(|s| s.is_live() && is_of(s, view.group)) {
        live += 1;
        match off.or_else(|| ineligible(segment, policy, ctx)) {
            Some(reason) => proposals.skip(segment, reason),
            None => candidates.push(Candidate::measure(segment, ctx)),
        }
    }
    // From here on positions stand for segments, so this is the only order that matters.
    candidates.sort_unstable_by_key(|c| (c.live_bytes, c.segment.id));
    let alone = live == 1;
    let max_inputs = (ctx.config.max_inputs as usize).max(1);
    match (policy, ctx.clustering_key) {
        (Policy::Standard, _) => standard(candidates, alone, ctx, &mut proposals),
        (Policy::ForceMerge { .. }, _) => {
            let lone = alone.then_some(ctx.sized);
            let most = (max_inputs, u64::from(ctx.commit.inputs()));
            policy::force_merge::propose(&candidates, lone, max_output_bytes, most, &mut proposals);
        }
        (Policy::Clustering, Some(key)) => {
            policy::clustering::propose(&candidates, key, &mut proposals);
        }
        (Policy::Clustering, None) => {
            candidates.iter().for_each(|c| proposals.skip(c.segment, SkipReason::NoClusteringKey));
        }
        (Policy::L0Delete, _) => {
            policy::l0_delete::propose(&candidates, ctx.growing_from, max_inputs, &mut proposals);
        }
    }
    refuse_invalid(view, ctx, &mut proposals);
    proposals.drafts.sort_unstable_by_key(|d| d.inputs.first().map(|i| i.segment));
    proposals.skipped.sort_unstable_by_key(|(id, _)| *id);
    proposals
}

/// `candidates` ascending by live bytes and id; `alone`: the group has no other live segment.
fn standard(mut candidates: Vec<Candidate<'_>>, alone: bool, ctx: &PlanContext<'_>, proposals: &mut Proposals) {
    let clustered: Vec<_> = candidates.extract_if(.., |c| c.segment.level == SegmentLevel::L2).collect();
    let asked = ctx.trigger == Trigger::Manual;
    policy::rewrite::each(&clustered, asked, ctx.config, proposals);
    if asked {
        policy::manual::propose(&candidates, alone, ctx.config, proposals);
    } else {
        policy::automatic::propose(&candidates, alone, ctx.config, proposals);
    }
}

fn switched_off(ctx: &PlanContext<'_>) -> Option<SkipReason> {
    if !ctx.config.enabled {
        return Some(SkipReason::Disabled);
    }
    if ctx.trigger == Trigger::Manual {
        return None;
    }
    if !ctx.config.auto_enabled {
        Some(SkipReason::AutoOff { by_collection: false })
    } else if !ctx.collection_auto {
        Some(SkipReason::AutoOff { by_collection: true })
    } else {
        None
    }
}

fn ineligible(segment: &Segment, policy: Policy, ctx: &PlanContext<'_>) -> Option<SkipReason> {
    if !policy.takes(segment.level) {
        return Some(SkipReason::Level { level: segment.level });
    }
    if !ctx.scope.contains(segment.id) {
        return Some(SkipReason::OutOfScope);
    }
    if (ctx.reserved)(segment.id) {
        return Some(SkipReason::Reserved);
    }
    // Segments of deletes have no vectors.
    if ctx.config.indexed_only && segment.level != SegmentLevel::L0 && !(ctx.indexed)(segment) {
        return Some(SkipReason::NotIndexed);
    }
    if ctx.trigger == Trigger::Manual {
        return None;
    }
    let failed = (ctx.failed)(segment.id).filter(|f| f.until_ms.is_none_or(|until_ms| ctx.now_ms < until_ms));
    failed.map(|LastFailure { kind, until_ms }| SkipReason::LastPlanFailed { kind, until_ms })
}

/// Compares pointers first: the segments of a group usually share one `Group`.
fn is_of(segment: &Segment, group: &Arc<Group>) -> bool {
    Arc::ptr_eq(&segment.group, group) || segment.group == *group
}

/// A plan that divides segments may have far more outputs than inputs. Without this its commit would be refused, after
/// all of the work.
fn check_outputs(draft: &PlanDraft, commit: CommitLimit) -> Result<(), Violation> {
    let (max_bytes, limit) = (draft.max_output_bytes, commit.outputs(draft.inputs.len()));
    let outputs = draft.estimated_output_bytes.div_ceil(max_bytes.max(1));
    if outputs > limit { Err(Violation::TooManyOutputs { outputs, max_bytes, limit }) } else { Ok(()) }
}

/// Drops drafts that break the rules of dispatch and commit: they could only be refused later.
fn refuse_invalid(view: &GroupView<'_>, ctx: &PlanContext<'_>, proposals: &mut Proposals) {
    if proposals.drafts.is_empty() {
        return;
    }
    let by_id: FxHashMap<SegmentId, &Segment> = view.segments.iter().map(|s| (s.id, s)).collect();
    let skipped = &mut proposals.skipped;
    proposals.drafts.retain(|draft| {
        let (kind, max_inputs, commit) = (draft.kind, ctx.config.max_inputs, ctx.commit);
        let rules = Rules { kind, group: view.group, max_inputs, commit, reserved: ctx.reserved };
        let valid = validate(&draft.inputs, &rules, |id| by_id.get(&id).copied());
        match valid.and_then(|()| check_outputs(draft, commit)) {
            Ok(()) => true,
            Err(violation) => {
                skipped.extend(draft.inputs.iter().map(|i| (i.segment, SkipReason::Refused(violation))));
                false
            }
        }
    });
}

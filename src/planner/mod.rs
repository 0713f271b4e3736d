//! What to compact: plain functions of a group's segments and a time.
//!
//! Must never read a clock, a store or the metadata, log, or depend on the order of its input. A plan that should not
//! have been made can only be explained if the same picture always leads to the same answer, so everything the rules
//! look at arrives in [`GroupView`] and [`PlanContext`].
//!
//! ```text
//! GroupView ─▶ eligible? ─▶ measure ─▶ policy ─▶ validate ─▶ Proposals
//!                 │ no       (live bytes,  automatic   (the same rules as at
//!                 ▼           rewrite?)    manual       dispatch and commit)
//!              skipped ◀───────────────────── what no plan takes
//! ```
//!
//! Invariants (`tests/layouts/properties.rs` checks each over random groups):
//! 1. every live segment of the view is an input of exactly one draft, or skipped with exactly one reason;
//! 2. the result does not depend on the order of the segments;
//! 3. a draft has at most `max_inputs` inputs, unless it clusters, and a merge never promises more than
//!    `max_segment_bytes`, unless a client asked for several outputs;
//! 4. every draft brings something: fewer segments, the size or order that was asked for, or deletes and expired rows
//!    gone;
//! 5. carrying drafts out until there are none ends, and an unchanged set of segments leads to no draft again.

mod measure;
mod packing;
mod policy;
mod skip;
mod terms;
mod validate;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rustc_hash::FxHashMap;

use crate::{
    config::CompactionConfig,
    model::{
        FailureKind, FieldId, Group, PlanInput, PlanKind, PlanReason, Segment, SegmentId, SegmentLevel, Timestamp,
        Trigger,
    },
};
use measure::Candidate;
pub use skip::{Measure, SkipReason};
pub use terms::{Lapsed, Standing, check_terms};
pub use validate::{Rules, Violation, validate};

/// The segments of one group. Only live ones of that group count; others are passed over in silence.
#[derive(Debug, Clone, Copy)]
pub struct GroupView<'a> {
    pub group: &'a Arc<Group>,
    /// In any order.
    pub segments: &'a [Segment],
}

/// Which segments may become inputs.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    All,
    /// Only these; a client named them.
    Segments(&'a BTreeSet<SegmentId>),
}

impl Scope<'_> {
    fn contains(&self, id: SegmentId) -> bool {
        match self {
            Self::All => true,
            Self::Segments(ids) => ids.contains(&id),
        }
    }
}

/// What a client asks for. The triggers that come by themselves know only the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Merge what can be merged, rewrite what has deletes or expired rows.
    #[default]
    Standard,
    /// Merge and split towards this size of a segment's insert objects, in bytes.
    ForceMerge { target_bytes: u64 },
    /// Divide the rows by ranges of the clustering key.
    Clustering,
    /// Spread the deletes of L0 segments over the segments that they may hit.
    L0Delete,
}

impl Policy {
    /// Levels of the segments that it looks at.
    fn takes(self, level: SegmentLevel) -> bool {
        match self {
            Self::Standard | Self::Clustering => level != SegmentLevel::L0,
            Self::ForceMerge { .. } => level == SegmentLevel::L1,
            Self::L0Delete => level == SegmentLevel::L0,
        }
    }
}

/// Everything besides the segments that the rules look at.
#[derive(Clone, Copy)]
pub struct PlanContext<'a> {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    pub trigger: Trigger,
    /// Of a manual trigger; the others are always [`Policy::Standard`].
    pub policy: Policy,
    /// What [`Policy::Clustering`] goes by; without one it does nothing.
    pub clustering_key: Option<FieldId>,
    /// No row in memory of the group's channel is older; [`Timestamp::MAX`]: there is none.
    pub growing_from: Timestamp,
    pub config: &'a CompactionConfig,
    /// False if the collection's own property switches automatic compaction off.
    pub collection_auto: bool,
    /// The collection's time to live; none: rows never expire.
    pub ttl: Option<Duration>,
    /// True for inputs of unfinished plans.
    pub reserved: &'a dyn Fn(SegmentId) -> bool,
    /// How the last plan of a segment failed for good. While that holds the segment is left to a client's request: the
    /// triggers that come by themselves would fail with it again, for ever.
    pub failed: &'a dyn Fn(SegmentId) -> Option<LastFailure>,
    pub scope: Scope<'a>,
    /// Deletes newer than this stay; [`Timestamp::MAX`]: no retention window.
    pub retain_after: Timestamp,
}

/// How the last plan of a segment failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastFailure {
    pub kind: FailureKind,
    /// From then on it is tried again, milliseconds since 1970; none: it does not pass by itself.
    pub until_ms: Option<u64>,
}

/// A plan that does not exist yet: the coordinator gives it an id and makes it durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub kind: PlanKind,
    pub reason: PlanReason,
    /// Ascending by id, at least one.
    pub inputs: Vec<PlanInput>,
    /// Bytes of insert objects that the rewrite should yield.
    pub estimated_output_bytes: u64,
    /// No output grows beyond this many bytes; what is more becomes several.
    pub max_output_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Proposals {
    /// Ascending by their first input.
    pub drafts: Vec<Draft>,
    /// Ascending by id.
    pub skipped: Vec<(SegmentId, SkipReason)>,
    max_output_bytes: u64,
}

impl Proposals {
    fn skip(&mut self, segment: &Segment, reason: SkipReason) {
        self.skipped.push((segment.id, reason));
    }

    /// Adds a merge or rewrite of `members`, whose order does not matter.
    fn draft(&mut self, reason: PlanReason, members: &[&Candidate<'_>]) {
        let kind = if members.len() > 1 { PlanKind::Mix } else { PlanKind::Single };
        self.draft_as(kind, reason, members);
    }

    fn draft_as(&mut self, kind: PlanKind, reason: PlanReason, members: &[&Candidate<'_>]) {
        let mut inputs: Vec<PlanInput> = members.iter().map(|m| m.input()).collect();
        inputs.sort_unstable_by_key(|i| i.segment);
        self.drafts.push(Draft {
            kind,
            reason,
            inputs,
            estimated_output_bytes: members.iter().map(|m| m.live_bytes).sum(),
            max_output_bytes: self.max_output_bytes,
        });
    }
}

/// Decides what to do with one group now, and says why not for every live segment that is left alone.
pub fn propose(view: &GroupView<'_>, ctx: &PlanContext<'_>) -> Proposals {
    let policy = if ctx.trigger == Trigger::Manual { ctx.policy } else { Policy::Standard };
    let max_output_bytes = match policy {
        Policy::ForceMerge { target_bytes } => target_bytes.max(1),
        Policy::Standard | Policy::Clustering | Policy::L0Delete => ctx.config.max_segment_bytes,
    };
    let mut proposals = Proposals { max_output_bytes, ..Proposals::default() };
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
    // From here on positions are used for segments: the only order anything sees is this one.
    candidates.sort_unstable_by_key(|c| (c.live_bytes, c.segment.id));
    let alone = live == 1;
    let max_inputs = (ctx.config.max_inputs as usize).max(1);
    match (policy, ctx.clustering_key) {
        (Policy::Standard, _) => standard(candidates, alone, ctx, &mut proposals),
        (Policy::ForceMerge { .. }, _) => {
            policy::force_merge::propose(&candidates, alone, max_output_bytes, max_inputs, &mut proposals);
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
    if ctx.trigger == Trigger::Manual {
        return None;
    }
    let failed = (ctx.failed)(segment.id).filter(|f| f.until_ms.is_none_or(|until_ms| ctx.now_ms < until_ms));
    failed.map(|LastFailure { kind, until_ms }| SkipReason::LastPlanFailed { kind, until_ms })
}

/// Pointers first: a group of a thousand segments shares one name.
fn is_of(segment: &Segment, group: &Arc<Group>) -> bool {
    Arc::ptr_eq(&segment.group, group) || segment.group == *group
}

/// The rules of dispatch and commit hold for proposals too, so that none is made that could only be refused later.
fn refuse_invalid(view: &GroupView<'_>, ctx: &PlanContext<'_>, proposals: &mut Proposals) {
    if proposals.drafts.is_empty() {
        return;
    }
    let by_id: FxHashMap<SegmentId, &Segment> = view.segments.iter().map(|s| (s.id, s)).collect();
    let skipped = &mut proposals.skipped;
    proposals.drafts.retain(|draft| {
        let (kind, max_inputs) = (draft.kind, ctx.config.max_inputs);
        let rules = Rules { kind, group: view.group, max_inputs, reserved: ctx.reserved };
        match validate(&draft.inputs, &rules, |id| by_id.get(&id).copied()) {
            Ok(()) => true,
            Err(violation) => {
                skipped.extend(draft.inputs.iter().map(|i| (i.segment, SkipReason::Refused(violation))));
                false
            }
        }
    });
}

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
//! 3. a draft has at most `max_inputs` inputs, and several inputs never promise more than `max_segment_bytes`;
//! 4. every draft brings something: fewer segments, or deletes and expired rows gone;
//! 5. carrying drafts out until there are none ends, and an unchanged set of segments leads to no draft again.

mod measure;
mod packing;
mod policy;
mod skip;
mod validate;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rustc_hash::FxHashMap;

use crate::{
    config::CompactionConfig,
    model::{
        FailureKind, Group, PlanInput, PlanKind, PlanReason, Segment, SegmentId, SegmentLevel, Timestamp, Trigger,
    },
};
use measure::Candidate;
pub use skip::{Measure, SkipReason};
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

/// Everything besides the segments that the rules look at.
#[derive(Clone, Copy)]
pub struct PlanContext<'a> {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    pub trigger: Trigger,
    pub config: &'a CompactionConfig,
    /// False if the collection's own property switches automatic compaction off.
    pub collection_auto: bool,
    /// The collection's time to live; none: rows never expire.
    pub ttl: Option<Duration>,
    /// True for inputs of unfinished plans.
    pub reserved: &'a dyn Fn(SegmentId) -> bool,
    /// How the last plan of a segment failed for good, while that still holds. Such a segment is left to a client's
    /// request: the triggers that come by themselves would fail with it again, for ever.
    pub failed: &'a dyn Fn(SegmentId) -> Option<FailureKind>,
    pub scope: Scope<'a>,
    /// Deletes newer than this stay; [`Timestamp::MAX`]: no retention window.
    pub retain_after: Timestamp,
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
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Proposals {
    /// Ascending by their first input.
    pub drafts: Vec<Draft>,
    /// Ascending by id.
    pub skipped: Vec<(SegmentId, SkipReason)>,
}

impl Proposals {
    fn skip(&mut self, segment: &Segment, reason: SkipReason) {
        self.skipped.push((segment.id, reason));
    }

    /// Adds a draft over `members`, whose order does not matter.
    fn draft(&mut self, reason: PlanReason, members: &[&Candidate<'_>]) {
        let mut inputs: Vec<PlanInput> = members.iter().map(|m| m.input()).collect();
        inputs.sort_unstable_by_key(|i| i.segment);
        self.drafts.push(Draft {
            kind: if inputs.len() > 1 { PlanKind::Mix } else { PlanKind::Single },
            reason,
            inputs,
            estimated_output_bytes: members.iter().map(|m| m.live_bytes).sum(),
        });
    }
}

/// Decides what to do with one group now, and says why not for every live segment that is left alone.
pub fn propose(view: &GroupView<'_>, ctx: &PlanContext<'_>) -> Proposals {
    let mut proposals = Proposals::default();
    let mut candidates = Vec::with_capacity(view.segments.len());
    let off = switched_off(ctx);
    let mut live = 0;
    for segment in view.segments.iter().filter(|s| s.is_live() && is_of(s, view.group)) {
        live += 1;
        match off.or_else(|| ineligible(segment, ctx)) {
            Some(reason) => proposals.skip(segment, reason),
            None => candidates.push(Candidate::measure(segment, ctx)),
        }
    }
    // From here on positions are used for segments: the only order anything sees is this one.
    candidates.sort_unstable_by_key(|c| (c.live_bytes, c.segment.id));
    let alone = live == 1;
    match ctx.trigger {
        Trigger::Manual => policy::manual::propose(&candidates, alone, ctx.config, &mut proposals),
        Trigger::Flush | Trigger::Tick => policy::automatic::propose(&candidates, alone, ctx.config, &mut proposals),
    }
    refuse_invalid(view, ctx, &mut proposals);
    proposals.drafts.sort_unstable_by_key(|d| d.inputs.first().map(|i| i.segment));
    proposals.skipped.sort_unstable_by_key(|(id, _)| *id);
    proposals
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

fn ineligible(segment: &Segment, ctx: &PlanContext<'_>) -> Option<SkipReason> {
    if segment.level != SegmentLevel::L1 {
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
    (ctx.failed)(segment.id).map(|kind| SkipReason::LastPlanFailed { kind })
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
    let rules = Rules { group: view.group, max_inputs: ctx.config.max_inputs, reserved: ctx.reserved };
    let skipped = &mut proposals.skipped;
    proposals.drafts.retain(|draft| match validate(&draft.inputs, &rules, |id| by_id.get(&id).copied()) {
        Ok(()) => true,
        Err(violation) => {
            skipped.extend(draft.inputs.iter().map(|i| (i.segment, SkipReason::Refused(violation))));
            false
        }
    });
}

//! The policies, one file each: which candidates of a group become which drafts.
//!
//! A policy gets candidates in ascending order of live bytes and id, and must put each of them into exactly one draft
//! or skip it. `rewrite` judges one segment, `automatic` joins it with segment compaction, `manual` has no thresholds;
//! the others do what only a client can ask for.

pub(super) mod automatic;
pub(super) mod clustering;
pub(super) mod force_merge;
pub(super) mod l0_delete;
pub(super) mod manual;
pub(super) mod rewrite;

use super::{Proposals, measure::Candidate, packing};
use crate::model::PlanReason;

/// Drafts for segments of which no row is expected to survive.
///
/// They fit beside anything by estimate, and exactly that is the danger: a nearly full healthy segment would be
/// rewritten because a dead one was put next to it. So they keep to themselves, bounded by what they hold now.
fn draft_dead(
    dead: &[&Candidate<'_>],
    max_bytes: u64,
    max_inputs: usize,
    reason: impl Fn(&[&Candidate<'_>]) -> PlanReason,
    proposals: &mut Proposals,
) {
    let sizes: Vec<u64> = dead.iter().map(|c| c.segment.insert_bytes).collect();
    for bin in packing::best_fit(&sizes, max_bytes, max_inputs) {
        let members = bin.members(dead);
        proposals.draft(reason(&members), &members);
    }
}

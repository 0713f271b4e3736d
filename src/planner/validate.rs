//! The rules for the inputs of a plan, in one list.
//!
//! They are checked three times: when a plan is proposed, dispatched and committed. So a plan that was loaded from the
//! store after a restart meets the same rules as a new one.

use rustc_hash::FxHashSet;

use super::CommitLimit;
use crate::{
    error::{Classify, ErrorKind},
    model::{Group, PlanInput, PlanKind, Segment, SegmentId, SegmentLevel, SegmentState},
};

/// The plan and its surroundings, as far as the rules need them.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    pub kind: PlanKind,
    /// All inputs must be of this group.
    pub group: &'a Group,
    /// Ignored for clustering, which has to take all segments that share a range of keys.
    pub max_inputs: u32,
    /// Holds for every kind.
    pub commit: CommitLimit,
    /// True for inputs of unfinished plans other than the one that is checked.
    pub reserved: &'a dyn Fn(SegmentId) -> bool,
}

/// A rule that a plan breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("a plan needs at least one input")]
    Empty,
    #[error("{inputs} inputs, the limit is {limit}")]
    TooManyInputs { inputs: usize, limit: u32 },
    /// By estimate.
    #[error("about {outputs} outputs of at most {max_bytes} bytes, the limit is {limit}")]
    TooManyOutputs { outputs: u64, max_bytes: u64, limit: u64 },
    #[error("segment {segment} is an input twice")]
    Repeated { segment: SegmentId },
    #[error("segment {segment} does not exist")]
    Missing { segment: SegmentId },
    #[error("segment {segment} is {}, an input must be Flushed", state.as_str())]
    NotLive { segment: SegmentId, state: SegmentState },
    #[error("segment {segment} belongs to another group")]
    OtherGroup { segment: SegmentId },
    #[error("segment {segment} is of level {level:?}, which a plan of kind {} does not take", kind.as_str())]
    Level { segment: SegmentId, level: SegmentLevel, kind: PlanKind },
    #[error("segment {segment} is reserved by another plan")]
    Reserved { segment: SegmentId },
    #[error("segment {segment} has {found} rows, the plan was made for {planned}")]
    RowsChanged { segment: SegmentId, planned: u64, found: u64 },
}

/// True if inputs of a plan of this kind may have this level. L0 segments have no rows to rewrite. Clustered ones must
/// keep their range of keys: they are rewritten alone, or clustered again.
fn takes(kind: PlanKind, level: SegmentLevel) -> bool {
    match kind {
        PlanKind::Mix => level == SegmentLevel::L1,
        PlanKind::Single | PlanKind::Clustering | PlanKind::Index => level != SegmentLevel::L0,
        PlanKind::L0Delete => level == SegmentLevel::L0,
    }
}

impl Classify for Violation {
    /// Violations that can arise between planning and commit are not `Invalid`: the group is planned again.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Empty | Self::Repeated { .. } | Self::OtherGroup { .. } | Self::Level { .. } => ErrorKind::Invalid,
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::TooManyInputs { .. } | Self::TooManyOutputs { .. } | Self::NotLive { .. } => ErrorKind::Precondition,
            Self::Reserved { .. } | Self::RowsChanged { .. } => ErrorKind::Conflict,
        }
    }
}

/// Checks a plan's inputs against the segments as they are now; `segment` looks one up.
///
/// Deltas may have grown since planning: deletes that a plan did not read are carried over to its output.
///
/// # Errors
/// The first rule broken, in the order of the inputs.
pub fn validate<'s>(
    inputs: &[PlanInput],
    rules: &Rules<'_>,
    segment: impl Fn(SegmentId) -> Option<&'s Segment>,
) -> Result<(), Violation> {
    if inputs.is_empty() {
        return Err(Violation::Empty);
    }
    let limit = match rules.kind {
        PlanKind::Clustering => rules.commit.inputs(),
        _ => rules.max_inputs.min(rules.commit.inputs()),
    };
    if inputs.len() > limit.max(1) as usize {
        return Err(Violation::TooManyInputs { inputs: inputs.len(), limit });
    }
    let mut seen = FxHashSet::default();
    for input in inputs {
        let id = input.segment;
        if !seen.insert(id) {
            return Err(Violation::Repeated { segment: id });
        }
        let found = segment(id).ok_or(Violation::Missing { segment: id })?;
        if !found.is_live() {
            return Err(Violation::NotLive { segment: id, state: found.state });
        }
        if *found.group != *rules.group {
            return Err(Violation::OtherGroup { segment: id });
        }
        if !takes(rules.kind, found.level) {
            return Err(Violation::Level { segment: id, level: found.level, kind: rules.kind });
        }
        if (rules.reserved)(id) {
            return Err(Violation::Reserved { segment: id });
        }
        if found.rows != input.rows {
            return Err(Violation::RowsChanged { segment: id, planned: input.rows, found: found.rows });
        }
    }
    Ok(())
}

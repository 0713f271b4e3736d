//! A segment and its ancestors, as a tree.

use std::collections::{HashMap, HashSet};

use super::{style, units};
use crate::wire::proto::datacoord::{GetLineageResponse, LineageSegment, SegmentOrigin};

/// A line for each segment below the one that it went into. A segment that went into several is drawn with its sources
/// once, because its sources would repeat below each.
pub(in crate::cli) fn lineage(answer: &GetLineageResponse) -> String {
    let known: HashMap<i64, &LineageSegment> =
        answer.segments.iter().map(|segment| (segment.segment_id, segment)).collect();
    let mut text = String::new();
    let mut drawn = HashSet::new();
    // Ids with the lines to their left, and whether they are the last below theirs. A stack, because a segment that was
    // compacted thousands of times has as many levels.
    let mut open: Vec<(i64, String, Branch)> =
        answer.segments.first().map(|root| (root.segment_id, String::new(), Branch::Root)).into_iter().collect();
    while let Some((id, indent, branch)) = open.pop() {
        let sources = known.get(&id).map(|segment| segment.compaction_from.as_slice()).unwrap_or_default();
        let is_repeated = !drawn.insert(id);
        let remark = if is_repeated && !sources.is_empty() { ", as above" } else { "" };
        text += &format!("{indent}{}{}{remark}\n", branch.mark(), described(id, known.get(&id).copied()));
        if is_repeated {
            continue;
        }
        let inner = indent + branch.below();
        for (at, source) in sources.iter().enumerate().rev() {
            let branch = if at + 1 == sources.len() { Branch::Last } else { Branch::Middle };
            open.push((*source, inner.clone(), branch));
        }
    }
    if !answer.is_complete {
        text += "older records are collected: the tree is not complete\n";
    }
    text
}

/// The place of a line among those with the same parent.
#[derive(Clone, Copy)]
enum Branch {
    Root,
    Middle,
    Last,
}

impl Branch {
    fn mark(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Middle => "├─ ",
            Self::Last => "└─ ",
        }
    }

    fn below(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Middle => "│  ",
            Self::Last => "   ",
        }
    }
}

fn described(id: i64, segment: Option<&LineageSegment>) -> String {
    let name = style::title(&id.to_string());
    let Some(segment) = segment else { return format!("{name} unknown") };
    match segment.origin() {
        SegmentOrigin::Flush | SegmentOrigin::Compaction => {
            let origin = if segment.origin() == SegmentOrigin::Flush { "flush" } else { "compaction" };
            let size = units::bytes(segment.bytes);
            format!("{name} {}, {} rows, {size}, by {origin}", segment.state, segment.rows)
        }
        SegmentOrigin::Unknown | SegmentOrigin::Unspecified => format!("{name} its record is collected"),
    }
}

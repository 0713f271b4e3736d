//! Why a segment is not compacted, the change that would help, and when planning looks at it again.
//!
//! Asks the planner anew each time: an answer is about the current state, not about the last round.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    coordinator::{CollectionCell, CompactionRequest, Coordinator, CoordinatorError, IndexExplanation},
    model::{Group, PlanId, RequestError, Segment, SegmentId, SegmentState, Trigger, properties::AUTO_COMPACTION},
    planner::{PlanDraft, Proposals, SkipReason, Violation},
};

/// The outcome of a look at a segment.
#[derive(Debug, Clone, PartialEq)]
pub enum SegmentVerdict {
    /// It would be an input of this plan.
    Planned(Box<PlanDraft>),
    /// It is an input of this unfinished plan.
    InPlan(PlanId),
    Skipped(SkipReason),
    /// Its rows are not in files yet.
    NotFlushed,
    /// A compaction has replaced it, or its rows were dropped.
    Dropped,
}

/// One segment, explained.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    pub segment: Segment,
    /// Of the next automatic look.
    pub automatic: SegmentVerdict,
    /// Of a client's request for its collection.
    pub on_request: SegmentVerdict,
    /// When the global timer looks at it, milliseconds since 1970; none: never. A flush or a batch of deletes in its
    /// group causes an earlier look.
    pub next_look_ms: Option<u64>,
    /// Why automatic compaction of its collection waits now, apart from its switches.
    pub held: Option<String>,
    /// For each index of the collection; none unless the segment is flushed.
    pub indexes: Vec<IndexExplanation>,
}

impl Coordinator {
    /// Explains a segment in any state that is known.
    ///
    /// # Errors
    /// `SegmentNotFound`.
    pub async fn explain_segment(&self, id: SegmentId) -> Result<Explanation, CoordinatorError> {
        let (cell, segment) = self.find_segment(id)?;
        if segment.state != SegmentState::Flushed {
            return Ok(self.out_of_reach(&cell, segment));
        }
        let ahead = self.with_waiting_deletes(&cell, |group| *group == *segment.group).await?;
        let looks = self.looks_at_group(&cell, &segment.group, &ahead);
        let segment = cell.segment(id).unwrap_or(segment);
        Ok(self.explained(&cell, segment, &looks))
    }

    /// Explains every segment of a collection that is not dropped, ascending by id.
    pub async fn explain_collection(&self, cell: &CollectionCell) -> Result<Vec<Explanation>, CoordinatorError> {
        let mut all = Vec::new();
        let ahead = self.with_waiting_deletes(cell, |_| true).await?;
        for group in cell.groups() {
            let looks = self.looks_at_group(cell, &group, &ahead);
            all.extend(cell.live_in(&group).iter().map(|segment| self.explained(cell, segment.clone(), &looks)));
        }
        let in_memory = self.segments(cell).into_iter();
        let in_memory = in_memory.filter(|s| !matches!(s.state, SegmentState::Flushed | SegmentState::Dropped));
        all.extend(in_memory.map(|segment| self.out_of_reach(cell, segment)));
        all.sort_unstable_by_key(|e| e.segment.id);
        Ok(all)
    }

    /// Why a live segment is in no plan: the planner's last word, or why it has not been asked.
    pub fn why_not_planned(&self, segment: &Segment) -> Option<String> {
        if !segment.is_live() {
            return None;
        }
        if let Some(plan) = self.core.jobs.reserved_by(segment.id) {
            return Some(format!("it is in plan {plan}"));
        }
        let cell = self.core.collections.by_id(segment.group.collection).ok()?;
        if let Some(reason) = cell.verdict(segment) {
            return Some(reason.to_string());
        }
        let config = &self.core.config.compaction;
        Some(if !config.enabled {
            "compaction is off: dataCoord.enableCompaction is false".to_owned()
        } else if !config.auto_enabled {
            "nobody has asked for it, and automatic compaction is off: dataCoord.compaction.enableAutoCompaction is false"
                .to_owned()
        } else if !cell.meta().auto_compaction() {
            format!("nobody has asked for it, and automatic compaction is off by the collection's {AUTO_COMPACTION}")
        } else if let Some(why) = self.automatic_held(&cell) {
            format!("it has not been looked at yet: automatic compaction is {why}")
        } else {
            "it has not been looked at yet: the flush that made it will see to that, at once".to_owned()
        })
    }

    /// The collection and the record of a segment in any state.
    pub(super) fn find_segment(&self, id: SegmentId) -> Result<(Arc<CollectionCell>, Segment), CoordinatorError> {
        for cell in self.core.collections.with_tombstones() {
            if let Some(segment) = cell.segment(id) {
                return Ok((cell, segment));
            }
        }
        let unflushed = self.write_path.unflushed().into_iter().find(|u| u.id == id);
        let cell = unflushed.and_then(|u| self.core.collections.by_id(u.group.collection).ok());
        let found =
            cell.and_then(|cell| Some((Arc::clone(&cell), self.segments(&cell).into_iter().find(|s| s.id == id)?)));
        Ok(found.ok_or(RequestError::SegmentNotFound(id))?)
    }

    /// Proposals for one group: of an automatic look, and of a request, which sees the segments as they are in `ahead`.
    fn looks_at_group(&self, cell: &CollectionCell, group: &Arc<Group>, ahead: &HashMap<SegmentId, Segment>) -> Looks {
        let everything = CompactionRequest::default();
        let segments = cell.live_in(group);
        let automatic = self.propose(cell, &self.look(Trigger::Tick, &everything), group, &segments);
        let segments: Vec<Segment> = segments.iter().map(|s| ahead.get(&s.id).unwrap_or(s).clone()).collect();
        let on_request = self.propose(cell, &self.look(Trigger::Manual, &everything), group, &segments);
        Looks { automatic, on_request }
    }

    fn explained(&self, cell: &CollectionCell, segment: Segment, looks: &Looks) -> Explanation {
        let verdict = |proposals: &Proposals| match self.core.jobs.reserved_by(segment.id) {
            Some(plan) => SegmentVerdict::InPlan(plan),
            None => verdict(proposals, segment.id),
        };
        Explanation {
            automatic: verdict(&looks.automatic),
            on_request: verdict(&looks.on_request),
            next_look_ms: self.next_look_ms(cell),
            held: self.automatic_held(cell),
            indexes: self.explained_indexes(cell, &segment),
            segment,
        }
    }

    fn out_of_reach(&self, cell: &CollectionCell, segment: Segment) -> Explanation {
        let dropped = segment.state == SegmentState::Dropped;
        let verdict = if dropped { SegmentVerdict::Dropped } else { SegmentVerdict::NotFlushed };
        let next_look_ms = if dropped { None } else { self.next_look_ms(cell) };
        let held = self.automatic_held(cell).filter(|_| !dropped);
        Explanation {
            segment,
            automatic: verdict.clone(),
            on_request: verdict,
            next_look_ms,
            held,
            indexes: Vec::new(),
        }
    }

    fn next_look_ms(&self, cell: &CollectionCell) -> Option<u64> {
        let at = self.core.next_tick_ms.load(Ordering::Relaxed);
        (at > 0 && self.is_automatic(cell)).then_some(at)
    }
}

/// Proposals for one group.
struct Looks {
    automatic: Proposals,
    on_request: Proposals,
}

fn verdict(proposals: &Proposals, id: SegmentId) -> SegmentVerdict {
    if let Some(draft) = proposals.drafts.iter().find(|d| d.inputs.iter().any(|i| i.segment == id)) {
        return SegmentVerdict::Planned(Box::new(draft.clone()));
    }
    let skipped = proposals.skipped.binary_search_by_key(&id, |(skipped, _)| *skipped);
    match skipped.ok().and_then(|at| proposals.skipped.get(at)) {
        Some((_, reason)) => SegmentVerdict::Skipped(*reason),
        // It came or went between two reads of the group.
        None => SegmentVerdict::Dropped,
    }
}

impl SegmentVerdict {
    /// Name of the verdict, for filters and counts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Planned(_) => "planned",
            Self::InPlan(_) => "in_plan",
            Self::Skipped(reason) => reason.code(),
            Self::NotFlushed => "not_flushed",
            Self::Dropped => "dropped",
        }
    }

    /// A change after which the segment would be compacted; none: it will be without one.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Planned(_) | Self::InPlan(_) => None,
            Self::NotFlushed => Some("a flush, by a client or by size, age or idleness".to_owned()),
            Self::Dropped => Some("nothing: its rows live on in what replaced it, or were dropped".to_owned()),
            Self::Skipped(reason) => Some(remedy(reason)),
        }
    }
}

fn remedy(reason: &SkipReason) -> String {
    match reason {
        SkipReason::Disabled => "dataCoord.enableCompaction: true".to_owned(),
        SkipReason::AutoOff { by_collection: false } => {
            "dataCoord.compaction.enableAutoCompaction: true, or a client's request".to_owned()
        }
        SkipReason::AutoOff { by_collection: true } => {
            "the collection's property collection.autocompaction.enabled: true, or a client's request".to_owned()
        }
        SkipReason::NotIndexed => {
            "a finished index of its vectors, or dataCoord.compaction.indexBasedCompaction: false".to_owned()
        }
        SkipReason::FewDeletes { delta_rows, rows, limit } => {
            let missing = limit.least(*rows).saturating_sub(*delta_rows);
            format!("{missing} more deleted rows, or a client's request")
        }
        SkipReason::FewExpired { .. } => "time, as more rows expire, or a client's request".to_owned(),
        SkipReason::TooFewSmall { small, needed, bytes, needed_bytes } => format!(
            "{} more small segments in its group, or {} more bytes in them, or a client's request",
            needed.saturating_sub(*small),
            needed_bytes.saturating_sub(*bytes)
        ),
        SkipReason::Alone => "a client's request, another segment in its group, or deletes".to_owned(),
        SkipReason::AloneCompacted | SkipReason::NothingFits { .. } => {
            "another segment in its group that fits beside it, or deletes".to_owned()
        }
        SkipReason::AlreadyFull { .. } => "deletes or expired rows".to_owned(),
        SkipReason::Retained { .. } => "time: its deletes leave the retention window".to_owned(),
        SkipReason::LastPlanFailed { until_ms: None, .. } => {
            "a client's request, or a change of the segment".to_owned()
        }
        SkipReason::LastPlanFailed { until_ms: Some(_), .. } => {
            "time: it is tried again then, or a client's request".to_owned()
        }
        SkipReason::Level { .. } => "a request of the policy for its level".to_owned(),
        SkipReason::OutOfScope => "a request that names it".to_owned(),
        SkipReason::Reserved => "the end of the plan that has it".to_owned(),
        SkipReason::NoClusteringKey => "a collection with a clustering key".to_owned(),
        SkipReason::Clustered { .. } => "deletes, expired rows, or unclustered segments beside it".to_owned(),
        SkipReason::Growing { .. } => "a flush: older rows are still in memory".to_owned(),
        SkipReason::Refused(Violation::TooManyOutputs { .. }) => "a request for larger segments".to_owned(),
        SkipReason::Refused(_) => "inputs that keep the rule".to_owned(),
    }
}

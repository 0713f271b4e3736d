//! A group of segments that exist on paper only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use datacoord::{
    config::CompactionConfig,
    model::{
        ClusterRange, FieldId, Group, PlanKind, PlanReason, Scalar, Segment, SegmentId, SegmentLevel, Timestamp,
        Trigger, segment,
    },
    planner::{
        CommitLimit, GroupView, PlanContext, PlanDraft, Policy, Proposals, Rules, SegmentScope, propose, validate,
    },
};

use crate::kit::model;

pub const MB: u64 = 1 << 20;
const CLUSTERING_KEY: FieldId = FieldId(101);
/// Segments that are not clustered have keys from 0 to this.
const LARGEST_KEY: i64 = 1_000_000;

pub struct Simulated {
    pub group: Arc<Group>,
    /// The policy of a client's request.
    pub policy: Policy,
    pub config: CompactionConfig,
    pub ttl: Option<Duration>,
    pub retain_after: Timestamp,
    pub now_ms: u64,
    pub segments: Vec<Segment>,
    pub reserved: BTreeSet<SegmentId>,
    /// Written by requests of a size.
    pub sized: BTreeSet<SegmentId>,
    pub flushed_bytes: u64,
    /// Bytes written by plans, by reason.
    pub rewritten: BTreeMap<&'static str, u64>,
    last_id: i64,
}

fn range(min: i64, max: i64) -> ClusterRange {
    ClusterRange { field: CLUSTERING_KEY, min: Scalar::Int(min), max: Scalar::Int(max) }
}

/// Smallest and largest key of a segment.
pub fn keys(segment: &Segment) -> (i64, i64) {
    match segment.cluster_range.as_deref() {
        Some(ClusterRange { min: Scalar::Int(min), max: Scalar::Int(max), .. }) => (*min, *max),
        _ => (0, LARGEST_KEY),
    }
}

/// The keys of all these segments in so many ranges, which overlap only if there are more of them than keys.
fn divided(segments: &[Segment], ranges: u64) -> Vec<ClusterRange> {
    let first = segments.iter().map(|s| keys(s).0).min().unwrap_or_default();
    let last = segments.iter().map(|s| keys(s).1).max().unwrap_or_default();
    let bound = |number: u64| first + (last - first + 1) * number as i64 / ranges.max(1) as i64;
    (0..ranges).map(|number| range(bound(number), bound(number).max(bound(number + 1) - 1))).collect()
}

impl Simulated {
    pub fn new() -> Self {
        Self::with(CompactionConfig::default())
    }

    pub fn with(config: CompactionConfig) -> Self {
        Self {
            group: Arc::new(model::group(1, 1, "by-dev-rootcoord-dml_0_1v0")),
            policy: Policy::Standard,
            config,
            ttl: None,
            retain_after: Timestamp::MAX,
            now_ms: 1_000_000_000,
            segments: Vec::new(),
            reserved: BTreeSet::new(),
            sized: BTreeSet::new(),
            flushed_bytes: 0,
            rewritten: BTreeMap::new(),
            last_id: 0,
        }
    }

    /// Writes a segment with one row per KiB, over the last `span`.
    pub fn flush_over(&mut self, bytes: u64, span: Duration) -> SegmentId {
        self.flushed_bytes += bytes;
        let from = self.now_ms - span.as_millis() as u64;
        self.add(bytes.div_ceil(1024), bytes, from, self.now_ms)
    }

    pub fn flush(&mut self, bytes: u64) -> SegmentId {
        self.flush_over(bytes, Duration::ZERO)
    }

    /// Deletes a share of a segment's rows, in one delta log whose first entry is `age` old.
    pub fn delete(&mut self, id: SegmentId, percent: u64, age: Duration) {
        let rows = self.get(id).map_or(0, |segment| segment.rows * percent / 100);
        self.delete_rows(id, rows, age);
    }

    pub fn delete_rows(&mut self, id: SegmentId, rows: u64, age: Duration) {
        let from = Timestamp::from_ms(self.now_ms - age.as_millis() as u64);
        if let Some(segment) = self.segments.iter_mut().find(|s| s.id == id && rows > 0) {
            let first = segment.delta_logs == 0;
            segment.delta_rows += rows;
            segment.delta_bytes += rows * 20;
            segment.delta_logs += 1;
            segment.delta_ts_from = if first { from } else { segment.delta_ts_from.min(from) };
        }
    }

    /// Turns it into an L0 segment of its deletes.
    pub fn make_l0(&mut self, id: SegmentId) {
        if let Some(segment) = self.segments.iter_mut().find(|s| s.id == id) {
            let (from, to) = (segment.delta_ts_from, segment.ts_to);
            segment.level = SegmentLevel::L0;
            (segment.rows, segment.insert_bytes, segment.memory_bytes) = (0, 0, 0);
            (segment.ts_from, segment.ts_to) = (from, to);
        }
    }

    /// Turns it into a clustered segment, as clustering a part of the group leaves it: its range may overlap with others.
    pub fn make_clustered(&mut self, id: SegmentId) {
        if let Some(segment) = self.segments.iter_mut().find(|s| s.id == id) {
            let min = id.0 * 7919 % 1000;
            segment.level = SegmentLevel::L2;
            segment.cluster_range = Some(Box::new(range(min, min + id.0 * 31 % 4 * 20)));
        }
    }

    fn add(&mut self, rows: u64, bytes: u64, from_ms: u64, to_ms: u64) -> SegmentId {
        self.last_id += 1;
        let id = SegmentId(self.last_id);
        self.segments.push(Segment {
            rows,
            insert_bytes: bytes,
            memory_bytes: bytes,
            ts_from: Timestamp::from_ms(from_ms),
            ts_to: Timestamp::from_ms(to_ms),
            ..model::segment(id.0, &self.group)
        });
        id
    }

    pub fn get(&self, id: SegmentId) -> Option<&Segment> {
        self.segments.iter().find(|s| s.id == id)
    }

    pub fn propose(&self, trigger: Trigger) -> Proposals {
        let reserved = |id| self.reserved.contains(&id);
        propose(
            &GroupView { group: &self.group, segments: &self.segments },
            &PlanContext {
                now_ms: self.now_ms,
                trigger,
                policy: self.policy,
                clustering_key: Some(CLUSTERING_KEY),
                growing_from: Timestamp::MAX,
                config: &self.config,
                commit: CommitLimit::NONE,
                collection_auto: true,
                ttl: self.ttl,
                reserved: &reserved,
                failed: &|_| None,
                indexed: &|_| true,
                sized: &|segment| self.sized.contains(&segment.id),
                scope: SegmentScope::All,
                retain_after: self.retain_after,
            },
        )
    }

    /// Replaces the inputs by the outputs that the draft estimates; an estimate beyond the maximum size becomes several
    /// segments.
    pub fn carry_out(&mut self, draft: &PlanDraft) {
        let free = |_| false;
        let rules = Rules {
            kind: draft.kind,
            group: &self.group,
            max_inputs: self.config.max_inputs,
            commit: CommitLimit::NONE,
            reserved: &free,
        };
        validate(&draft.inputs, &rules, |id| self.get(id)).expect("a proposal keeps the rules");
        let ids: BTreeSet<SegmentId> = draft.inputs.iter().map(|i| i.segment).collect();
        let (inputs, others): (Vec<_>, Vec<_>) = self.segments.drain(..).partition(|s| ids.contains(&s.id));
        self.segments = others;
        let oldest_ms = self.ttl.map_or(0, |ttl| self.now_ms - ttl.as_millis() as u64);
        let from = inputs.iter().map(|s| s.ts_from.physical_ms().max(oldest_ms)).min().unwrap_or_default();
        let to = inputs.iter().map(|s| s.ts_to.physical_ms().max(oldest_ms)).max().unwrap_or_default();
        let retained: u64 = inputs.iter().map(|s| self.retained_rows(s)).sum();
        if draft.kind == PlanKind::L0Delete {
            return;
        }
        // As the compactor cuts: evenly, if that leaves every output well filled.
        let (mut left, limit) = (draft.estimated_output_bytes, draft.max_output_bytes);
        let even = left.div_ceil(left.div_ceil(limit).max(1));
        let limit = if draft.kind == PlanKind::Clustering || even * 25 >= limit * 22 { even.max(1) } else { limit };
        let clustered = draft.kind == PlanKind::Clustering || inputs.iter().any(|s| s.level == SegmentLevel::L2);
        let mut ranges = divided(&inputs, left.div_ceil(limit)).into_iter();
        let sources: Box<[SegmentId]> = draft.inputs.iter().map(|i| i.segment).collect();
        while left > 0 {
            let bytes = left.min(limit);
            let id = self.add(bytes.div_ceil(1024), bytes, from, to);
            if let Some(output) = self.segments.last_mut() {
                output.compaction_from = sources.clone();
            }
            if matches!(draft.reason, PlanReason::ForceMerge { .. }) {
                self.sized.insert(id);
            }
            let retained = retained.min(bytes.div_ceil(1024));
            if let Some(output) = self.segments.last_mut().filter(|_| clustered) {
                output.level = SegmentLevel::L2;
                output.cluster_range = ranges.next().map(Box::new);
            }
            if let Some(output) = self.segments.last_mut().filter(|s| s.id == id && retained > 0) {
                output.delta_rows = retained;
                output.delta_bytes = retained * 20;
                output.delta_logs = 1;
                output.delta_ts_from = Timestamp(self.retain_after.0 + 1);
            }
            left -= bytes;
        }
        *self.rewritten.entry(draft.reason.code()).or_default() += draft.estimated_output_bytes;
    }

    /// Deletes inside the retention window, if they are spread evenly from the first one until now.
    fn retained_rows(&self, segment: &Segment) -> u64 {
        let (from, now) = (segment.delta_ts_from.0, Timestamp::from_ms(self.now_ms).0);
        if segment.delta_rows == 0 || self.retain_after.0 >= now {
            0
        } else if from > self.retain_after.0 {
            segment.delta_rows
        } else {
            let share = (now - self.retain_after.0) as f64 / (now - from) as f64;
            (segment.delta_rows as f64 * share) as u64
        }
    }

    /// Proposes and carries out until nothing is proposed; returns the number of rounds with drafts.
    pub fn run(&mut self, trigger: Trigger) -> usize {
        for round in 0..10_000 {
            let drafts = self.propose(trigger).drafts;
            if drafts.is_empty() {
                return round;
            }
            for draft in &drafts {
                self.carry_out(draft);
            }
        }
        panic!("no end of planning: {}", self.layout());
    }

    pub fn rewritten_bytes(&self) -> u64 {
        self.rewritten.values().sum()
    }

    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.insert_bytes).sum()
    }

    /// Share of the bytes that are in segments filled to at least `share` of the maximum.
    pub fn share_in_segments_filled(&self, share: f64) -> f64 {
        let limit = self.config.max_segment_bytes as f64 * share;
        let filled: u64 = self.segments.iter().map(|s| s.insert_bytes).filter(|b| *b as f64 >= limit).sum();
        filled as f64 / self.bytes().max(1) as f64
    }

    /// One line per segment, a bar of 32 cells for the maximum size.
    pub fn layout(&self) -> String {
        let mut lines = String::new();
        for segment in &self.segments {
            lines.push_str(&self.line(segment));
            lines.push('\n');
        }
        lines
    }

    fn line(&self, segment: &segment::Segment) -> String {
        const CELLS: u64 = 32;
        let cells = |bytes: u64| (bytes * CELLS).div_ceil(self.config.max_segment_bytes) as usize;
        let live = cells(segment.live_bytes_estimate());
        let dead = cells(segment.insert_bytes).saturating_sub(live);
        let bar = format!("{}{}", "#".repeat(live), "x".repeat(dead));
        format!("{:>4} [{bar:<32}] {:>3} MB", segment.id, segment.insert_bytes / MB)
    }
}

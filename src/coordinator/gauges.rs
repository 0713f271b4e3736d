//! Gauges and totals of the DataCoord, read off its parts when the metrics are asked for.
//!
//! Events (a commit, a failed attempt) are counted where they happen; this is the rest.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use super::Coordinator;
use crate::{
    config::Part,
    model::{FailureKind, PlanKind, PlanReason, PlanState, SegmentLevel, SegmentState, Trigger},
    planner::SkipReason,
    storage::OperationCounters,
    telemetry::{Metrics, catch_up},
};

const STATES: [SegmentState; 5] =
    [SegmentState::Growing, SegmentState::Sealed, SegmentState::Flushing, SegmentState::Flushed, SegmentState::Dropped];

/// Those of segments that the catalog knows.
const STORED: [SegmentState; 2] = [SegmentState::Flushed, SegmentState::Dropped];

const LEVELS: [SegmentLevel; 3] = [SegmentLevel::L0, SegmentLevel::L1, SegmentLevel::L2];

fn level_name(level: SegmentLevel) -> &'static str {
    match level {
        SegmentLevel::L0 => "L0",
        SegmentLevel::L1 => "L1",
        SegmentLevel::L2 => "L2",
    }
}

#[derive(Default, Clone, Copy)]
struct SegmentSum {
    segments: i64,
    rows: u64,
    bytes: u64,
}

/// Makes the counters of closed sets appear with 0, so that a rule that compares a counter with its past sees the first
/// failure too.
pub(super) fn show_counters(metrics: &Metrics) {
    let compaction = &metrics.compaction;
    for trigger in Trigger::ALL {
        compaction.jobs.with([trigger.as_str()]);
    }
    for (kind, outcome) in PlanKind::ALL.iter().flat_map(|kind| PlanState::OUTCOMES.map(|outcome| (kind, outcome))) {
        compaction.ended.with([kind.as_str(), outcome]);
    }
    for reason in PlanReason::CODES {
        compaction.planned.with([reason]);
    }
    for reason in SkipReason::CODES {
        compaction.skipped.with([reason]);
    }
    for kind in PlanKind::ALL {
        compaction.duration.with([kind.as_str()]);
    }
    for kind in FailureKind::ALL {
        compaction.failures.with([kind.as_str()]);
    }
    for outcome in ["done", "failed"] {
        metrics.ingest.flushes.with([outcome]);
        metrics.ingest.delta_flushes.with([outcome]);
        metrics.gc.runs.with([outcome]);
    }
}

impl Coordinator {
    /// Brings gauges and totals up to date. Those of the write path are not among them: it may be elsewhere.
    pub fn refresh_metrics(&self) {
        self.refresh_segments();
        self.refresh_storage();
        self.core.metrics.scrub.damaged.set(self.core.damage.scrubbed() as i64);
        for (part, bytes) in self.memory_used() {
            self.core.metrics.memory.used.with([part.as_str()]).set(bytes as i64);
        }
        let (hits, misses) = self.core.segment_cache.looked_up();
        catch_up(&self.core.metrics.search.cache_hits, hits);
        catch_up(&self.core.metrics.search.cache_misses, misses);
        let jobs = &self.core.metrics.compaction.kept_jobs;
        let executing = self.core.jobs.executing();
        jobs.with(["executing"]).set(executing as i64);
        jobs.with(["ended"]).set(self.core.jobs.len().saturating_sub(executing) as i64);
        let stats = self.scheduler.stats();
        let plans = &self.core.metrics.compaction.plans;
        plans.with(["queued"]).set((stats.queued.manual + stats.queued.automatic) as i64);
        plans.with(["executing"]).set((stats.executing.manual + stats.executing.automatic) as i64);
    }

    /// Bytes that its parts use.
    pub fn memory_used(&self) -> [(Part, u64); 3] {
        [
            (Part::Merges, self.merges.memory_used()),
            (Part::Caches, self.core.stats_cache.used_bytes()),
            (Part::Vectors, self.core.segment_cache.used_bytes()),
        ]
    }

    fn refresh_segments(&self) {
        let metrics = &self.core.metrics.catalog;
        let cells = self.core.collections.all();
        metrics.collections.set(cells.len() as i64);
        let mut sums: BTreeMap<(&str, &str), SegmentSum> = BTreeMap::new();
        // All of them, so that a gauge goes back to zero with its last segment.
        for (state, level) in STATES.iter().flat_map(|s| LEVELS.iter().map(move |l| (s, *l))) {
            sums.insert((state.as_str(), level_name(level)), SegmentSum::default());
        }
        let mut delta_rows = 0;
        for unflushed in self.write_path.unflushed() {
            let level = level_name(SegmentLevel::default());
            let sum = sums.entry((unflushed.state.as_str(), level)).or_default();
            sum.segments += 1;
            sum.rows += unflushed.rows;
        }
        for sums_of in cells.iter().map(|cell| cell.sums()) {
            for (state, level) in STORED.iter().flat_map(|s| LEVELS.iter().map(move |l| (*s, *l))) {
                let of = sums_of.of(state, level);
                let sum = sums.entry((state.as_str(), level_name(level))).or_default();
                sum.segments += of.segments as i64;
                sum.rows += of.rows;
                sum.bytes += of.insert_bytes;
                delta_rows += if state == SegmentState::Flushed { of.delta_rows } else { 0 };
            }
        }
        metrics.delta_rows.set(delta_rows as i64);
        metrics.damaged.set(self.core.unreadable_segments() as i64);
        let milvus = &self.core.metrics.milvus;
        milvus.collections.set(cells.len() as i64);
        let mut by_state: BTreeMap<&'static str, SegmentSum> = BTreeMap::new();
        for ((state, level), sum) in sums {
            metrics.segments.with([state, level]).set(sum.segments);
            let total = by_state.entry(state).or_default();
            total.segments += sum.segments;
            total.rows += sum.rows;
            total.bytes += sum.bytes;
        }
        let mut stored_bytes = 0;
        for (state, sum) in by_state {
            metrics.rows.with([state]).set(sum.rows as i64);
            metrics.bytes.with([state]).set(sum.bytes as i64);
            milvus.segments.with([state]).set(sum.segments);
            stored_bytes += sum.bytes;
            if state != SegmentState::Dropped.as_str() {
                milvus.stored_rows.with([state]).set(sum.rows as i64);
            }
        }
        milvus.stored_bytes.set(stored_bytes as i64);
    }

    fn refresh_storage(&self) {
        let counters = self.core.store.counters();
        let operations: [(&'static str, &OperationCounters); 5] = [
            ("get", &counters.get),
            ("put", &counters.put),
            ("copy", &counters.copy),
            ("delete", &counters.delete),
            ("list", &counters.list),
        ];
        let metrics = &self.core.metrics.storage;
        for (name, operation) in operations {
            catch_up(&metrics.requests.with([name]), operation.requests.load(Ordering::Relaxed));
            catch_up(&metrics.failures.with([name]), operation.failures.load(Ordering::Relaxed));
            catch_up(&metrics.retries.with([name]), operation.retries.load(Ordering::Relaxed));
            catch_up(&metrics.bytes.with([name]), operation.bytes.load(Ordering::Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_worth_an_alert_are_there_before_the_first_failure() {
        let metrics = Metrics::new(prometheus::Registry::new()).unwrap();
        show_counters(&metrics);
        let text = metrics.render();
        for series in [
            r#"datacoord_ingest_flushes_total{outcome="failed"} 0"#,
            r#"datacoord_compaction_failures_total{kind="corrupt"} 0"#,
            r#"datacoord_compaction_plans_total{kind="l0_delete",outcome="timeout"} 0"#,
            r#"datacoord_compaction_planned_total{reason="expired"} 0"#,
            r#"datacoord_compaction_jobs_total{trigger="manual"} 0"#,
            r#"datacoord_gc_runs_total{outcome="failed"} 0"#,
            r#"datacoord_compaction_skipped_total{reason="few_deletes"} 0"#,
            r#"datacoord_compaction_duration_seconds_count{kind="clustering"} 0"#,
        ] {
            assert!(text.contains(series), "{series}\n{text}");
        }
    }
}

//! Gauges and totals of the write path and the queries, read when the metrics are asked for.

use super::Standalone;
use crate::{
    config::Part,
    coordinator::{Condition, PARTS},
    telemetry::catch_up,
};

impl Standalone {
    /// Brings gauges and totals of the whole process up to date.
    pub fn refresh_metrics(&self) {
        self.coordinator.refresh_metrics();
        self.refresh_ingest();
        self.refresh_health();
        let used = &self.metrics.memory.used;
        for (part, bytes) in self.memory_used() {
            used.with([part.as_str()]).set(bytes as i64);
        }
    }

    /// Bytes in use by the write path and the queries.
    pub(super) fn memory_used(&self) -> [(Part, u64); 2] {
        [(Part::Growing, self.ingest.stats().memory_bytes), (Part::Queries, self.queries.used_bytes())]
    }

    fn refresh_health(&self) {
        let health = self.health();
        self.metrics.health.ready.set(health.takes_calls().into());
        // All of them, so that a gauge goes back to zero.
        for part in PARTS {
            for condition in [Condition::Degraded, Condition::Failed] {
                let found = health.ailments.iter().filter(|ill| ill.part == part && ill.condition == condition);
                self.metrics.health.ailments.with([part, condition.as_str()]).set(found.count() as i64);
            }
        }
    }

    fn refresh_ingest(&self) {
        let stats = self.ingest.stats();
        let metrics = &self.metrics.ingest;
        metrics.growing_segments.set(stats.unflushed_segments as i64);
        metrics.growing_bytes.set(stats.memory_bytes as i64);
        metrics.pending_deletes.set(stats.pending_deletes as i64);
        catch_up(&metrics.flushes.with(["done"]), stats.flushes);
        catch_up(&metrics.flushes.with(["failed"]), stats.flush_failures);
        catch_up(&metrics.delta_flushes.with(["done"]), stats.delta_flushes);
        catch_up(&metrics.delta_flushes.with(["failed"]), stats.delta_flush_failures);
        let wal = &self.metrics.wal;
        wal.size.set(stats.wal_bytes as i64);
        wal.limit.set(self.config.ingest.wal_max_bytes as i64);
        wal.files.set(stats.wal_files as i64);
        catch_up(&wal.records, stats.appended_frames);
        catch_up(&wal.written, stats.appended_bytes);
        catch_up(&wal.syncs, stats.fsyncs);
    }
}

//! The shell around the pure parts: holds the truth in memory, takes every change through the catalog, and connects
//! the write path, the planner and the scheduler.
//!
//! ```text
//!            edges (grpc, http)
//!                  │ definitions, writes, reads, triggers
//!            Coordinator ──────────────▶ Ingest (log, growing segments)
//!                  │ job + plans durable       │ flushed segments, deletes
//!                  ▼                           ▼
//!              Scheduler ── results ──▶  Core: commit, state, jobs ──▶ Catalog
//!                  ▲                           │ flush event
//!                  └───────── triggers ◀───────┘
//! ```
//!
//! Invariants:
//! 1. Memory shows a change only after the catalog holds it (P1), and then always: both are one step (`steps`), which
//!    runs to its end whatever its caller does. No other module commits.
//! 2. A segment is an input of at most one unfinished plan (the job book's reservations).
//! 3. Commits that touch one collection's segments take turns (the cell's commit lock), so a delete is always routed
//!    to a segment that is live, or carried over to what replaced it (P4).
//! 4. Outputs are committed, and files deleted, only while the store is this run's (`ownership`).
//! 5. A job or plan id is answered only after it is durable, and answered for as long as its history is kept (P7).
//!
//! Nothing here parses requests, decodes files or decides what to compact.

mod admission;
mod cell;
mod commit;
#[cfg(test)]
mod compaction_tests;
pub mod control;
mod core;
mod damage;
#[cfg(test)]
mod damage_tests;
mod ddl;
#[cfg(test)]
mod delete_tests;
mod deletes;
mod directory;
mod dml;
mod error;
mod events;
mod execution;
#[cfg(test)]
mod execution_tests;
mod failures;
mod gauges;
mod gc;
mod health;
mod jobs;
mod key_stats;
mod ownership;
mod plan_checks;
mod plans;
mod reads;
mod scrub;
#[cfg(test)]
mod scrub_tests;
mod segments;
mod start;
mod state;
mod steps;
#[cfg(not(feature = "lock-times"))]
mod sync;
#[cfg(feature = "lock-times")]
pub mod sync;
mod triggers;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use self::core::Core;
pub use cell::CollectionCell;
pub use ddl::NewCollection;
pub(crate) use ddl::partition_ids;
pub use directory::{CollectionName, NameError};
pub use dml::{FlushedCollection, Mutation};
pub use error::CoordinatorError;
pub use gc::{Collected, Garbage, Pin};
pub use health::{Ailment, Condition, HealthReport};
pub use jobs::{JobBook, JobView, ended_at_ms};
pub use ownership::OwnershipError;
pub use reads::{ReadAnswer, ReadRequest};
pub use start::Parts;
pub use state::State;
pub use triggers::{CompactionScope, Triggered};

use crate::{
    background::Background,
    compactor::Compactor,
    config::Config,
    ingest::{Ingest, IngestStats},
    model::{Plan, PlanState, Progress, Segment, Timestamp, properties::AUTO_COMPACTION},
    scheduler::{Scheduler, Stats},
    storage::SegmentStore,
};

/// One running coordinator with everything below it. Made by [`Coordinator::start`].
pub struct Coordinator {
    core: Arc<Core>,
    ingest: Ingest,
    scheduler: Scheduler,
    /// What executes plans, to be asked for the memory that it holds.
    merges: Arc<Compactor>,
    /// Serialises changes of definitions.
    ddl: Arc<tokio::sync::Mutex<()>>,
    /// Ends the loops.
    stop: CancellationToken,
    /// Ends what waits for the store.
    store_stop: CancellationToken,
    /// Ends the streams of those who watch.
    watches: CancellationToken,
    loops: parking_lot::Mutex<Vec<tokio::task::JoinHandle<()>>>,
    /// Where everything is looked at.
    ticks: Background,
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coordinator").field("state", &self.core.state).finish_non_exhaustive()
    }
}

impl Coordinator {
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    pub fn state(&self) -> &State {
        &self.core.state
    }

    pub fn jobs(&self) -> &JobBook {
        &self.core.jobs
    }

    pub fn store(&self) -> &SegmentStore {
        &self.core.store
    }

    pub fn ingest_stats(&self) -> IngestStats {
        self.ingest.stats()
    }

    pub fn scheduler_stats(&self) -> Stats {
        self.scheduler.stats()
    }

    /// Waits until no change of the catalog is under way, also none of a caller that is gone.
    pub async fn idle(&self) {
        self.core.catalog.idle().await;
    }

    /// All segments of a collection, those in memory first: growing, sealed and flushing, then flushed and dropped.
    pub fn segments(&self, cell: &CollectionCell) -> Vec<Segment> {
        let unflushed = self.ingest.unflushed().into_iter().filter(|u| u.group.collection == cell.id);
        let mut all: Vec<Segment> = unflushed
            .filter(|u| !cell.is_known(u.id))
            .map(|u| Segment { state: u.state, rows: u.rows, memory_bytes: u.bytes, ..Segment::new(u.id, u.group) })
            .collect();
        all.extend(cell.live());
        all.extend(cell.dropped().iter().cloned());
        all
    }

    /// Why a live segment is in no plan: the planner's last word, or why it has not been asked.
    pub fn why_not_planned(&self, segment: &Segment) -> Option<String> {
        if !segment.is_live() {
            return None;
        }
        if let Some(plan) = self.core.jobs.reserved_by(segment.id) {
            return Some(format!("it is in plan {plan}"));
        }
        let cell = self.core.state.by_id(segment.group.collection).ok()?;
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

    /// How far a plan is: measured while it executes, all or nothing otherwise.
    pub fn plan_progress(&self, plan: &Plan) -> Progress {
        let (total_rows, total_bytes) = (plan.input_rows(), plan.input_bytes());
        match plan.state {
            PlanState::Executing { .. } => {
                self.scheduler.progress(plan.id).unwrap_or(Progress { total_rows, total_bytes, ..Progress::default() })
            }
            PlanState::Completed { .. } => {
                Progress { total_rows, done_rows: total_rows, total_bytes, done_bytes: total_bytes }
            }
            _ => Progress { total_rows, total_bytes, ..Progress::default() },
        }
    }

    pub fn job_progress(&self, job: &JobView) -> Progress {
        job.plans.iter().map(|plan| self.plan_progress(plan)).fold(Progress::default(), |sum, p| Progress {
            total_rows: sum.total_rows + p.total_rows,
            done_rows: sum.done_rows + p.done_rows,
            total_bytes: sum.total_bytes + p.total_bytes,
            done_bytes: sum.done_bytes + p.done_bytes,
        })
    }

    /// True if no unflushed segment began before this timestamp.
    pub fn is_flushed_until(&self, ts: Timestamp) -> bool {
        self.ingest.unflushed().iter().all(|u| u.ts_from > ts)
    }
}

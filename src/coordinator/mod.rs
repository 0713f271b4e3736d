//! The DataCoord: segments, jobs and plans, and everything that changes them.
//!
//! ```text
//!      standalone (names, writes, reads)      edges (grpc, http)
//!        │ definitions   │ flushed segments,     │ compaction, control,
//!        │               │ deletes               │ garbage, health
//!        ▼               ▼                       ▼
//!      Coordinator ── plans ──▶ Scheduler ── results ──▶ Core: commit, jobs, damage ──▶ Catalog
//!        ▲                                                 │ flush event
//!        └──────────────────── triggers ◀──────────────────┘
//! ```
//!
//! It knows collections by id, with their definition. Rows that are not flushed are behind [`WritePath`].
//!
//! Invariants:
//! 1. Memory shows a change only after the catalog holds it (P1), and then always: both are one step (`steps`), which
//!    runs to its end even after its caller is gone. No other module commits, except for the marks of the store's owner.
//! 2. A segment is an input of at most one unfinished plan that rewrites it (the job book's reservations). Builds of
//!    indexes (`indexing`) only read it.
//! 3. Commits that touch one collection's segments take turns (the cell's commit lock). So a delete goes to a segment
//!    that is live, or is carried over to its replacement (P4).
//! 4. Outputs are committed, and files deleted, only while this run owns the store (`ownership`).
//! 5. A job or plan id is answered only after it is durable, and for as long as its history is kept (P7).
//!
//! Must never: parse a request, look a name up, read a row, or choose the segments of a plan.

mod backup;
mod cell;
mod collections;
mod commit;
pub mod control;
mod core;
mod damage;
mod deadlines;
mod definitions;
mod deletes;
mod error;
mod events;
mod execution;
mod failures;
mod gauges;
mod gc;
mod hand_over;
mod handle;
mod health;
mod index_failures;
mod indexing;
mod jobs;
mod key_stats;
mod loops;
mod merge_rate;
mod ownership;
mod pins;
mod plan_checks;
mod plans;
mod progress;
mod request;
mod scrub;
mod scrubber;
mod segments;
mod shape;
mod start;
mod stats_cache;
mod steps;
#[cfg(not(feature = "lock-times"))]
pub(crate) mod sync;
#[cfg(feature = "lock-times")]
pub mod sync;
mod triggers;
mod write_path;

#[cfg(test)]
pub(crate) mod tests;

pub use self::core::Core;
pub(crate) use backup::TakenCatalog;
pub use cell::CollectionCell;
pub(crate) use cell::Turn;
pub(crate) use collections::Collections;
pub use commit::FlushOutcome;
pub use error::{CoordinatorError, OwnershipError};
pub use gc::{Collected, Garbage, Pin};
pub(crate) use hand_over::ReadSegment;
pub use handle::Coordinator;
pub use health::{Ailment, Condition, HealthReport, PARTS};
pub use indexing::{IndexExplanation, IndexProgress, IndexStanding};
pub use jobs::{JobBook, JobView, ended_at_ms};
pub use pins::PinGuard;
pub(crate) use pins::PinnedList;
pub use request::{CompactionOptions, CompactionRequest};
pub use shape::{CollectionShape, DELETED_BOUNDS, FILL_BOUNDS};
pub(crate) use start::Loaded;
pub use start::Parts;
pub use triggers::Triggered;
pub use write_path::{DeleteBatch, DeletedKeys, UnflushedSegment, WritePath, WritePathError};

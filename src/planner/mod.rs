//! Plans compaction: plain functions of a group's segments and a time.
//!
//! Must never read a clock, a store or the metadata, write a log, or depend on the order of its input. Everything that
//! the rules look at arrives in [`GroupView`] and [`PlanContext`]: the same picture always leads to the same answer, so
//! a plan that looks wrong can be explained afterwards.
//!
//! ```text
//! GroupView ─▶ eligible? ─▶ measure ─▶ policy ─▶ validate ─▶ Proposals
//!                 │ no       (live bytes,  automatic   (the same rules as at
//!                 ▼           rewrite?)    manual       dispatch and commit)
//!              skipped ◀──────────────── candidates that no plan takes
//! ```
//!
//! Invariants (`tests/layouts/properties.rs` checks each over random groups):
//! 1. every live segment of the view is an input of exactly one draft, or skipped with exactly one reason;
//! 2. the result does not depend on the order of the segments;
//! 3. a draft has at most `max_inputs` inputs, unless it clusters, and a merge never promises more than
//!    `max_segment_bytes`, unless a client asked for several outputs;
//! 4. every draft brings something: fewer segments, the size or order that was asked for, deletes and expired rows gone,
//!    or, once for each segment that a flush wrote and that is alone, the rewrite that a client of Milvus waits for;
//! 5. repeating "plan, then carry out" ends, and an unchanged set of segments leads to no draft again.

mod commit_limit;
mod context;
mod estimate;
mod measure;
mod packing;
mod policy;
mod proposals;
mod propose;
mod share;
mod skip;
mod terms;
mod validate;

#[cfg(test)]
mod tests;

pub use commit_limit::CommitLimit;
pub use context::{GroupView, LastFailure, PlanContext, Policy, SegmentScope};
pub use proposals::{PlanDraft, Proposals};
pub use propose::propose;
pub use share::ShareLimit;
pub use skip::{Measure, SkipReason};
pub use terms::{Lapsed, Standing, check_terms};
pub use validate::{Rules, Violation, validate};

//! When and where plans run: a fair queue, a bounded number of slots, a watch for executions that are stuck.
//!
//! Knows plans by their id and asks the coordinator, through [`JobSink`], for everything else. Must never write metadata
//! or decide what to compact, and never report one execution twice or after it was stopped.
//!
//! ```text
//!  enqueue ─▶ queue ─▶ slot ─▶ sink.prepare ─▶ worker ─▶ claim ─▶ sink.completed
//!               ▲                    │            │        │
//!               │                    └────┬───────┘        └ stopped: result refused
//!               └── retry, later ◀── sink.failed ◀── hung, attempts left
//!                                                                   │ none left: sink.timed_out
//!                                   cancelled: the caller records it; shut down: the plan resumes at the next start
//! ```
//!
//! `queue`, `liveness`, `retry`, `state` and `lifecycle` are values with methods and a time argument; `dispatch` is the
//! only loop, and `attempt` one execution. [`worker`] is the seam to the execution: a task goes in, progress reports and
//! one outcome come out.
//!
//! Invariants: (1) a plan is in the queue, in one slot, or neither; (2) no more executions than slots; (3) of two
//! collections with work neither waits for more than one plan of the other per free slot; (4) an execution ends in at
//! most one report, and a result that comes after its stop is dropped; (5) after `max_attempts` executions a plan is not
//! retried; (6) an execution that panics, or makes no progress for the timeout, is ended, and its plan is dispatched
//! again like one that failed for a passing reason.

pub mod lifecycle;
pub mod worker;

mod attempt;
mod dispatch;
mod liveness;
mod queue;
mod retry;
mod sink;
mod state;

#[cfg(test)]
mod tests;

pub use dispatch::Scheduler;
pub use lifecycle::{Event, IllegalTransition, transition};
pub use queue::{ByClass, QueueHold};
pub use sink::{Attempt, AttemptFailure, JobSink, SinkRefusal};
pub use state::{Stats, Totals};
pub use worker::{LocalWorker, RunningTask, Task, TaskOutcome, Worker, WorkerError};

//! Executes a plan: reads the inputs' delta logs and insert logs, drops dead and expired rows, writes the outputs. A
//! clustering also divides the rows by the clustering key. L0 segments are only read.
//!
//! ```text
//!           delta logs ──▶ deletes ─┐                 map: key → greatest timestamp
//!                                   ▼
//!  key, timestamp, row id ──▶ selection ──▶ cut ──▶ pieces of output segments
//!                              one bit per row        │   (piece, field) is the unit of work: units are independent
//!                                   │                 ▼
//!         every other column ───────┴──▶ filter ─▶ order ─▶ binlog ──▶ store
//! ```
//!
//! Storage v1 keeps every column of every batch in an object of its own. So the first pass reads three narrow columns
//! and decides. The second pass goes column by column: a unit never holds more than one object (of a large one, some
//! windows) and one output of a column, however large the segments are. A batch that loses no row and is large enough is
//! copied, not rewritten.
//!
//! `run` is the whole of it; `first_pass` selects, `write` and `ranges` cut and write by means of `second_pass`, `finish`
//! completes the outputs. Below `second_pass`, `piece_work` has the state of a piece, `survivors` its rows, `copied` the
//! columns that are copied.
//!
//! Beside merges it builds indexes of segments (`index`).
//!
//! A merge takes a value ([`CompactionTask`]) and returns one ([`CompactionOutcome`]). It must never touch metadata,
//! choose its inputs, take an id outside the task's range, read the time of day, or write to anything but new objects of
//! new segments. It may be killed at any line: objects that it left are garbage that no segment names.
//!
//! Invariants: (1) a row survives unless a delete with its key and a strictly greater timestamp, not beyond the plan's
//! horizon, is in any input, or the row has outlived the plan's time to live; (2) surviving rows keep their row ids and
//! timestamps; (3) rows of an output binlog ascend by row id, in every field alike; (4) memory stays inside the one
//! budget of all plans; (5) after an error no object of the failed run is left, as far as the store lets us delete;
//! (6) all ids of a run lie in the range that its task brings; (7) there are no more outputs than the task allows.

mod cluster_keys;
mod clustering;
mod copied;
mod cut;
mod deletes;
mod error;
mod finish;
mod first_pass;
mod ids;
mod index;
mod inputs;
mod l0_delete;
mod memory;
mod merge_run;
mod order;
mod piece_work;
mod progress;
mod ranges;
mod reserve;
mod run;
mod second_pass;
mod selection;
mod sink;
mod survivors;
mod task;
mod throttle;
mod waits;
mod write;

pub use error::CompactError;
pub use index::{IndexOutcome, IndexTask};
pub use progress::ProgressSink;
pub use reserve::ids_to_reserve;
pub use run::Compactor;
pub use task::{CompactionInput, CompactionOutcome, CompactionTask, OutputSegment};
pub use throttle::Throttle;

#[cfg(test)]
mod tests;

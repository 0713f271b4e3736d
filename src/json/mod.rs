//! JSON text as clients send it and as segments keep it: one reader decides what is accepted and what is read.
//!
//! ```text
//! insert:  text ──Reader──▶ check: is it JSON, within the limits, which keys has it
//! query:   text ──Reader──▶ find(path) ──▶ Value ──▶ scalar, elements, members
//! ```
//!
//! - J1 Whatever [`check`] accepts, every function here reads. Limits belong to `check` alone: text that an older
//!   release or another program stored is read without them.
//! - J2 Text is kept and answered as it was written; nothing here rewrites it.
//! - J3 Half of a surrogate pair (`"\ud83d"`, what is left of a text that was cut inside an emoji) is allowed, as in
//!   Milvus 2.3.5, and reads as U+FFFD.
//! - J4 Integers of 64 bits are exact, all other numbers are doubles; beyond their range they are infinite.
//! - J5 Of equal keys the first counts.
//!
//! Must never recurse over the text, allocate by a number in it, or fail on a cell: a broken one ends where it breaks.

mod check;
mod reader;
mod value;

#[cfg(test)]
mod tests;

pub use check::{MAX_DEPTH, Refusal, Why, check, check_object};
pub use reader::{Event, Fault, Number, Reader, Text};
pub use value::{Scalar, Step, Value, find};

//! JSON text as clients send it and as segments store it. One reader serves both, so stored text can always be read.
//!
//! ```text
//! insert:  text ──Reader──▶ check: is it JSON, within the limits, which keys has it
//! query:   text ──Reader──▶ find(path) ──▶ Value ──▶ scalar, elements, members
//! ```
//!
//! - J1 Every function here reads all text that [`check`] accepts. Only `check` has limits: text that an older release or
//!   another program stored is read without them.
//! - J2 Text is stored and returned as the client wrote it; nothing here rewrites it.
//! - J3 Half of a surrogate pair (`"\ud83d"`, the rest of a text that was cut inside an emoji) is allowed, as in Milvus
//!   2.3.5, and reads as U+FFFD.
//! - J4 Integers of 64 bits are exact, all other numbers are doubles; beyond their range they are infinite.
//! - J5 Of equal keys the first counts.
//!
//! Must never: recurse over the text, allocate by a number in it, or fail on a stored cell. A broken cell ends where it
//! breaks.

mod check;
mod reader;
mod tree;
mod value;

#[cfg(test)]
mod tests;

pub use check::{JsonDefect, JsonRefusal, MAX_DEPTH, check, check_object};
pub use reader::{JsonEvent, JsonFault, Number, Reader, Text};
pub use tree::{MAX_TREE_BYTES, TreeFault, tree};
pub use value::{JsonScalar, Step, Value, find};

//! Bound expressions over record batches.
//!
//! Every result is true or false; there is no third value. A missing JSON key, or a JSON value of another type, fails
//! every comparison except `!=`, which it passes, as in Milvus 2.3.5. `not` is the plain complement. An index beyond the
//! end of an array and a computation without a result (division by zero, overflow) fail every comparison, `!=` too.
//! Floats compare as IEEE numbers: -0 equals 0, NaN equals nothing.
//!
//! Must never panic on a stored cell, or work for long without a checkpoint.

pub(super) mod array;
mod columns;
mod numbers;
mod predicate;

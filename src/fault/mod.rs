//! Faults on purpose, for tests of the tests: a deliberate breakage of a promise, or a kill at a named place.
//!
//! - [`planted`] is asked where the code decides: "is this breakage switched on?" At most one is on in a process. The suite
//!   has to fail with each of them (`tools/planted.py`, docs/reliability.md).
//! - [`reached`] marks a place between two steps of a change. The process kills itself there if it was told to
//!   (`tests/crash/points.rs` ends it at every one and restarts it).
//!
//! Without the feature `planted-faults` both are constants, so no build for users has a trace of them. With it, variables
//! of the environment choose: `DATACOORD_PLANTED=LateDeletesLost`, `DATACOORD_POINT=FlushCommitted:2` (the second time), and
//! `DATACOORD_CLOCK_SHIFT_MS=-3600000` for a wall clock that is an hour late.
//!
//! The crate `fail` was looked at: its points are texts that no list holds, it has no action that ends the process, and its
//! last release (0.5.1) is of 2022.
//!
//! Must never: change anything in a build without the feature, or be reached by a setting, a call or a file.

#[cfg(feature = "planted-faults")]
mod environment;
mod planted;
mod point;

#[cfg(feature = "planted-faults")]
pub use environment::{CLOCK_SHIFT_MS, PLANTED, POINT, clock_shift_ms, warn_if_chosen};
pub use planted::{Planted, planted};
#[cfg(feature = "planted-faults")]
pub use point::PointPhase;
pub use point::{Point, reached};

/// Milliseconds that the wall clock is ahead of the machine's: none in a build for users.
#[cfg(not(feature = "planted-faults"))]
pub const fn clock_shift_ms() -> i64 {
    0
}

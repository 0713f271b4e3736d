//! Profiles of the running process, in the format of pprof: its processor time by function, and its heap.
//!
//! Nothing is sampled until a profile is asked for, and one is taken at a time.
//!
//! Must never: hold samples after a profile has ended, or show values: a profile has names of functions, files and lines.

mod cpu;
mod error;
mod heap;
mod pprof;
mod turn;

pub use error::{ProfileError, SECONDS};
use turn::ProfileTurn;

/// The processor time of the next `seconds`, by function: a `Profile` of pprof.
///
/// # Errors
/// `seconds` outside of [`SECONDS`]; another profile; no timer.
pub async fn processor_profile(seconds: u64) -> Result<Vec<u8>, ProfileError> {
    cpu::profile(ProfileTurn::begin(seconds)?).await
}

/// Memory that is allocated in the next `seconds` and held at their end, by function: a `Profile` of pprof. A
/// process that samples from its start (`MALLOC_CONF=prof_active:true`) answers with all memory that it holds.
///
/// # Errors
/// `seconds` outside of [`SECONDS`]; another profile; an allocator that does not sample.
pub async fn heap_profile(seconds: u64) -> Result<Vec<u8>, ProfileError> {
    heap::profile(ProfileTurn::begin(seconds)?).await
}

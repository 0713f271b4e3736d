//! Profiles of the running process, in the format of pprof: its processor time by function, and its heap.
//!
//! Nothing is sampled until a profile is asked for, and one is taken at a time.
//!
//! Must never: hold samples after a profile has ended, or show values: a profile has names of functions, files and lines.

mod cpu;
mod error;
mod heap;
mod pprof;

use std::time::Duration;

pub use error::{ProfileError, SECONDS};
use tokio::sync::{Mutex, MutexGuard};

/// Signals and the sampling of the allocator belong to the whole process.
static TAKEN: Mutex<()> = Mutex::const_new(());

/// The processor time of the next `seconds`, by function: a `Profile` of pprof.
///
/// # Errors
/// `seconds` outside of [`SECONDS`]; another profile; no timer.
pub async fn processor_profile(seconds: u64) -> Result<Vec<u8>, ProfileError> {
    let (_taken, length) = begin(seconds)?;
    cpu::profile(length).await
}

/// Memory that is allocated in the next `seconds` and held at their end, by function: a `Profile` of pprof. A
/// process that samples from its start (`MALLOC_CONF=prof_active:true`) answers with all memory that it holds.
///
/// # Errors
/// `seconds` outside of [`SECONDS`]; another profile; an allocator that does not sample.
pub async fn heap_profile(seconds: u64) -> Result<Vec<u8>, ProfileError> {
    let (_taken, length) = begin(seconds)?;
    heap::profile(length).await
}

fn begin(seconds: u64) -> Result<(MutexGuard<'static, ()>, Duration), ProfileError> {
    if !SECONDS.contains(&seconds) {
        return Err(ProfileError::Seconds(seconds));
    }
    let taken = TAKEN.try_lock().map_err(|_| ProfileError::Busy)?;
    Ok((taken, Duration::from_secs(seconds)))
}

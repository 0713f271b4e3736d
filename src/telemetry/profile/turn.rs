//! One profile at a time.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use super::error::{ProfileError, SECONDS};

/// Signals and the sampling of the allocator belong to the whole process.
static TAKEN: Mutex<()> = Mutex::const_new(());

/// The right to sample. It is kept until sampling has ended, also when the caller gives up before.
pub(super) struct ProfileTurn {
    pub(super) length: Duration,
    _taken: MutexGuard<'static, ()>,
}

impl ProfileTurn {
    /// # Errors
    /// `Seconds` outside of [`SECONDS`], `Busy` while another profile is taken.
    pub(super) fn begin(seconds: u64) -> Result<Self, ProfileError> {
        if !SECONDS.contains(&seconds) {
            return Err(ProfileError::Seconds(seconds));
        }
        let taken = TAKEN.try_lock().map_err(|_| ProfileError::Busy)?;
        Ok(Self { length: Duration::from_secs(seconds), _taken: taken })
    }
}

use std::ops::RangeInclusive;

use crate::error::{Classify, ErrorKind};

/// How long a profile may take, in seconds: a stop of the server waits for it.
pub const SECONDS: RangeInclusive<u64> = 1..=60;

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("seconds: {0} is not in {least} to {most}", least = SECONDS.start(), most = SECONDS.end())]
    Seconds(u64),
    #[error("another profile is being taken; one is taken at a time")]
    Busy,
    #[error("this program was built or started without profiles of the heap (MALLOC_CONF=prof:false)")]
    NoHeap,
    #[error("the profile can't be taken: {0}")]
    Failed(String),
}

impl Classify for ProfileError {
    fn kind(&self) -> ErrorKind {
        match self {
            ProfileError::Seconds(_) => ErrorKind::Invalid,
            ProfileError::Busy => ErrorKind::Exhausted,
            ProfileError::NoHeap => ErrorKind::Precondition,
            ProfileError::Failed(_) => ErrorKind::Internal,
        }
    }
}

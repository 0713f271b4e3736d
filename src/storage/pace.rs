//! Limits how fast bytes are read and written.
//!
//! While there is a limit, an object moves in parts. In one piece it would be a burst of seconds, and the limit exists to
//! keep such bursts away from requests.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::error::StorageError;

/// Asked before every part of an object is read or written.
#[async_trait]
pub trait Pace: Send + Sync + std::fmt::Debug {
    /// Size of the next parts, more than 0. `None`: no limit now.
    fn part(&self) -> Option<u64>;

    /// Waits until `bytes` may move. Counts them also while there is no limit.
    ///
    /// # Errors
    /// The bytes must not move any more.
    async fn take(&self, bytes: u64) -> Result<(), StorageError>;
}

/// `None`: unthrottled.
pub type Paced = Option<Arc<dyn Pace>>;

/// How many of the next `left` bytes to move at once.
pub(super) fn part_of(left: u64, pace: &Paced) -> u64 {
    pace.as_ref().and_then(|pace| pace.part()).map_or(left, |part| part.max(1).min(left))
}

/// Waits for each part of `bytes` in turn and passes it to `write`.
pub(super) fn in_parts<E>(
    pace: &Paced,
    bytes: &Bytes,
    wait: impl Fn(&dyn Pace, u64) -> Result<(), E>,
    mut write: impl FnMut(Bytes) -> Result<(), E>,
) -> Result<(), E> {
    let mut rest = bytes.clone();
    spans(pace, bytes.len() as u64, wait, |now| write(rest.split_to(now as usize)))
}

/// Waits for each part of `bytes` bytes in turn and passes its size to `write`.
pub(super) fn spans<E>(
    pace: &Paced,
    bytes: u64,
    wait: impl Fn(&dyn Pace, u64) -> Result<(), E>,
    mut write: impl FnMut(u64) -> Result<(), E>,
) -> Result<(), E> {
    let mut left = bytes;
    while left > 0 {
        let now = part_of(left, pace);
        if let Some(pace) = pace {
            wait(&**pace, now)?;
        }
        write(now)?;
        left -= now;
    }
    Ok(())
}

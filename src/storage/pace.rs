//! How fast bytes may move, where somebody has a say in that.
//!
//! An object is moved in parts while there is a limit: written at once it would be a burst that lasts for seconds, and
//! what limits were set for would feel it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{LogPath, SegmentStore, StorageError};

/// Is asked before every part of an object that is read or written.
#[async_trait]
pub trait Pace: Send + Sync + std::fmt::Debug {
    /// Bytes to move at once from now on, more than 0; None: there is no limit.
    fn part(&self) -> Option<u64>;

    /// Waits until so many bytes may move.
    ///
    /// # Errors
    /// They must not move any more; whoever is asked knows why.
    async fn take(&self, bytes: u64) -> Result<(), StorageError>;
}

/// Nobody has a say if there is none.
pub type Paced = Option<Arc<dyn Pace>>;

/// How many of the next `left` bytes to move at once.
fn part_of(left: u64, pace: &Paced) -> u64 {
    pace.as_ref().and_then(|pace| pace.part()).map_or(left, |part| part.max(1).min(left))
}

/// Calls `write` with one part after the other, each when it may move.
pub(super) fn in_parts<E>(
    pace: &Paced,
    bytes: &Bytes,
    wait: impl Fn(&dyn Pace, u64) -> Result<(), E>,
    mut write: impl FnMut(Bytes) -> Result<(), E>,
) -> Result<(), E> {
    let mut rest = bytes.clone();
    spans(pace, bytes.len() as u64, wait, |now| write(rest.split_to(now as usize)))
}

/// The same for bytes that are elsewhere: `write` is told how many.
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

impl SegmentStore {
    /// Reads a whole object, in parts while there is a limit.
    pub async fn get_at(&self, pace: &Paced, path: &LogPath) -> Result<Bytes, StorageError> {
        match pace {
            Some(limit) if limit.part().is_some() => self.get_range_at(pace, path, 0..self.size(path).await?).await,
            Some(unlimited) => {
                let bytes = self.get(path).await?;
                // There was no limit; it counts all the same.
                unlimited.take(bytes.len() as u64).await?;
                Ok(bytes)
            }
            None => self.get(path).await,
        }
    }

    /// Reads a part of an object, which is inside of it, in smaller parts while there is a limit.
    pub async fn get_range_at(
        &self,
        pace: &Paced,
        path: &LogPath,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, StorageError> {
        let mut parts = BytesMut::new();
        let mut at = range.start;
        loop {
            let left = range.end - at;
            let now = part_of(left, pace);
            if let Some(pace) = pace {
                pace.take(now).await?;
            }
            let bytes = self.get_range(path, at..at + now).await?;
            if now == left && parts.is_empty() {
                return Ok(bytes);
            }
            if parts.is_empty() {
                parts.reserve((range.end - range.start) as usize);
            }
            parts.extend_from_slice(&bytes);
            at += now;
            // A part that is shorter is the end of an object that is shorter than it was.
            if at >= range.end || (bytes.len() as u64) < now {
                return Ok(parts.freeze());
            }
        }
    }
}

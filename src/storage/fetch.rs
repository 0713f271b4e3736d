//! Fetches an object: small ones whole, large ones in windows. One function decides, for readers and merges.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use bytes::Bytes;

use super::{
    checksum::StoredObject,
    error::StorageError,
    pace::Paced,
    ranged::{RangedObject, Reading},
    store::SegmentStore,
};
use crate::binlog::LogBytes;

/// The bytes of an object that will be decoded.
pub enum Fetched {
    Whole {
        object: StoredObject,
        bytes: Bytes,
    },
    /// Read in windows, and checked on the way if it has a [`super::RunningCheck`].
    Ranged(Arc<RangedObject>),
}

impl Fetched {
    /// The source for a decoder. The second value tells why a read of a window failed. Checks an object that was fetched
    /// whole. CPU work: not for async threads.
    pub fn open(self) -> Result<(LogBytes, Option<Arc<RangedObject>>), StorageError> {
        match self {
            Self::Whole { object, bytes } => {
                object.check(&bytes)?;
                Ok((bytes.into(), None))
            }
            Self::Ranged(object) => Ok((object.log_bytes(), Some(object))),
        }
    }

    pub(super) fn has_windows(&self) -> bool {
        matches!(self, Self::Ranged(_))
    }
}

impl Reading {
    /// Whether an object is small enough to be fetched whole.
    pub fn takes_whole(&self, object: &StoredObject) -> bool {
        object.bytes <= self.held_bytes
    }
}

/// Fetches an object that will be decoded: whole if `reading` takes it whole, in windows otherwise. `reading.check` is used
/// only for windows, because [`Fetched::open`] checks a whole object.
pub async fn fetch(store: &SegmentStore, object: StoredObject, reading: Reading) -> Result<Fetched, StorageError> {
    if !reading.takes_whole(&object) {
        return Ok(Fetched::Ranged(RangedObject::open(store, object.path, reading).await?));
    }
    let bytes = store.get_paced(&reading.pace, &object.path).await?;
    reading.read.fetch_add(bytes.len() as u64, Relaxed);
    Ok(Fetched::Whole { object, bytes })
}

/// Bytes that [`verify`] reads at once.
const VERIFIED_BYTES: u64 = 1 << 20;

/// Reads a whole object in small parts and compares it with its record. Returns the bytes that were read. An object without
/// a checksum only has to exist; nothing of it is read.
///
/// # Errors
/// Of kind corrupt if the object is damaged or missing.
pub async fn verify(store: &SegmentStore, pace: &Paced, object: &StoredObject) -> Result<u64, StorageError> {
    let bytes = store.size(&object.path).await?;
    let Some(check) = object.running_check() else { return Ok(0) };
    check.is_of_size(bytes)?;
    // An empty object has no gap to fill, so it is checked here.
    check.add(0, &[])?;
    while let Some(gap) = check.next_gap(VERIFIED_BYTES) {
        check.fill(&gap, &store.get_range_paced(pace, &object.path, gap.clone()).await?)?;
    }
    Ok(bytes)
}

//! The operations of a place for objects. Two implementations: a local directory and a bucket.
//! Tests put a gate in front of either, which injects faults.
//!
//! A backend must never retry, count or interpret; [`super::SegmentStore`] does.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use super::{error::StorageError, pace::Paced};
use crate::binlog::BinlogError;

/// One object to be written.
#[derive(Debug, Clone)]
pub struct Object {
    /// Relative to the backend's root.
    pub name: String,
    pub bytes: Bytes,
    /// A part of another object that follows `bytes`.
    pub rest: Option<Rest>,
    /// Limits how fast the object is written.
    pub pace: Paced,
    /// The object will be read soon, so it should stay in the page cache.
    pub read_soon: bool,
}

/// Most bytes of another object's part in memory while it is written. An upload's parts, except the last, must not be
/// smaller; larger ones would bring little.
pub const SPLICED_BYTES: u64 = 5 << 20;

/// A part of another object. The range must lie inside it.
#[derive(Debug, Clone)]
pub struct Rest {
    pub name: String,
    pub range: Range<u64>,
}

impl Rest {
    /// The error for an object that ends at `at`, before the part does.
    pub(super) fn ends_at(&self, at: u64) -> StorageError {
        let what = format!("object ends, {} bytes expected", self.range.end);
        let source = BinlogError::Corrupt { offset: at, what };
        StorageError::Object { object: self.name.clone(), source }
    }
}

impl Object {
    /// Bytes of the whole object.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64 + self.rest.as_ref().map_or(0, |rest| rest.range.end - rest.range.start)
    }
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub bytes: u64,
    /// Milliseconds since 1970, by the backend's clock.
    pub modified_ms: u64,
}

/// How a [`StorageBackend::swap`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapped {
    Done,
    /// Nothing was written. Holds the object that is there; `None`: no object.
    Instead(Option<Bytes>),
}

/// A flat namespace of objects. Names are relative paths with `/`.
#[async_trait]
pub trait StorageBackend: Send + Sync + std::fmt::Debug {
    /// Reads a whole object.
    async fn get(&self, name: &str) -> Result<Bytes, StorageError>;

    /// Reads a part of an object. The range must lie inside it.
    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StorageError>;

    /// Bytes of an object.
    async fn size(&self, name: &str) -> Result<u64, StorageError>;

    /// Writes objects and replaces those that exist. Each appears whole or not at all. After Ok all of them survive a loss
    /// of power; after an error any of them may exist. Repeating the call is harmless.
    async fn put(&self, objects: &[Object]) -> Result<(), StorageError>;

    /// Most objects for one `put`. More than 1 where writing them together is cheaper.
    fn batch(&self) -> usize;

    /// Replaces an object by `next` if it is exactly `expected` (`None`: absent), as durably as `put`. One step where the
    /// store has conditional writes: of several concurrent calls one is done, and the others get the object that is there instead.
    /// An answer may get lost, so a retry may find the caller's own bytes.
    ///
    /// The default compares and then writes. That is not atomic, and enough for tests with one writer.
    async fn swap(&self, name: &str, expected: Option<Bytes>, next: Bytes) -> Result<Swapped, StorageError> {
        let found = match self.get(name).await {
            Ok(bytes) => Some(bytes),
            Err(StorageError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        if found != expected {
            return Ok(Swapped::Instead(found));
        }
        let object = Object { name: name.to_owned(), bytes: next, rest: None, pace: None, read_soon: true };
        self.put(&[object]).await.map(|()| Swapped::Done)
    }

    /// Creates the bucket if it is missing. False: creating it is not allowed.
    async fn make_place(&self) -> Result<bool, StorageError> {
        Ok(false)
    }

    /// Copies an object, as durably as `put`.
    async fn copy(&self, from: &str, to: &str) -> Result<(), StorageError>;

    /// Removes an object; one that is absent is fine.
    async fn delete(&self, name: &str) -> Result<(), StorageError>;

    /// Lists the objects below a folder, in no order. May miss objects that are written or deleted meanwhile.
    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StorageError>>;

    /// Removes files that interrupted writes left outside the namespace; returns how many. Must not run while another
    /// process writes.
    async fn clear_staging(&self) -> Result<u64, StorageError>;
}

#[cfg(test)]
mod tests;

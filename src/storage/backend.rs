//! Where objects really are: the few operations a store needs, behind a trait with three implementations (a local
//! directory, an object store, and either of them with faults).
//!
//! A backend does not retry, count or interpret; [`super::SegmentStore`] does.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use super::{Paced, StorageError};
use crate::binlog::BinlogError;

/// One object to be written.
#[derive(Debug, Clone)]
pub struct Object {
    /// Relative to the backend's root.
    pub name: String,
    pub bytes: Bytes,
    /// What follows the bytes.
    pub rest: Option<Rest>,
    /// Who is asked before its bytes move.
    pub pace: Paced,
    /// Whether it will be read soon, so that it is worth a place in the machine's cache of files.
    pub read_soon: bool,
}

/// Of a part of another object no more is in memory while it is written: a part of an upload is not smaller (but for the
/// last), and it costs little to read and write that much at once.
pub const SPLICED_BYTES: u64 = 5 << 20;

/// A part of another object, which has to be inside of it.
#[derive(Debug, Clone)]
pub struct Rest {
    pub name: String,
    pub range: Range<u64>,
}

impl Rest {
    /// The other object ends there, inside of the part.
    pub(super) fn ends_at(&self, at: u64) -> StorageError {
        let what = format!("object ends, {} bytes expected", self.range.end);
        let source = BinlogError::Corrupt { offset: at, what };
        StorageError::Object { object: self.name.clone(), source }
    }
}

impl Object {
    /// Its size.
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

/// How a [`Backend::swap`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapped {
    Done,
    /// Nothing was written: this is there, or nothing.
    Instead(Option<Bytes>),
}

/// A flat namespace of objects. Names are relative paths with `/`.
#[async_trait]
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// Reads a whole object.
    async fn get(&self, name: &str) -> Result<Bytes, StorageError>;

    /// Reads a part of an object, which is inside of it.
    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StorageError>;

    /// Bytes of an object.
    async fn size(&self, name: &str) -> Result<u64, StorageError>;

    /// Writes objects, replacing those that exist. Each appears whole or not at all; when this returns Ok, all of them
    /// survive a loss of power. After an error any of them may be there. Repeating it is harmless.
    async fn put(&self, objects: &[Object]) -> Result<(), StorageError>;

    /// How many objects one `put` should be given: where writing together is cheaper than one by one.
    fn batch(&self) -> usize;

    /// Puts `next` in the place of an object that is exactly `expected` (none: absent), as durably as `put`, in one step
    /// where the store has such a step: of several at once one is done, and the others are told what is there instead.
    /// An answer may get lost, so that whoever tries again may find his own bytes.
    ///
    /// Without a step of its own a backend compares and then writes, for tests that have one writer.
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

    /// Makes the place that the objects would be in, if it is missing and may be made; false: that is not for us to do.
    async fn make_place(&self) -> Result<bool, StorageError> {
        Ok(false)
    }

    /// Copies an object, as durably as `put`.
    async fn copy(&self, from: &str, to: &str) -> Result<(), StorageError>;

    /// Removes an object; one that is absent is fine.
    async fn delete(&self, name: &str) -> Result<(), StorageError>;

    /// Objects below a folder, in no order. Objects that come and go meanwhile may be missed.
    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StorageError>>;

    /// Removes what interrupted writes left outside the namespace; returns how many. Must not run beside a writer of
    /// another process.
    async fn clear_staging(&self) -> Result<u64, StorageError>;
}

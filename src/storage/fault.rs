//! A backend that wraps another one and injects faults, for the tests of everything above the store.
//!
//! Faults belong to one instance, never to the process, so that parallel tests do not disturb each other.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;

use super::{
    backend::{Backend, Listed, Object, Swapped},
    error::StorageError,
};

/// Operations that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Get,
    Put,
    Copy,
    Delete,
    List,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation is not done; the error is transient.
    Unavailable,
    /// The operation is not done; the error is permanent.
    Refused,
    /// As after a crash or on a bad disk. A put stores half of its first object and reports a failure; a get returns half
    /// of an object and reports none. Other operations are unavailable.
    Torn,
    /// The operation is done, but its answer gets lost, as in a time-out.
    AnswerLost,
}

#[derive(Debug, Default)]
struct Script {
    /// Operation (`None`: any), number of the call from 1, whether all later calls fail too, and how they fail.
    faults: Vec<(Option<Operation>, u64, bool, Fault)>,
    calls: Vec<(Operation, String)>,
}

impl Script {
    fn next(&mut self, operation: Operation, name: &str) -> Option<Fault> {
        self.calls.push((operation, name.to_owned()));
        let all = self.calls.len() as u64;
        let same = self.calls.iter().filter(|(o, _)| *o == operation).count() as u64;
        self.faults
            .iter()
            .find(|(only, nth, onwards, _)| {
                let call = if only.is_some() { same } else { all };
                only.is_none_or(|o| o == operation) && (call == *nth || (*onwards && call > *nth))
            })
            .map(|(_, _, _, fault)| *fault)
    }
}

/// Counts calls and fails the chosen ones. A batch of objects is one call.
#[derive(Debug)]
pub struct FaultyBackend {
    inner: Arc<dyn Backend>,
    script: Mutex<Script>,
}

impl FaultyBackend {
    pub fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { inner, script: Mutex::default() })
    }

    /// Fails the n-th call (from 1, counted since the backend was made) of one operation, or of any.
    pub fn fail(&self, operation: Option<Operation>, nth: u64, fault: Fault) {
        self.script.lock().faults.push((operation, nth, false, fault));
    }

    /// Fails the n-th call and all after it.
    pub fn fail_from(&self, operation: Option<Operation>, nth: u64, fault: Fault) {
        self.script.lock().faults.push((operation, nth, true, fault));
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.script.lock().faults.clear();
    }

    /// All calls so far, with the name of the (first) object or the prefix.
    pub fn calls(&self) -> Vec<(Operation, String)> {
        self.script.lock().calls.clone()
    }

    fn before(&self, operation: Operation, name: &str) -> Result<Option<Fault>, StorageError> {
        let fault = self.script.lock().next(operation, name);
        match fault {
            Some(Fault::Unavailable) => Err(unavailable(name)),
            Some(Fault::Refused) => {
                Err(StorageError::Refused { operation: "call", object: name.to_owned(), what: "injected".to_owned() })
            }
            other => Ok(other),
        }
    }
}

fn unavailable(name: &str) -> StorageError {
    StorageError::Unavailable { operation: "call", object: name.to_owned(), what: "injected".to_owned() }
}

fn half(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}

/// The answer after an operation that was done.
fn answer<T>(fault: Option<Fault>, name: &str, value: T) -> Result<T, StorageError> {
    if fault.is_some() { Err(unavailable(name)) } else { Ok(value) }
}

#[async_trait]
impl Backend for FaultyBackend {
    async fn get(&self, name: &str) -> Result<Bytes, StorageError> {
        let fault = self.before(Operation::Get, name)?;
        let bytes = self.inner.get(name).await?;
        if fault == Some(Fault::Torn) {
            return Ok(half(&bytes));
        }
        answer(fault, name, bytes)
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let fault = self.before(Operation::Get, name)?;
        let bytes = self.inner.get_range(name, range).await?;
        if fault == Some(Fault::Torn) {
            return Ok(half(&bytes));
        }
        answer(fault, name, bytes)
    }

    async fn size(&self, name: &str) -> Result<u64, StorageError> {
        let fault = self.before(Operation::Get, name)?;
        let bytes = self.inner.size(name).await?;
        answer(fault, name, bytes)
    }

    async fn put(&self, objects: &[Object]) -> Result<(), StorageError> {
        let Some(first) = objects.first() else { return Ok(()) };
        let fault = self.before(Operation::Put, &first.name)?;
        if fault == Some(Fault::Torn) {
            let torn = Object { bytes: half(&first.bytes), rest: None, pace: None, ..first.clone() };
            self.inner.put(&[torn]).await?;
            return Err(unavailable(&first.name));
        }
        self.inner.put(objects).await?;
        answer(fault, &first.name, ())
    }

    /// Counts as a put.
    async fn swap(&self, name: &str, expected: Option<Bytes>, next: Bytes) -> Result<Swapped, StorageError> {
        let fault = self.before(Operation::Put, name)?;
        if fault == Some(Fault::Torn) {
            return Err(unavailable(name));
        }
        let swapped = self.inner.swap(name, expected, next).await?;
        answer(fault, name, swapped)
    }

    fn batch(&self) -> usize {
        self.inner.batch()
    }

    async fn copy(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let fault = self.before(Operation::Copy, from)?;
        if fault == Some(Fault::Torn) {
            return Err(unavailable(from));
        }
        self.inner.copy(from, to).await?;
        answer(fault, from, ())
    }

    async fn delete(&self, name: &str) -> Result<(), StorageError> {
        let fault = self.before(Operation::Delete, name)?;
        if fault == Some(Fault::Torn) {
            return Err(unavailable(name));
        }
        self.inner.delete(name).await?;
        answer(fault, name, ())
    }

    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StorageError>> {
        match self.before(Operation::List, prefix) {
            Ok(None) => self.inner.list(prefix),
            Ok(Some(_)) => stream::iter([Err(unavailable(prefix))]).boxed(),
            Err(e) => stream::iter([Err(e)]).boxed(),
        }
    }

    async fn clear_staging(&self) -> Result<u64, StorageError> {
        self.inner.clear_staging().await
    }
}

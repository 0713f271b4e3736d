//! A backend in front of another one: it records requests, holds them back, or makes them fail.
//!
//! A gate belongs to one store of one test, so that tests which run side by side never disturb each other.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use datacoord::storage::{Listed, Object, StorageBackend, StorageError, Swapped};
use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::within;

/// Objects that hold rows.
pub(crate) const ROWS: &str = "insert_log";

/// Kinds of requests. Reads of a range or of a size count as `Get`, swaps as `Put`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Get,
    Put,
    Copy,
    Delete,
    List,
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing happens; the error is one that may pass.
    Unavailable,
    /// Nothing happens; the error lasts.
    Refused,
    /// As after a crash or on a bad disk: a put leaves half of its first object under its name and reports failure, a
    /// get returns half of an object and reports none. Other requests are unavailable.
    Torn,
    /// The request is carried out, but its answer gets lost, as in a time-out.
    AnswerLost,
}

/// Requests of a kind (any, if none) for objects below a prefix.
#[derive(Debug, Clone)]
struct Requests {
    operation: Option<Operation>,
    prefix: String,
}

impl Requests {
    fn of(operation: impl Into<Option<Operation>>, prefix: &str) -> Self {
        Self { operation: operation.into(), prefix: prefix.to_owned() }
    }

    fn include(&self, operation: Operation, names: &[&str]) -> bool {
        self.operation.is_none_or(|o| o == operation) && names.iter().any(|name| name.starts_with(&self.prefix))
    }
}

/// A fault of the n-th request of an operation (of any, if none), counted from 1, and perhaps of all later ones.
#[derive(Debug)]
struct Scripted {
    operation: Option<Operation>,
    nth: u64,
    onwards: bool,
    fault: Fault,
}

/// Runs just before the n-th request of an operation is passed on.
struct Action {
    operation: Operation,
    nth: u64,
    run: Box<dyn FnOnce() + Send>,
}

/// Makes the error for a request of this object.
type Refuse = fn(String) -> StorageError;

#[derive(Default)]
struct Rules {
    calls: Vec<(Operation, String)>,
    faults: Vec<Scripted>,
    actions: Vec<Action>,
    refused: Vec<(Requests, Refuse)>,
    held: Vec<Requests>,
}

impl Rules {
    /// Records a request; the fault that is meant for it, and the action.
    fn next(&mut self, operation: Operation, names: &[&str]) -> (Option<Fault>, Option<Action>) {
        self.calls.push((operation, names.first().map(|name| (*name).to_owned()).unwrap_or_default()));
        let all = self.calls.len() as u64;
        let same = self.calls.iter().filter(|(o, _)| *o == operation).count() as u64;
        let is_meant = |scripted: &&Scripted| {
            let call = if scripted.operation.is_some() { same } else { all };
            scripted.operation.is_none_or(|o| o == operation)
                && (call == scripted.nth || (scripted.onwards && call > scripted.nth))
        };
        let fault = self.faults.iter().find(is_meant).map(|scripted| scripted.fault);
        let action = self.actions.iter().position(|a| a.operation == operation && a.nth == same);
        (fault, action.map(|at| self.actions.swap_remove(at)))
    }
}

#[derive(Default)]
struct Shared {
    rules: Mutex<Rules>,
    opened: Notify,
    arrived: Notify,
}

impl Shared {
    /// Waits while such requests are held back, then refuses them if such requests are refused.
    async fn pass(&self, operation: Operation, names: &[&str]) -> Result<(), StorageError> {
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            opened.as_mut().enable();
            if !self.rules.lock().held.iter().any(|held| held.include(operation, names)) {
                break;
            }
            self.arrived.notify_one();
            opened.await;
        }
        let rules = self.rules.lock();
        match rules.refused.iter().find(|(requests, _)| requests.include(operation, names)) {
            Some((_, error)) => Err(error(names.first().map(|name| (*name).to_owned()).unwrap_or_default())),
            None => Ok(()),
        }
    }
}

/// Passes requests on unless it was told otherwise. Objects of one batch are one request.
pub(crate) struct Gate {
    inner: Arc<dyn StorageBackend>,
    shared: Arc<Shared>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Gate {
    pub(crate) fn new(inner: Arc<dyn StorageBackend>) -> Arc<Self> {
        Arc::new(Self { inner, shared: Arc::default() })
    }

    /// From now on requests of an operation (of any, if none) for objects below `prefix` wait until [`Gate::open`].
    pub(crate) fn hold(&self, operation: impl Into<Option<Operation>>, prefix: &str) {
        self.shared.rules.lock().held.push(Requests::of(operation, prefix));
    }

    /// Lets all requests pass that wait, and all that come.
    pub(crate) fn open(&self) {
        self.shared.rules.lock().held.clear();
        self.shared.opened.notify_waiters();
    }

    /// Waits until a request is held back.
    pub(crate) async fn arrival(&self) {
        within("a request at the gate", self.shared.arrived.notified()).await;
    }

    /// From now on such requests fail with an error that is made from the object's name.
    pub(crate) fn refuse(&self, operation: impl Into<Option<Operation>>, prefix: &str, error: Refuse) {
        self.shared.rules.lock().refused.push((Requests::of(operation, prefix), error));
    }

    /// Fails the n-th request (from 1, counted since the gate was made) of one operation, or of any.
    pub(crate) fn fail(&self, operation: impl Into<Option<Operation>>, nth: u64, fault: Fault) {
        let scripted = Scripted { operation: operation.into(), nth, onwards: false, fault };
        self.shared.rules.lock().faults.push(scripted);
    }

    /// Fails the n-th request and all after it.
    pub(crate) fn fail_from(&self, operation: impl Into<Option<Operation>>, nth: u64, fault: Fault) {
        let scripted = Scripted { operation: operation.into(), nth, onwards: true, fault };
        self.shared.rules.lock().faults.push(scripted);
    }

    /// Ends faults and refusals.
    pub(crate) fn heal(&self) {
        let mut rules = self.shared.rules.lock();
        rules.faults.clear();
        rules.refused.clear();
    }

    /// Runs `run` just before the n-th request of an operation (from 1) is passed on.
    pub(crate) fn before(&self, operation: Operation, nth: u64, run: impl FnOnce() + Send + 'static) {
        self.shared.rules.lock().actions.push(Action { operation, nth, run: Box::new(run) });
    }

    /// All requests so far, with the name of the (first) object or the prefix.
    pub(crate) fn calls(&self) -> Vec<(Operation, String)> {
        self.shared.rules.lock().calls.clone()
    }

    /// Requests of one operation so far.
    pub(crate) fn count(&self, operation: Operation) -> u64 {
        self.shared.rules.lock().calls.iter().filter(|(o, _)| *o == operation).count() as u64
    }

    /// Records a request, runs its action, and waits while it is held back. Returns the fault that the caller applies.
    async fn meet(&self, operation: Operation, names: &[&str]) -> Result<Option<Fault>, StorageError> {
        let (fault, action) = self.shared.rules.lock().next(operation, names);
        if let Some(action) = action {
            (action.run)();
        }
        self.shared.pass(operation, names).await?;
        let object = || names.first().map(|name| (*name).to_owned()).unwrap_or_default();
        match fault {
            Some(Fault::Unavailable) => Err(unavailable(&object())),
            Some(Fault::Refused) => {
                Err(StorageError::Refused { operation: "call", object: object(), what: "injected".to_owned() })
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

/// The answer to a request that was carried out.
fn answer<T>(fault: Option<Fault>, name: &str, value: T) -> Result<T, StorageError> {
    if fault.is_some() { Err(unavailable(name)) } else { Ok(value) }
}

#[async_trait]
impl StorageBackend for Gate {
    async fn get(&self, name: &str) -> Result<Bytes, StorageError> {
        let fault = self.meet(Operation::Get, &[name]).await?;
        let bytes = self.inner.get(name).await?;
        if fault == Some(Fault::Torn) {
            return Ok(half(&bytes));
        }
        answer(fault, name, bytes)
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let fault = self.meet(Operation::Get, &[name]).await?;
        let bytes = self.inner.get_range(name, range).await?;
        if fault == Some(Fault::Torn) {
            return Ok(half(&bytes));
        }
        answer(fault, name, bytes)
    }

    async fn size(&self, name: &str) -> Result<u64, StorageError> {
        let fault = self.meet(Operation::Get, &[name]).await?;
        let bytes = self.inner.size(name).await?;
        answer(fault, name, bytes)
    }

    async fn put(&self, objects: &[Object]) -> Result<(), StorageError> {
        let Some(first) = objects.first() else { return Ok(()) };
        let names: Vec<&str> = objects.iter().map(|object| object.name.as_str()).collect();
        let fault = self.meet(Operation::Put, &names).await?;
        if fault == Some(Fault::Torn) {
            let torn = Object { bytes: half(&first.bytes), rest: None, pace: None, ..first.clone() };
            self.inner.put(&[torn]).await?;
            return Err(unavailable(&first.name));
        }
        self.inner.put(objects).await?;
        answer(fault, &first.name, ())
    }

    async fn swap(&self, name: &str, expected: Option<Bytes>, next: Bytes) -> Result<Swapped, StorageError> {
        let fault = self.meet(Operation::Put, &[name]).await?;
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
        let fault = self.meet(Operation::Copy, &[from]).await?;
        if fault == Some(Fault::Torn) {
            return Err(unavailable(from));
        }
        self.inner.copy(from, to).await?;
        answer(fault, from, ())
    }

    async fn delete(&self, name: &str) -> Result<(), StorageError> {
        let fault = self.meet(Operation::Delete, &[name]).await?;
        if fault == Some(Fault::Torn) {
            return Err(unavailable(name));
        }
        self.inner.delete(name).await?;
        answer(fault, name, ())
    }

    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StorageError>> {
        let (fault, action) = self.shared.rules.lock().next(Operation::List, &[prefix]);
        if let Some(action) = action {
            (action.run)();
        }
        let (inner, shared, prefix) = (Arc::clone(&self.inner), Arc::clone(&self.shared), prefix.to_owned());
        let listed = async move {
            let refused = shared.pass(Operation::List, &[&prefix]).await.err();
            let error = match fault {
                Some(Fault::Refused) => {
                    let (object, what) = (prefix.clone(), "injected".to_owned());
                    Some(StorageError::Refused { operation: "call", object, what })
                }
                Some(_) => Some(unavailable(&prefix)),
                None => None,
            };
            match refused.or(error) {
                Some(error) => stream::iter([Err(error)]).boxed(),
                None => inner.list(&prefix),
            }
        };
        stream::once(listed).flatten().boxed()
    }

    async fn clear_staging(&self) -> Result<u64, StorageError> {
        self.inner.clear_staging().await
    }
}

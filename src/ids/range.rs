//! A range of numbers with a durable upper bound. Gives out numbers below the bound; must never move the bound itself,
//! which is the keeper's task.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::{BoundError, IdError};
use crate::background;

/// A caller that needs every number below `need`.
pub(super) struct BoundRequest {
    pub(super) range: Arc<Ledger>,
    pub(super) need: u64,
    pub(super) answer: oneshot::Sender<Result<(), BoundError>>,
}

struct RangeCursor {
    next: u64,
    /// Everything below may be given out.
    bound: u64,
    /// A number was given out since the bound was moved. An idle range needs no store.
    used: bool,
}

/// How far a range is given out and how far it is covered. Shared by the range and the keeper.
pub(super) struct Ledger {
    pub(super) name: &'static str,
    /// Numbers beyond the need at hand that one stored bound covers.
    window: u64,
    cursor: Mutex<RangeCursor>,
}

impl Ledger {
    /// Begins at the stored bound, or at `floor` if that is higher.
    pub(super) fn new(name: &'static str, window: u64, stored: u64, floor: u64) -> Arc<Self> {
        let cursor = Mutex::new(RangeCursor { next: stored.max(floor), bound: stored, used: false });
        Arc::new(Self { name, window, cursor })
    }

    /// The bound to be stored so that every number below `need` is covered; None if the present one covers them.
    pub(super) fn bound_for(&self, need: u64) -> Option<u64> {
        (need > self.cursor.lock().bound).then(|| need.saturating_add(self.window))
    }

    /// The bound to be stored ahead of need: a window above the next number, which is at least `floor`. None while half
    /// a window is left, and for an idle range.
    pub(super) fn bound_ahead(&self, floor: u64) -> Option<u64> {
        let cursor = self.cursor.lock();
        let next = cursor.next.max(floor);
        if !cursor.used || cursor.bound.saturating_sub(next) >= self.window / 2 {
            return None;
        }
        // A bound never goes back, wherever the next number is.
        Some(next.max(cursor.bound.saturating_add(1)).saturating_add(self.window))
    }

    /// The bound is durable.
    pub(super) fn bound_stored(&self, bound: u64) {
        let mut cursor = self.cursor.lock();
        cursor.bound = bound;
        cursor.used = false;
    }
}

/// The giving side of a range.
pub(super) struct BoundedRange {
    ledger: Arc<Ledger>,
    keeper: mpsc::UnboundedSender<BoundRequest>,
}

impl BoundedRange {
    pub(super) fn new(ledger: Arc<Ledger>, keeper: mpsc::UnboundedSender<BoundRequest>) -> Self {
        Self { ledger, keeper }
    }

    pub(super) fn name(&self) -> &'static str {
        self.ledger.name
    }

    /// Takes `count` numbers in a row, none below `floor`, and returns the first. Waits for the keeper only if the bound
    /// does not cover them.
    pub(super) async fn take(&self, floor: u64, count: u64) -> Result<u64, IdError> {
        loop {
            match self.take_covered(floor, count)? {
                Ok(first) => return Ok(first),
                Err(need) => self.ask(need).await?,
            }
        }
    }

    /// [`Self::take`] for a thread that drives no runtime: it parks until the keeper has answered.
    pub(super) fn take_blocking(&self, floor: u64, count: u64) -> Result<u64, IdError> {
        match self.take_covered(floor, count)? {
            Ok(first) => Ok(first),
            Err(_) => background::wait(self.take(floor, count)),
        }
    }

    /// The first of the numbers, or the bound that they need.
    fn take_covered(&self, floor: u64, count: u64) -> Result<Result<u64, u64>, IdError> {
        let mut cursor = self.ledger.cursor.lock();
        let first = cursor.next.max(floor);
        let end = first.checked_add(count).ok_or(IdError::Exhausted { name: self.name() })?;
        if end > cursor.bound {
            return Ok(Err(end));
        }
        cursor.next = end;
        cursor.used = true;
        Ok(Ok(first))
    }

    async fn ask(&self, need: u64) -> Result<(), IdError> {
        let name = self.name();
        let (answer, answered) = oneshot::channel();
        let request = BoundRequest { range: Arc::clone(&self.ledger), need, answer };
        self.keeper.send(request).map_err(|_| IdError::Stopped { name })?;
        answered.await.map_err(|_| IdError::Stopped { name })?.map_err(|source| IdError::Bound { name, source })
    }

    /// No number up to `seen` is given out from now on.
    pub(super) fn advance_past(&self, seen: u64) {
        let mut cursor = self.ledger.cursor.lock();
        cursor.next = cursor.next.max(seen.saturating_add(1));
    }
}

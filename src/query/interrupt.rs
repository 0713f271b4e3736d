//! Ends a read early: if its caller has gone, or if the server stops.
//!
//! A dropped future stops waiting by itself, but work on a blocking thread continues. So every read has an [`Interrupt`].
//! Dropping the read cancels it, and the work checks it every few kilobytes.

use std::cell::Cell;
#[cfg(test)]
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::QueryError;
use crate::background::blocking;

/// Work between two checks of the token, some ten microseconds. A unit is about a byte of text or a row of numbers.
const LOOK_EVERY: usize = 64 << 10;

/// Work of sorting in one row, in the units of a checkpoint.
pub(super) const ROW_UNITS: usize = 16;

/// Up to so many rows or deletes are handled on the current thread: another one would cost more than it saves.
const FEW: usize = 1_024;

/// Ends the work of one read. Clones end together.
#[derive(Clone, Default)]
pub struct Interrupt {
    token: CancellationToken,
    /// Called with the units of all work.
    #[cfg(test)]
    observer: Option<Arc<dyn Fn(usize) + Send + Sync>>,
}

impl Interrupt {
    #[cfg(test)]
    pub(super) fn observed(observer: Arc<dyn Fn(usize) + Send + Sync>) -> Self {
        Self { token: CancellationToken::new(), observer: Some(observer) }
    }

    /// Cancels when the guard is dropped. The read holds the guard.
    pub(super) fn on_drop(&self) -> DropGuard {
        self.token.clone().drop_guard()
    }

    /// Runs long work on a blocking thread. If the read is dropped, work that has not begun never begins, and work that has
    /// begun ends at its next checkpoint.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Checkpoint) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let interrupt = self.clone();
        let work = move || {
            let checkpoint = Checkpoint { interrupt, left: Cell::new(0) };
            checkpoint.spend(0)?;
            work(&checkpoint)
        };
        blocking(work).await
    }

    /// As [`Self::blocking`], but few rows or deletes are handled on the current thread.
    pub(super) async fn sized<T: Send + 'static>(
        &self,
        count: usize,
        work: impl FnOnce(&Checkpoint) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        if count <= FEW { work(&self.checkpoint()) } else { self.blocking(work).await }
    }

    /// For work on a blocking thread that several reads share.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { interrupt: self.clone(), left: Cell::new(0) }
    }
}

/// Tells work whether its read was cancelled.
pub(super) struct Checkpoint {
    interrupt: Interrupt,
    /// Units until the next check of the token.
    left: Cell<usize>,
}

impl Checkpoint {
    /// A checkpoint that is never cancelled.
    pub(super) fn none() -> Self {
        Interrupt::default().checkpoint()
    }

    /// To be called before work on about so many bytes or rows.
    ///
    /// # Errors
    /// [`QueryError::Cancelled`], soon after the read was cancelled.
    pub(super) fn spend(&self, units: usize) -> Result<(), QueryError> {
        #[cfg(test)]
        if let Some(observer) = &self.interrupt.observer {
            observer(units);
        }
        match self.left.get().checked_sub(units.max(1)) {
            Some(left) => self.left.set(left),
            None => {
                self.left.set(LOOK_EVERY);
                if self.interrupt.token.is_cancelled() {
                    return Err(QueryError::Cancelled);
                }
            }
        }
        Ok(())
    }
}

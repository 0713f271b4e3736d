//! How a read ends before it is done: its caller has gone, or the server stops.
//!
//! Waiting ends by itself when a future is dropped; work on a blocking thread does not. So every read has an
//! [`Interrupt`]: dropping the read cancels it, and its work looks at it after every few kilobytes.

use std::cell::Cell;
#[cfg(test)]
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::QueryError;
use crate::background::blocking;

/// Work between two looks at the token, in units of about a byte of text or a row of numbers: some ten microseconds.
const LOOK_EVERY: usize = 64 << 10;

/// Of putting a row into its place, in the units of a checkpoint.
pub(super) const ROW_UNITS: usize = 16;

/// Rows or deletes that are handled where they are: for fewer another thread is not worth it.
const FEW: usize = 1_024;

/// Ends the work of one read. Clones end together.
#[derive(Clone, Default)]
pub(super) struct Interrupt {
    token: CancellationToken,
    /// Told of all work that is done.
    #[cfg(test)]
    observer: Option<Arc<dyn Fn(usize) + Send + Sync>>,
}

impl Interrupt {
    #[cfg(test)]
    pub(super) fn observed(observer: Arc<dyn Fn(usize) + Send + Sync>) -> Self {
        Self { token: CancellationToken::new(), observer: Some(observer) }
    }

    /// Cancels when it is dropped. The read holds it.
    pub(super) fn on_drop(&self) -> DropGuard {
        self.token.clone().drop_guard()
    }

    /// Runs work that may take long where it holds up nobody. Work that has not begun when its read is dropped never
    /// begins; work that has begun ends at its next checkpoint.
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

    /// As [`Self::blocking`] for many rows or deletes; the work of few is done at once.
    pub(super) async fn sized<T: Send + 'static>(
        &self,
        count: usize,
        work: impl FnOnce(&Checkpoint) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        if count <= FEW { work(&self.checkpoint()) } else { self.blocking(work).await }
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint { interrupt: self.clone(), left: Cell::new(0) }
    }
}

/// Where work asks whether it should go on.
pub(super) struct Checkpoint {
    interrupt: Interrupt,
    /// Until the next look.
    left: Cell<usize>,
}

impl Checkpoint {
    /// Of work that nobody interrupts.
    pub(super) fn none() -> Self {
        Interrupt::default().checkpoint()
    }

    /// Before work of about so many bytes or rows.
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

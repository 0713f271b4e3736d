//! The number of event streams that may be open at once: each of them holds a connection.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of event streams. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct StreamPlaces {
    places: Arc<Semaphore>,
    most: usize,
}

impl StreamPlaces {
    pub(super) fn new(most: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), most }
    }

    /// A place for as long as it is kept; the number of all if none is free.
    pub(super) fn take(&self) -> Result<OwnedSemaphorePermit, usize> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| self.most)
    }
}

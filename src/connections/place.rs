//! Places of connections under a limit.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::handshake::HandshakeFault;

/// Is notified when a connection is opened, closed or refused, and when its handshake fails.
pub trait Watched: Send + Sync {
    fn opened(&self);
    fn closed(&self);
    fn refused(&self);
    fn failed(&self, fault: HandshakeFault);
}

/// One of the connections that may be open. Dropping it frees the place.
pub(super) struct ConnectionPlace {
    of: Option<(Arc<AtomicUsize>, Arc<dyn Watched>)>,
}

impl std::fmt::Debug for ConnectionPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("counted", &self.of.is_some()).finish()
    }
}

impl ConnectionPlace {
    /// Takes a place: counts it in `open` and notifies `watched`.
    pub(super) fn taken(open: Arc<AtomicUsize>, watched: Arc<dyn Watched>) -> Self {
        open.fetch_add(1, Relaxed);
        watched.opened();
        Self { of: Some((open, watched)) }
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { of: None }
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        if let Some((open, watched)) = self.of.take() {
            open.fetch_sub(1, Relaxed);
            watched.closed();
        }
    }
}

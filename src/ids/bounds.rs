//! Where bounds are kept, and the errors of ids. Says nothing about when a bound is moved.

use async_trait::async_trait;

use crate::error::{Classify, ErrorKind};

/// Durable upper bounds by name.
#[async_trait]
pub trait BoundStore: Send + Sync {
    /// The stored bound, 0 if there is none yet.
    async fn load(&self, name: &str) -> Result<u64, BoundError>;
    /// Stores the bound; durable when it returns.
    async fn save(&self, name: &str, bound: u64) -> Result<(), BoundError>;
}

/// Why a bound could not be loaded or stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BoundError {
    pub kind: ErrorKind,
    pub message: String,
}

/// Why there is no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("range {name:?} of ids is used up")]
    Exhausted { name: &'static str },
    /// The bound of a range could not be loaded or stored.
    #[error("bound {name:?}: {source}")]
    Bound { name: &'static str, source: BoundError },
    /// The keeper has ended, and everything below the last bound is given out.
    #[error("range {name:?} of ids gets no further bound: the process is stopping")]
    Stopped { name: &'static str },
}

impl Classify for IdError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exhausted { .. } => ErrorKind::Internal,
            Self::Bound { source, .. } => source.kind,
            Self::Stopped { .. } => ErrorKind::Transient,
        }
    }
}

/// Bounds that live as long as the value. A clone shares them, as a restart would.
#[cfg(test)]
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryBounds {
    bounds: std::sync::Arc<parking_lot::Mutex<std::collections::HashMap<String, u64>>>,
}

#[cfg(test)]
#[async_trait]
impl BoundStore for MemoryBounds {
    async fn load(&self, name: &str) -> Result<u64, BoundError> {
        Ok(self.bounds.lock().get(name).copied().unwrap_or(0))
    }

    async fn save(&self, name: &str, bound: u64) -> Result<(), BoundError> {
        self.bounds.lock().insert(name.to_owned(), bound);
        Ok(())
    }
}

//! The fence: raised once, when this process learns that it may not write any more (P6).
//!
//! Every write of objects or metadata checks it first. Must never: be lowered, because only a new start reads the changes
//! that another process made meanwhile; or decide anything, because the coordinator's ownership raises it.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::{
    error::{Classify, ErrorKind},
    fault::{self, Planted},
};

/// The error of a write behind the fence, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fenced: {why}")]
pub struct Fenced {
    why: Arc<str>,
}

impl Classify for Fenced {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Fenced
    }
}

/// A fence. Its clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Fence {
    inner: Arc<FenceState>,
}

#[derive(Debug, Default)]
struct FenceState {
    fenced: OnceLock<Fenced>,
    raised: CancellationToken,
}

impl Fence {
    /// Raises the fence: every later write fails. Keeps the first reason and returns it.
    pub fn raise(&self, why: impl Into<Arc<str>>) -> Fenced {
        let fenced = self.inner.fenced.get_or_init(|| Fenced { why: why.into() }).clone();
        self.inner.raised.cancel();
        fenced
    }

    /// Fails once the fence is up.
    pub fn check(&self) -> Result<(), Fenced> {
        let fenced = self.inner.fenced.get().filter(|_| !fault::planted(Planted::FenceIgnored));
        fenced.map_or(Ok(()), |fenced| Err(fenced.clone()))
    }

    /// Waits until the fence is up.
    pub async fn raised(&self) {
        self.inner.raised.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_stays_and_all_clones_see_it() {
        let fence = Fence::default();
        let clone = fence.clone();
        assert_eq!(clone.check(), Ok(()));
        fence.raise("first");
        clone.raise("second");
        clone.raised().await;
        let fenced = clone.check().unwrap_err();
        assert_eq!((fenced.to_string().as_str(), fenced.kind()), ("fenced: first", ErrorKind::Fenced));
    }
}

//! The fence: raised once, when this process learns that it may not write any more (P6).
//!
//! Whatever writes objects or metadata asks it first. It is never lowered: only a start can read again what somebody
//! else wrote meanwhile. It decides nothing: the coordinator's ownership raises it.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::error::{Classify, ErrorKind};

/// This process may not write any more, and why.
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

/// Shared by its clones.
#[derive(Debug, Clone, Default)]
pub struct Fence {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    fenced: OnceLock<Fenced>,
    raised: CancellationToken,
}

impl Fence {
    /// Keeps everything from being written from now on. The first reason stays; returns it.
    pub fn raise(&self, why: impl Into<Arc<str>>) -> Fenced {
        let fenced = self.inner.fenced.get_or_init(|| Fenced { why: why.into() }).clone();
        self.inner.raised.cancel();
        fenced
    }

    /// Fails once the fence is up.
    pub fn check(&self) -> Result<(), Fenced> {
        self.inner.fenced.get().map_or(Ok(()), |fenced| Err(fenced.clone()))
    }

    /// Waits until it is up.
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

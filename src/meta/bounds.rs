//! Durable bounds of ids and timestamps, under the guard of the catalog's epoch and behind its fence.
//!
//! Must never store a bound for a catalog that another one has superseded (P6).

use std::sync::Arc;

use async_trait::async_trait;

use super::{Epoch, MetaError, MetaStore, Op, Txn, codec, key};
use crate::{
    error::Classify,
    fence::Fence,
    ids::{BoundError, BoundStore},
};

/// The bounds of one catalog's turn.
#[derive(Debug, Clone)]
pub struct StoredBounds {
    store: Arc<dyn MetaStore>,
    epoch: Epoch,
    fence: Fence,
}

impl StoredBounds {
    pub(super) fn new(store: Arc<dyn MetaStore>, epoch: Epoch, fence: Fence) -> Self {
        Self { store, epoch, fence }
    }
}

#[async_trait]
impl BoundStore for StoredBounds {
    async fn load(&self, name: &str) -> Result<u64, BoundError> {
        let key = key::bound(name);
        let stored = self.store.get(&key).await?;
        Ok(stored.map_or(Ok(0), |bytes| codec::decode_u64(&key, &bytes))?)
    }

    /// Kind Fenced when another catalog has taken over, whose bound stays as it is.
    async fn save(&self, name: &str, bound: u64) -> Result<(), BoundError> {
        self.fence.check().map_err(MetaError::from)?;
        let put = Op::Put { key: key::bound(name), value: codec::encode_u64(bound) };
        let txn = Txn { guards: vec![self.epoch.guard()], ops: vec![put] };
        Ok(self.store.commit(txn).await.map_err(|e| self.epoch.explain(e))?)
    }
}

impl From<MetaError> for BoundError {
    fn from(error: MetaError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

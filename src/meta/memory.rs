//! The store in memory: for tests. Nothing survives the process.

use std::{collections::BTreeMap, ops::Bound};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;

use super::{MetaError, MetaStore, Op, Txn};

/// A sorted map under one lock, held only while a call copies from or into it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    map: RwLock<BTreeMap<String, Bytes>>,
    /// None: unlimited.
    max_operations: Option<usize>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that reports (not enforces) a limit, as etcd has one.
    pub fn with_max_operations(limit: usize) -> Self {
        Self { map: RwLock::default(), max_operations: Some(limit) }
    }
}

#[async_trait]
impl MetaStore for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        self.get_blocking(key)
    }

    async fn range(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Bytes)>, MetaError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let map = self.map.read();
        let pairs = map.range::<str, _>((start, Bound::Unbounded)).take_while(|(k, _)| k.starts_with(prefix));
        Ok(pairs.take(limit).map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    async fn commit(&self, txn: Txn) -> Result<(), MetaError> {
        let mut map = self.map.write();
        for guard in txn.guards {
            if !guard.expected.holds(map.get(&guard.key).map(Bytes::as_ref)) {
                return Err(MetaError::Conflict { key: guard.key });
            }
        }
        for op in txn.ops {
            match op {
                Op::Put { key, value } => {
                    map.insert(key, value);
                }
                Op::Delete { key } => {
                    map.remove(&key);
                }
                Op::DeletePrefix { prefix } => map.retain(|key, _| !key.starts_with(&prefix)),
            }
        }
        Ok(())
    }

    fn get_blocking(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        Ok(self.map.read().get(key).cloned())
    }

    fn max_operations(&self) -> usize {
        self.max_operations.unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn make() -> ((), Arc<dyn MetaStore>) {
        ((), Arc::new(MemoryStore::new()))
    }

    crate::meta::conformance::conformance!(make);
}

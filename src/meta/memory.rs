//! The store in memory: for tests. Nothing survives the process.

use std::{collections::BTreeMap, ops::Bound};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;

use super::{MetaError, MetaStore, Op, See, Span, Tally, Txn, tally::pair_checksum};

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

    fn scan_blocking(&self, span: &Span, see: &mut See<'_>) -> Result<Tally, MetaError> {
        let mut tally = Tally::default();
        let Some((from, end)) = span.bounds() else { return Ok(tally) };
        let is_inside = |key: &str| end.as_deref().is_none_or(|end| key.as_bytes() < end);
        let map = self.map.read();
        map.range::<str, _>((Bound::Included(from), Bound::Unbounded))
            .take_while(|(key, _)| is_inside(key))
            .try_for_each(|(key, value)| {
                tally.add(pair_checksum(key.as_bytes(), value));
                see(key, value)
            })?;
        Ok(tally)
    }

    /// Memory loses nothing.
    fn tally_blocking(&self, _class: &str) -> Result<Option<Tally>, MetaError> {
        Ok(None)
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

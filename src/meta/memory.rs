//! The store in memory: for tests. Nothing survives the process.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;

use super::{MetaError, MetaSnapshot, MetaStore, Op, Page, PageLimit, Span, Tally, Txn};

/// A sorted map under one lock, held only while a call copies from or into it.
#[derive(Debug)]
pub struct MemoryStore {
    map: RwLock<BTreeMap<String, Bytes>>,
    max_operations: usize,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_max_operations(usize::MAX)
    }
}

impl Clone for MemoryStore {
    /// A store of its own that begins with the same pairs.
    fn clone(&self) -> Self {
        Self { map: RwLock::new(self.map.read().clone()), max_operations: self.max_operations }
    }
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// A store that takes no larger transaction, as etcd takes none.
    pub fn with_max_operations(limit: usize) -> Self {
        Self { map: RwLock::default(), max_operations: limit }
    }
}

#[async_trait]
impl MetaStore for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        Ok(self.map.read().get(key).cloned())
    }

    async fn commit(&self, txn: Txn) -> Result<(), MetaError> {
        txn.check(self.max_operations)?;
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

    async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError> {
        let mut page = Page::default();
        let Some((from, end)) = span.bounds() else { return Ok(page) };
        let is_inside = |key: &str| end.as_deref().is_none_or(|end| key.as_bytes() < end);
        let map = self.map.read();
        let pairs = map.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        for (key, value) in pairs.take_while(|(key, _)| is_inside(key)) {
            if page.is_full(limit) {
                page.cut(span, key);
                break;
            }
            page.push_unchecked(key, value);
        }
        Ok(page)
    }

    async fn snapshot(&self) -> Result<Arc<dyn MetaSnapshot>, MetaError> {
        Ok(Arc::new(MemorySnapshot(self.clone())))
    }

    /// Memory loses nothing.
    async fn tally(&self, _class: &str) -> Result<Option<Tally>, MetaError> {
        Ok(None)
    }

    fn max_operations(&self) -> usize {
        self.max_operations
    }
}

/// A copy of all pairs.
#[derive(Debug)]
struct MemorySnapshot(MemoryStore);

#[async_trait]
impl MetaSnapshot for MemorySnapshot {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        self.0.get(key).await
    }

    async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError> {
        self.0.scan(span, limit).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// With the limit that etcd has by default.
    fn make() -> ((), Arc<dyn MetaStore>) {
        ((), Arc::new(MemoryStore::with_max_operations(128)))
    }

    crate::meta::conformance::conformance!(make);
}

//! Metadata: a small transactional key-value store behind a trait, and the catalog that gives its keys and bytes a
//! meaning.
//!
//! ```text
//!  coordinator ─▶ Catalog ── key.rs, codec.rs ──▶ dyn MetaStore ─┬─ RedbStore    one file, group commit
//!                   │ every transaction carries a guard          ├─ MemoryStore  tests
//!                   └ on `coordinator/epoch` (epoch.rs)           └─ (etcd, in cluster mode)
//! ```
//!
//! Promises kept here: P1 (a transaction is all or nothing, and durable when `commit` returns) and P6 (a catalog that
//! another one has superseded can't commit any more). Nothing here decides what a transaction should contain, caches a
//! value, or touches an object. Keys and bytes never leave this module.

mod bounds;
pub mod catalog;
mod codec;
#[cfg(test)]
mod conformance;
mod epoch;
mod error;
mod key;
mod load;
pub mod memory;
pub mod redb;
mod span;
mod tally;

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::{
    bounds::Bounds,
    catalog::{Catalog, CatalogTxn},
    epoch::Epoch,
    error::MetaError,
    load::Contents,
    memory::MemoryStore,
    redb::RedbStore,
    span::Span,
    tally::Tally,
};

/// Who looks at the pairs of a scan. An error ends it.
pub type See<'a> = dyn FnMut(&str, &[u8]) -> Result<(), MetaError> + 'a;

/// Keys in byte order, with conditional transactions. The suite in `conformance.rs` is the definition; a store is
/// finished when it passes.
#[async_trait]
pub trait MetaStore: Send + Sync + Debug {
    /// The value of a key. Sees every transaction whose `commit` has returned.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError>;

    /// Evaluates the guards and applies the operations as one atomic step, durable when this returns.
    ///
    /// `Conflict` names the first guard that did not hold; then nothing was changed. After any other error, and when
    /// the future is dropped, the transaction may or may not have been applied.
    async fn commit(&self, txn: Txn) -> Result<(), MetaError>;

    /// [`MetaStore::get`] for a thread that no runtime drives.
    fn get_blocking(&self, key: &str) -> Result<Option<Bytes>, MetaError>;

    /// Shows `see` every pair of the span, ascending by key, as of one moment, and keeps none of them. Ends at the first
    /// error, which it returns. Returns what the pairs add up to. For a thread that no runtime drives.
    fn scan_blocking(&self, span: &Span, see: &mut See<'_>) -> Result<Tally, MetaError>;

    /// What all pairs of a class (`tally::class`) have to add up to, for a store that can lose some; None: it can't. For a
    /// thread that no runtime drives.
    ///
    /// # Errors
    /// The store can't say any more.
    fn tally_blocking(&self, class: &str) -> Result<Option<Tally>, MetaError>;

    /// The error of a class whose pairs do not add up.
    fn incomplete(&self, class: &str, expected: Tally, found: Tally) -> MetaError {
        let reason = format!("{} records are there of {}, or others than were written", found.pairs, expected.pairs);
        MetaError::Corrupt { key: class.to_owned(), reason }
    }

    /// [`MetaStore::commit`] for a thread that no runtime drives.
    fn commit_blocking(&self, txn: Txn) -> Result<(), MetaError> {
        futures::executor::block_on(self.commit(txn))
    }

    /// Most guards, and most operations, that one transaction may have (etcd: 128 of each).
    fn max_operations(&self) -> usize;
}

/// A conditional transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold, or nothing happens.
    pub guards: Vec<Guard>,
    /// Applied in order: a later one wins.
    pub ops: Vec<Op>,
}

/// What a key must look like for the transaction to take effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    pub key: String,
    pub expected: Expected,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The key does not exist.
    Absent,
    /// The key exists, whatever its value.
    Present,
    /// The key has exactly these bytes.
    Value(Bytes),
}

impl Expected {
    fn holds(&self, stored: Option<&[u8]>) -> bool {
        match (self, stored) {
            (Self::Absent, None) | (Self::Present, Some(_)) => true,
            (Self::Value(expected), Some(stored)) => expected == stored,
            _ => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Put {
        key: String,
        value: Bytes,
    },
    /// Deleting what does not exist is no error.
    Delete {
        key: String,
    },
    /// Deletes every key that begins with `prefix`.
    DeletePrefix {
        prefix: String,
    },
}

/// The smallest string of bytes that is greater than everything with this prefix; none if there is no such string.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|b| *b != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end)
}

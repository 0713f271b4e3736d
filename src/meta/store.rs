//! The trait that stands for a metadata store. `conformance.rs` is its definition: a store is finished when it passes
//! that suite.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use super::{MetaError, Page, PageLimit, Span, Tally, Txn};

/// Keys in byte order, with conditional transactions.
#[async_trait]
pub trait MetaStore: Send + Sync + Debug {
    /// The value of a key. Sees every transaction whose `commit` has returned.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError>;

    /// Evaluates the guards and applies the operations as one atomic step, durable when this returns.
    ///
    /// Refuses a transaction that breaks a rule of [`Txn::check`]. `Conflict` names the first guard that did not hold.
    /// Nothing was changed in either case. After any other error, and when the future is dropped, the transaction may or
    /// may not have been applied.
    async fn commit(&self, txn: Txn) -> Result<(), MetaError>;

    /// The first pairs of the span, ascending by key, as of one moment: sees every transaction whose `commit` has
    /// returned. [`Page::rest`] is the next span to scan; only a page without it is the last one.
    async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError>;

    /// Everything as of this moment. Sees every transaction whose `commit` has returned, and none that begins later.
    async fn snapshot(&self) -> Result<Arc<dyn MetaSnapshot>, MetaError>;

    /// The tally of all pairs of a class (`tally::class`), kept by a store that can lose some. None: it can't lose any.
    ///
    /// # Errors
    /// The store can't say any more.
    async fn tally(&self, class: &str) -> Result<Option<Tally>, MetaError>;

    /// The error of a class whose pairs do not add up.
    fn incomplete(&self, class: &str, expected: Tally, found: Tally) -> MetaError {
        let reason = format!("{} records are there of {}, or others than were written", found.pairs, expected.pairs);
        MetaError::Corrupt { key: class.to_owned(), reason }
    }

    /// Most guards, and most operations, that one transaction may have (etcd: 128 of each). Callers split their work at
    /// this number.
    fn max_operations(&self) -> usize;
}

/// A store as it was at one moment. While it lives the store keeps what has changed since, so it should not live long.
#[async_trait]
pub trait MetaSnapshot: Send + Sync + Debug {
    /// The value that a key had.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError>;

    /// The first pairs of the span, as [`MetaStore::scan`] gives them.
    async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError>;
}

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

mod backup;
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
mod page;
pub mod redb;
mod span;
mod store;
mod tally;
mod txn;

pub use self::{
    backup::{CatalogSnapshot, RestoredCatalog},
    bounds::StoredBounds,
    catalog::{Catalog, CatalogTxn},
    epoch::Epoch,
    error::MetaError,
    load::Contents,
    memory::MemoryStore,
    page::{Page, PageLimit},
    redb::RedbStore,
    span::Span,
    store::{MetaSnapshot, MetaStore},
    tally::Tally,
    txn::{Expected, Guard, Op, Txn},
};

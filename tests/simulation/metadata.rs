//! A metadata store that is slow and fails: before a commit, and after it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datacoord::{
    error::ErrorKind,
    meta::{MemoryStore, MetaError, MetaSnapshot, MetaStore, Page, PageLimit, Span, Tally, Txn},
};

use crate::{
    journal::Journal,
    power::{Fate, Plug, Sky, pass_time},
};

/// The pairs as one process reaches them. The pairs themselves outlive every process.
#[derive(Debug)]
pub struct Metadata {
    pub pairs: Arc<MemoryStore>,
    pub sky: Arc<Sky>,
    pub plug: Arc<Plug>,
    pub journal: Journal,
}

impl Metadata {
    fn away(&self, action: &'static str) -> MetaError {
        self.journal.saw("metadata: an error");
        MetaError::Store { action, reason: "the metadata store is away".to_owned(), kind: ErrorKind::Transient }
    }

    async fn arrive(&self, action: &'static str, writes: bool) -> Result<Fate, MetaError> {
        self.plug.pass().await;
        pass_time(&self.sky).await;
        self.plug.pass().await;
        match self.sky.fate(writes) {
            Fate::Error => Err(self.away(action)),
            fate => Ok(fate),
        }
    }
}

#[async_trait]
impl MetaStore for Metadata {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        self.arrive("read", false).await?;
        self.pairs.get(key).await
    }

    async fn commit(&self, txn: Txn) -> Result<(), MetaError> {
        let fate = self.arrive("commit", true).await?;
        let done = self.pairs.commit(txn).await;
        // A process that is killed here has committed and does not know.
        self.plug.pass().await;
        pass_time(&self.sky).await;
        if done.is_ok() && fate == Fate::AnswerLost {
            self.journal.saw("metadata: an answer lost");
            return Err(self.away("commit"));
        }
        done
    }

    async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError> {
        self.arrive("read", false).await?;
        self.pairs.scan(span, limit).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn MetaSnapshot>, MetaError> {
        self.pairs.snapshot().await
    }

    async fn tally(&self, class: &str) -> Result<Option<Tally>, MetaError> {
        self.pairs.tally(class).await
    }

    fn max_operations(&self) -> usize {
        // As etcd, so that long changes take several transactions.
        128
    }
}

//! Moments that are hard to meet: queries while rows move from memory to a segment, and a change of the catalog whose answer
//! never comes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use async_trait::async_trait;
use bytes::Bytes;
use datacoord::{
    coordinator::Condition,
    error::ErrorKind,
    meta::{MemoryStore, MetaError, MetaStore, Page, PageLimit, Span, Tally, Txn},
};
use tokio::task::JoinSet;

use crate::{
    kit::within,
    world::{Process, World},
};

const BOOK: &str = "book";

/// Asks again and again until the flushes are over. Rows are there already when it begins, and none goes.
async fn keep_asking(process: Process, over: Arc<AtomicBool>) -> usize {
    let mut asked = 0;
    let mut last = 0;
    while !over.load(SeqCst) {
        let keys = process.keys(BOOK).await;
        let whole: Vec<i64> = (0..keys.len() as i64).collect();
        assert_eq!(keys, whole, "each row once");
        assert!(keys.len() >= last, "{} rows after {last}", keys.len());
        (last, asked) = (keys.len(), asked + 1);
    }
    asked
}

#[tokio::test]
async fn queries_beside_flushes_see_every_row_once() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.insert(BOOK, 0..10).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut askers = JoinSet::new();
    for _ in 0..6 {
        askers.spawn(keep_asking(process.clone(), Arc::clone(&over)));
    }
    for round in 1..30 {
        process.segment(BOOK, round * 10..round * 10 + 10).await;
    }
    over.store(true, SeqCst);
    let asked: usize = within("the askers", askers.join_all()).await.into_iter().sum();
    assert!(asked > 30, "asked {asked} times");
    process.stop().await;
}

/// Carries a change out and answers with an error, once it was told to; afterwards every change fails, as after an error of
/// the disk.
#[derive(Debug, Default)]
struct Unanswered {
    inner: MemoryStore,
    is_near: AtomicBool,
    is_broken: AtomicBool,
}

impl Unanswered {
    fn error() -> MetaError {
        MetaError::Store { action: "commit", reason: "the answer is lost".to_owned(), kind: ErrorKind::Transient }
    }
}

#[async_trait]
impl MetaStore for Unanswered {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        self.inner.get(key).await
    }

    async fn commit(&self, txn: Txn) -> Result<(), MetaError> {
        if self.is_broken.load(SeqCst) {
            return Err(Self::error());
        }
        // The commit of a compaction has segments, their logs, and the plan. Nothing else is as large here.
        let is_meant = txn.ops.len() > 4 && self.is_near.load(SeqCst);
        self.inner.commit(txn).await?;
        if is_meant {
            self.is_broken.store(true, SeqCst);
            return Err(Self::error());
        }
        Ok(())
    }

    async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError> {
        self.inner.scan(span, limit).await
    }

    async fn tally(&self, class: &str) -> Result<Option<Tally>, MetaError> {
        self.inner.tally(class).await
    }

    fn max_operations(&self) -> usize {
        self.inner.max_operations()
    }
}

/// Nobody knows whether the compaction took effect. So its objects stay, those of the sources too, also when garbage is
/// collected a month later, and the restart shows which of them count.
#[tokio::test]
async fn objects_stay_if_the_answer_to_a_commit_is_lost() {
    let mut world = World::without_automatic_compaction();
    let meta = Arc::new(Unanswered::default());
    world.meta = Some(Arc::clone(&meta) as Arc<dyn MetaStore>);
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    meta.is_near.store(true, SeqCst);
    process.compact(BOOK).await;
    within("the lost answer", async {
        while process.standalone.health().condition() != Condition::Failed {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let reasons = process.standalone.health().reasons().join("\n");
    assert!(reasons.contains("the answer is lost"), "{reasons}");
    world.clock.advance(std::time::Duration::from_secs(30 * 24 * 3600));
    assert!(process.coordinator.collect_garbage().await.is_err());
    // Rows of the sources, which memory still shows.
    assert_eq!(process.keys(BOOK).await, (0..20).collect::<Vec<_>>());
    process.stop().await;

    meta.is_broken.store(false, SeqCst);
    meta.is_near.store(false, SeqCst);
    let process = world.start().await;
    assert_eq!(process.segments(BOOK).await.len(), 1, "it took effect");
    assert_eq!(process.keys(BOOK).await, (0..20).collect::<Vec<_>>());
    process.stop().await;
}

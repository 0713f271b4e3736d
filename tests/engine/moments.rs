//! Moments that are hard to meet: reads while rows move from memory to a segment, and a change of the catalog whose answer
//! never comes.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use datacoord::{
    coordinator::Condition,
    error::ErrorKind,
    meta::{MemoryStore, MetaError, MetaSnapshot, MetaStore, Page, PageLimit, Span, Tally, Txn},
    standalone::CollectionName,
};
use rstest::rstest;
use tokio::{sync::Notify, task::JoinSet};

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

/// Counts the rows at every change of the catalog. One of them is the commit of the flush, whose rows are in memory still:
/// the number of such moments is returned.
async fn count_at_changes(process: Process, meta: Arc<Watched>, rows: i64, over: Arc<AtomicBool>) -> usize {
    let cell = process.standalone.resolve(CollectionName::new("", BOOK)).unwrap();
    let before = cell.live().len();
    let mut in_both = 0;
    loop {
        meta.stored.notified().await;
        if over.load(SeqCst) {
            return in_both;
        }
        let is_in_both = cell.live().len() > before && process.standalone.ingest_stats().unflushed_segments > 0;
        in_both += usize::from(is_in_both);
        assert_eq!(process.count(BOOK).await, rows);
    }
}

/// A query shows a row of each key, so it would hide rows that are there twice. A count does not.
#[tokio::test]
async fn a_count_between_the_commit_of_a_flush_and_its_end_sees_every_row_once() {
    let mut world = World::without_automatic_compaction();
    let meta = Arc::new(Watched::default());
    world.meta = Some(Arc::clone(&meta) as Arc<dyn MetaStore>);
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    let mut in_both = 0;
    for rows in [10, 20, 30] {
        process.insert(BOOK, rows - 10..rows).await;
        let over = Arc::new(AtomicBool::new(false));
        let counter = count_at_changes(process.clone(), Arc::clone(&meta), rows, Arc::clone(&over));
        let counter = tokio::spawn(counter);
        process.flush(BOOK).await;
        over.store(true, SeqCst);
        meta.stored.notify_one();
        in_both += within("the counter", counter).await.unwrap();
    }
    assert!(in_both > 0, "no count came between a commit and its end");
    process.stop().await;
}

/// Polls a call at most so many times. Its output, if it has ended.
async fn polled<T>(mut call: Pin<&mut impl Future<Output = T>>, times: usize) -> Option<T> {
    let mut left = times;
    poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// More awaits than any read has.
const MOST_POLLS: usize = 200;

/// While the read pauses, its rows are flushed, merged with others, and the garbage of it goes.
#[rstest]
#[tokio::test]
async fn a_read_that_pauses_at_any_await_sees_every_row_once(#[values(true, false)] counts: bool) {
    let mut world = World::without_automatic_compaction();
    world.config.gc.enabled = false;
    world.config.gc.drop_tolerance = Duration::ZERO;
    world.config.gc.missing_tolerance = Duration::ZERO;
    let process = world.start().await;
    for polls in 1..=MOST_POLLS {
        let name = format!("c{polls}");
        process.create(&name, &[]).await;
        process.segment(&name, 0..10).await;
        process.insert(&name, 10..20).await;
        let read = async {
            match counts {
                true => process.count(&name).await,
                false => {
                    let keys = process.keys(&name).await;
                    assert_eq!(keys, (0..20).collect::<Vec<_>>(), "paused at poll {polls}");
                    keys.len() as i64
                }
            }
        };
        let mut read = pin!(read);
        let seen = polled(read.as_mut(), polls).await;
        process.flush(&name).await;
        process.ended(process.compact(&name).await).await;
        process.coordinator.collect_garbage().await.unwrap();
        if let Some(seen) = seen {
            assert_eq!(seen, 20);
            process.clone().stop().await;
            return;
        }
        assert_eq!(within("the read", read).await, 20, "paused at poll {polls}");
    }
    panic!("the read had not ended after {MOST_POLLS} polls");
}

/// Metadata in memory that tells of each change. Once it was told to, it carries a change out and answers with an error;
/// afterwards every change fails, as after an error of the disk.
#[derive(Debug, Default)]
struct Watched {
    inner: MemoryStore,
    /// Told of each change that is durable, before its caller knows.
    stored: Notify,
    is_near: AtomicBool,
    is_broken: AtomicBool,
}

impl Watched {
    fn error() -> MetaError {
        MetaError::Store { action: "commit", reason: "the answer is lost".to_owned(), kind: ErrorKind::Transient }
    }
}

#[async_trait]
impl MetaStore for Watched {
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
        self.stored.notify_one();
        if is_meant {
            self.is_broken.store(true, SeqCst);
            return Err(Self::error());
        }
        Ok(())
    }

    async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError> {
        self.inner.scan(span, limit).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn MetaSnapshot>, MetaError> {
        self.inner.snapshot().await
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
    let meta = Arc::new(Watched::default());
    world.meta = Some(Arc::clone(&meta) as Arc<dyn MetaStore>);
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    meta.is_near.store(true, SeqCst);
    process.compact(BOOK).await;
    within("the lost answer", async {
        while !meta.is_broken.load(SeqCst) {
            tokio::task::yield_now().await;
        }
        process.coordinator.idle().await;
    })
    .await;
    assert_eq!(process.standalone.health().condition(), Condition::Failed);
    let reasons = process.standalone.health().reasons().join("\n");
    assert!(reasons.contains("the answer is lost"), "{reasons}");
    world.clock.advance(Duration::from_secs(30 * 24 * 3600));
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

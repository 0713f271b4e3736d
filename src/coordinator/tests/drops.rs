//! Drops and truncations of more segments than one transaction takes: all or nothing for readers, and over a restart.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rstest::rstest;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{super::*, world::*};
use crate::{
    error::{Classify, ErrorKind},
    meta::{Catalog, MetaError, MetaSnapshot, MetaStore, Page, PageLimit, Span, Tally, Txn, memory::MemoryStore},
    model::{Collection, Segment},
    standalone::{CollectionName, Rows, Standalone, StandaloneError},
};

const NAME: CollectionName<'static> = CollectionName { database: "default", name: "c" };
const SEGMENTS: i64 = 20;
/// Ten in each segment, and five that are not flushed.
const GOING: u64 = 205;

/// Metadata that asks before each transaction of a drop whether to store it, and again when it is stored. After
/// a no it answers every transaction with an error, like the store of a process that is about to end.
#[derive(Debug)]
struct Asking {
    inner: Arc<MemoryStore>,
    asked: Mutex<Option<Asked>>,
    has_ended: AtomicBool,
}

/// Gets a place for the answer.
type Asked = mpsc::Sender<oneshot::Sender<bool>>;

impl Asking {
    fn over(inner: &Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), asked: Mutex::default(), has_ended: AtomicBool::new(false) })
    }

    /// From now on it asks.
    fn ask(&self) -> mpsc::Receiver<oneshot::Sender<bool>> {
        let (asked, questions) = mpsc::channel(1);
        *self.asked.lock() = Some(asked);
        questions
    }

    async fn may_go_on(&self) -> bool {
        let Some(asked) = self.asked.lock().clone() else { return true };
        let (reply, answer) = oneshot::channel();
        // A test that is over asks no more.
        asked.send(reply).await.is_err() || answer.await.unwrap_or(true)
    }
}

#[async_trait]
impl MetaStore for Asking {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        self.inner.get(key).await
    }

    async fn commit(&self, txn: Txn) -> Result<(), MetaError> {
        // A flush has three.
        let has_several = txn.ops.len() > 3;
        if has_several && !self.may_go_on().await {
            self.has_ended.store(true, SeqCst);
        }
        if self.has_ended.load(SeqCst) {
            let reason = "the test says so".to_owned();
            return Err(MetaError::Store { action: "commit", reason, kind: ErrorKind::Transient });
        }
        self.inner.commit(txn).await?;
        if has_several {
            self.may_go_on().await;
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

#[derive(Debug, Clone, Copy, PartialEq)]
enum Going {
    Collection,
    Partition,
    Rows,
}

impl Going {
    /// The rows of other partitions, which stay.
    fn staying(self) -> u64 {
        if self == Self::Partition { 3 } else { 0 }
    }

    async fn prepare(self, process: &Standalone, cell: &Arc<CollectionCell>) {
        let partition = if self == Self::Partition { "p" } else { "" };
        if self == Self::Partition {
            process.create_partition(NAME, partition).await.unwrap();
            process.insert(cell, "", rows(1000..1003)).await.unwrap();
        }
        for n in 0..SEGMENTS {
            process.flushed(cell, partition, n * 10..n * 10 + 10).await;
        }
        process.insert(cell, partition, rows(200..205)).await.unwrap();
    }

    async fn call(self, process: &Arc<Standalone>) -> Result<(), StandaloneError> {
        match self {
            Self::Collection => process.drop_collection(NAME).await,
            Self::Partition => process.drop_partition(NAME, "p").await,
            Self::Rows => process.truncate_collection(NAME).await,
        }
    }
}

/// Says yes to every further question.
fn answer(mut questions: mpsc::Receiver<oneshot::Sender<bool>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(reply) = questions.recv().await {
            reply.send(true).unwrap();
        }
    })
}

/// Rows of a reader that has found the collection before; none once it is dropped.
async fn seen(process: &Standalone, cell: &CollectionCell) -> u64 {
    match process.count(cell, Rows::default()).await {
        Ok(rows) => rows,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => panic!("{error}"),
    }
}

/// A change that is under way, in a process whose store asks.
struct UnderWay {
    process: Arc<Standalone>,
    cell: Arc<CollectionCell>,
    questions: mpsc::Receiver<oneshot::Sender<bool>>,
    call: JoinHandle<Result<(), StandaloneError>>,
}

impl UnderWay {
    async fn begin(world: &World, going: Going) -> Self {
        let meta = Asking::over(&world.meta);
        let process = world.start_over(meta.clone()).await;
        let cell = World::collection(&process, false).await;
        going.prepare(&process, &cell).await;
        assert_eq!(seen(&process, &cell).await, GOING + going.staying());
        let questions = meta.ask();
        let call = {
            let process = Arc::clone(&process);
            tokio::spawn(async move { going.call(&process).await })
        };
        Self { process, cell, questions, call }
    }
}

/// Gives work that should wait every chance to be done too early.
async fn tempt(process: &Standalone) {
    for _ in 0..500 {
        process.ingest().tick().await.unwrap();
    }
}

/// The drop takes three transactions. The process ends before one of them, or after all.
#[rstest]
#[tokio::test]
async fn a_drop_is_seen_whole_and_finished_by_the_next_start(
    #[values(Going::Collection, Going::Partition, Going::Rows)] going: Going,
    #[values(0, 1, 2, 3)] stored: usize,
) {
    let world = World::with_max_operations(8);
    let UnderWay { process, cell, mut questions, mut call } = UnderWay::begin(&world, going).await;
    let staying = going.staying();
    let mut asked = 0;
    let called = loop {
        let reply = tokio::select! {
            biased;
            reply = questions.recv() => reply.unwrap(),
            called = &mut call => break called.unwrap(),
        };
        // Before each transaction, and after it.
        let durable = asked / 2;
        let rows = seen(&process, &cell).await;
        // Between the first transaction and its answer nothing is seen of it yet.
        let expected = if asked < 2 { GOING + staying } else { staying };
        assert_eq!(rows, expected, "question {asked}");
        reply.send(asked % 2 == 1 || durable < stored).unwrap();
        asked += 1;
    };
    assert_eq!(called.is_ok(), stored == 3, "{called:?}");
    let rows = if stored == 0 { GOING + staying } else { staying };
    assert_eq!(seen(&process, &cell).await, rows, "in the process that was interrupted");
    drop(questions);
    process.shutdown().await;

    for restart in ["first", "second"] {
        let process = world.start().await;
        let left = process.coordinator().core.collections.live_or_tombstone(cell.id).unwrap();
        assert_eq!(seen(&process, &left).await, rows, "{restart} restart");
        let of_ten = |segments: &[Segment]| segments.iter().filter(|s| s.rows == 10).count();
        let expected = if stored == 0 { (20, 0) } else { (0, 20) };
        assert_eq!((of_ten(&left.live()), of_ten(&left.dropped())), expected, "{restart} restart");
        process.shutdown().await;
    }
}

/// Otherwise its row would be seen together with those that go, and then without them.
#[tokio::test]
async fn a_write_waits_for_a_truncation() {
    let world = World::with_max_operations(8);
    let UnderWay { process, cell, mut questions, call } = UnderWay::begin(&world, Going::Rows).await;
    let first = questions.recv().await.unwrap();
    let writing = {
        let (process, cell) = (Arc::clone(&process), Arc::clone(&cell));
        tokio::spawn(async move { process.insert(&cell, "", rows(7..8)).await.map(drop) })
    };
    tempt(&process).await;
    assert_eq!(seen(&process, &cell).await, GOING);
    first.send(true).unwrap();
    let answering = answer(questions);
    call.await.unwrap().unwrap();
    writing.await.unwrap().unwrap();
    assert_eq!(seen(&process, &cell).await, 1);
    process.flush(&cell).await.unwrap();
    assert_eq!((seen(&process, &cell).await, cell.live().len()), (1, 1));
    process.shutdown().await;
    answering.abort();
    let process = world.start().await;
    assert_eq!(process.rows_of(&self::cell(&process)).await, 1);
    process.shutdown().await;
}

/// Memory is ahead of the records meanwhile: a record that is written after its segment was collected would stay.
#[tokio::test]
async fn garbage_collection_waits_for_a_truncation() {
    let mut world = World::with_max_operations(8);
    world.config.gc.enabled = false;
    world.config.gc.drop_tolerance = Duration::ZERO;
    let UnderWay { process, cell, mut questions, call } = UnderWay::begin(&world, Going::Rows).await;
    for _ in ["before the first transaction", "after it"] {
        questions.recv().await.unwrap().send(true).unwrap();
    }
    let second = questions.recv().await.unwrap();
    assert!(cell.live().is_empty());
    let answering = answer(questions);
    let collecting = {
        let process = Arc::clone(&process);
        tokio::spawn(async move { process.coordinator().collect_garbage().await })
    };
    tempt(&process).await;
    second.send(true).unwrap();
    call.await.unwrap().unwrap();
    collecting.await.unwrap().unwrap();
    process.coordinator().collect_garbage().await.unwrap();
    process.shutdown().await;
    answering.abort();
    let process = world.start().await;
    let cell = self::cell(&process);
    assert_eq!((cell.live().len(), cell.dropped().len()), (0, 0));
    process.coordinator().collect_garbage().await.unwrap();
    process.shutdown().await;
}

/// A release that does not know truncations finds the log as after a flush.
#[tokio::test]
async fn the_log_notes_truncated_segments() {
    let world = World::new();
    let (process, cell) = world.with_collection(false).await;
    process.insert(&cell, "", rows(0..5)).await.unwrap();
    process.truncate_collection(NAME).await.unwrap();
    assert_eq!(process.ingest().stats().unflushed_segments, 0);
    let meta = Collection { truncated_before: Default::default(), ..Collection::clone(&cell.meta()) };
    process.shutdown().await;
    let catalog = Catalog::open(world.meta.clone()).await.unwrap();
    let mut txn = catalog.txn();
    txn.put_collection(&meta);
    txn.commit().await.unwrap();
    let process = world.start().await;
    assert_eq!(process.rows_of(&self::cell(&process)).await, 0);
    process.shutdown().await;
}

#[tokio::test]
async fn a_store_of_small_transactions_takes_drops_of_many_segments() {
    let world = World::with_max_operations(8);
    let (process, cell) = world.with_collection(false).await;
    for n in 0..20 {
        process.flushed(&cell, "", n * 10..n * 10 + 10).await;
    }
    process.truncate_collection(NAME).await.unwrap();
    assert_eq!((process.rows_of(&cell).await, cell.live().len(), cell.dropped().len()), (0, 0, 20));
    for n in 0..20 {
        process.flushed(&cell, "", n * 10..n * 10 + 10).await;
    }
    process.drop_collection(NAME).await.unwrap();
    assert_eq!((cell.live().len(), cell.dropped().len()), (0, 40));
    process.shutdown().await;
    world.start().await.shutdown().await;
}

#[tokio::test]
async fn a_start_finishes_a_drop_that_ended_half_way() {
    let world = World::with_max_operations(8);
    let (process, cell) = world.with_collection(false).await;
    for n in 0..20 {
        process.flushed(&cell, "", n * 10..n * 10 + 10).await;
    }
    process.shutdown().await;
    let catalog = Catalog::open(world.meta.clone()).await.unwrap();
    let mut txn = catalog.txn();
    txn.put_collection(&Collection { dropped: true, ..Collection::clone(&cell.meta()) });
    txn.commit().await.unwrap();

    let process = world.start().await;
    let left = process.coordinator().core.collections.live_or_tombstone(cell.id).unwrap();
    assert_eq!((left.live().len(), left.dropped().len()), (0, 20));
    process.shutdown().await;
}

//! Merges that do not come to their end: they say why and leave nothing behind.

use futures::stream::BoxStream;
use rstest::rstest;

use super::*;
use crate::{
    clock::SystemClock,
    config::StorageConfig,
    error::Classify,
    kit::gate::{Fault, Gate, Operation},
    storage::{Listed, Object, StorageBackend, StorageError},
};

/// Two segments of two batches, with deletes.
async fn world() -> World {
    let mut world = World::new(DataType::Int64);
    for segment in 1..=2 {
        let rows = |from: i64| (from..from + 50).map(|n| int(segment * 1000 + n, n, 100)).collect::<Vec<_>>();
        world.segment(segment, &[rows(0), rows(50)], &[vec![delete(3, 200), delete(segment, 200)]]).await;
    }
    world
}

/// The world with a backend that fails on demand.
fn faulty(world: &mut World) -> Arc<Gate> {
    let backend = Gate::new(world.store.backend());
    let config = StorageConfig { retry_backoff: Duration::ZERO, ..Default::default() };
    world.store = SegmentStore::with_backend(backend.clone(), &config);
    backend
}

#[tokio::test]
async fn cancelled_before_it_begins() {
    let world = world().await;
    let before = world.objects().await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = world.compactor().run(&world.task(), &ProgressSink::new(), &cancel).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(world.objects().await, before);
}

#[rstest]
#[tokio::test]
async fn cancelled_in_the_middle_leaves_no_objects(#[values(1, 2, 3, 6)] at: u64) {
    let mut world = world().await;
    let before = world.objects().await;
    let token = CancellationToken::new();
    let gate = Gate::new(world.store.backend());
    let cancel = token.clone();
    gate.before(Operation::Put, at, move || cancel.cancel());
    world.store = SegmentStore::with_backend(gate.clone(), &StorageConfig::default());
    let error = world.compactor().run(&world.task(), &ProgressSink::new(), &token).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    assert!(gate.count(Operation::Put) >= at);
    assert_eq!(world.objects().await, before);
}

/// Lets a byte a second be moved from the moment on when the column of documents is read, which only the second pass does.
#[derive(Debug)]
struct SlowFrom {
    inner: Arc<dyn StorageBackend>,
    slow: Arc<Throttle>,
    begun: CancellationToken,
}

impl SlowFrom {
    fn look_at(&self, name: &str) {
        if name.contains("/102/") {
            self.slow.set(1);
            self.begun.cancel();
        }
    }
}

#[async_trait::async_trait]
impl StorageBackend for SlowFrom {
    async fn get_range(&self, name: &str, range: std::ops::Range<u64>) -> Result<bytes::Bytes, StorageError> {
        self.look_at(name);
        self.inner.get_range(name, range).await
    }

    async fn size(&self, name: &str) -> Result<u64, StorageError> {
        self.inner.size(name).await
    }

    async fn put(&self, objects: &[Object]) -> Result<(), StorageError> {
        self.inner.put(objects).await
    }

    async fn get(&self, name: &str) -> Result<bytes::Bytes, StorageError> {
        self.look_at(name);
        self.inner.get(name).await
    }

    fn batch(&self) -> usize {
        self.inner.batch()
    }

    async fn copy(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.inner.copy(from, to).await
    }

    async fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.inner.delete(name).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StorageError>> {
        self.inner.list(prefix)
    }

    async fn clear_staging(&self) -> Result<u64, StorageError> {
        self.inner.clear_staging().await
    }
}

#[tokio::test]
async fn cancelled_while_it_is_throttled_leaves_no_objects() {
    let mut world = world().await;
    let before = world.objects().await;
    let throttle = Arc::new(Throttle::new(Arc::new(SystemClock::new()), 0));
    let (token, slow) = (CancellationToken::new(), Arc::clone(&throttle));
    let begun = CancellationToken::new();
    let slow_from = SlowFrom { inner: world.store.backend(), slow, begun: begun.clone() };
    world.store = SegmentStore::with_backend(Arc::new(slow_from), &StorageConfig::default());
    let compactor = world.compactor().throttled(throttle);
    let (task, progress, cancel) = (world.task(), ProgressSink::new(), token.clone());
    let run = tokio::spawn(async move { compactor.run(&task, &progress, &cancel).await });
    begun.cancelled().await;
    token.cancel();
    let outcome = tokio::time::timeout(Duration::from_secs(60), run).await.expect("it would take hours").unwrap();
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(world.objects().await, before);
}

/// Columns that are large enough are written as soon as they are done; none is begun after the cancellation.
#[tokio::test]
async fn cancelled_between_columns_writes_no_more() {
    let mut world = World::new(DataType::Int64);
    let rows = |from: i64| (from..from + 150_000).map(|n| int(n, n, 100)).collect::<Vec<_>>();
    world.segment(1, &[rows(0), rows(200_000)], &[vec![delete(5, 200), delete(200_007, 200)]]).await;
    world.binlog.max_bytes = world.inputs[0].logs.memory_bytes() / 2;
    let before = world.objects().await;
    let token = CancellationToken::new();
    let gate = Gate::new(world.store.backend());
    let cancel = token.clone();
    gate.before(Operation::Put, 1, move || cancel.cancel());
    world.store = SegmentStore::with_backend(gate.clone(), &StorageConfig::default());
    let error = world.compactor().run(&world.task(), &ProgressSink::new(), &token).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    // Both columns of vectors are large and may be on their way; the others never got there.
    assert!(gate.count(Operation::Put) <= 2);
    assert_eq!(world.objects().await, before);
}

#[rstest]
#[case::refused(Fault::Refused, ErrorKind::Precondition)]
#[case::down(Fault::Unavailable, ErrorKind::Transient)]
#[case::torn(Fault::Torn, ErrorKind::Transient)]
#[case::answers_lost(Fault::AnswerLost, ErrorKind::Transient)]
#[tokio::test]
async fn a_write_that_fails_leaves_no_objects(
    #[case] fault: Fault,
    #[case] kind: ErrorKind,
    #[values(1, 2, 5, 6)] nth: u64,
) {
    let mut world = world().await;
    let before = world.objects().await;
    let backend = faulty(&mut world);
    backend.fail_from(Some(Operation::Put), nth, fault);
    let error = world.run().await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(world.objects().await, before);
}

#[tokio::test]
async fn after_passing_trouble_the_outcome_is_complete() {
    let mut world = world().await;
    let backend = faulty(&mut world);
    backend.fail(Some(Operation::Put), 2, Fault::Torn);
    backend.fail(Some(Operation::Get), 3, Fault::Unavailable);
    let outcome = world.run().await.unwrap();
    let rows = world.read(&outcome.outputs[0]).await.concat();
    assert_eq!(rows.len(), 200 - 2 * 3);
}

/// Every input object in turn: missing, cut in half, or with a byte of its magic changed.
#[tokio::test]
async fn a_bad_input_is_named_and_left_alone() {
    let mut world = world().await;
    world.forget_checksums();
    let before = world.objects().await;
    assert_eq!(before.len(), 2 * (2 * 5 + 1));
    for name in &before {
        let path: LogPath = name.parse().unwrap();
        let good = world.store.get(&path).await.unwrap();
        let mut magic = good.to_vec();
        magic[2] ^= 1;
        for bad in [good.slice(..good.len() / 2), magic.into()] {
            world.store.put(&path, bad.clone()).await.unwrap();
            let error = world.run().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains(name) && error.to_string().contains("byte"), "{error}");
            assert_eq!(world.objects().await, before, "{name}");
            assert_eq!(world.store.get(&path).await.unwrap(), bad);
        }
        world.store.delete(&path).await.unwrap();
        let error = world.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(name), "{error}");
        world.store.put(&path, good).await.unwrap();
    }
    world.run().await.unwrap();
}

#[tokio::test]
async fn an_object_of_other_rows_than_the_metadata_says() {
    let mut world = world().await;
    world.forget_checksums();
    let field = FieldId(102);
    let files = |world: &World, segment: usize| world.inputs[segment].logs.field(field).to_vec();
    let other = LogPath::insert(world.ids(SegmentId(1)), field, files(&world, 0)[0].id);
    world.segment(3, &[vec![int(1, 1, 1)]], &[]).await;
    let small = LogPath::insert(world.ids(SegmentId(3)), field, files(&world, 2)[0].id);
    world.store.put(&other, world.store.get(&small).await.unwrap()).await.unwrap();
    let error = world.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.to_string(), format!("{other}: holds 1 rows, metadata says 50"));
}

/// Without deletes batches are copied; that is no reason to copy the object of another field.
#[tokio::test]
async fn an_object_of_another_type_is_not_copied() {
    let mut world = World::new(DataType::Int64);
    world.segment(1, &[vec![int(1, 1, 1), int(2, 2, 2)]], &[]).await;
    world.forget_checksums();
    let path = |field| {
        LogPath::insert(world.ids(SegmentId(1)), FieldId(field), world.inputs[0].logs.field(FieldId(field))[0].id)
    };
    world.store.put(&path(102), world.store.get(&path(100)).await.unwrap()).await.unwrap();
    let error = world.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().starts_with(&format!("{}: corrupt at byte", path(102))), "{error}");
}

#[rstest]
#[case::a_log_is_missing(|logs: &mut SegmentLogs| logs.insert[2].1.truncate(1), "segment 1: field 100 has no insert log number 1")]
#[case::a_log_too_many(|logs: &mut SegmentLogs| {
    let extra = logs.insert[2].1[0].clone();
    logs.insert[2].1.push(extra);
}, "segment 1: field 100 has 3 insert logs, others have 2")]
#[case::a_field_is_missing(|logs: &mut SegmentLogs| logs.insert.truncate(4), "segment 1: field 102 has no insert log number 0")]
#[case::rows_beyond_the_format(|logs: &mut SegmentLogs| logs.insert.iter_mut().for_each(|(_, f)| f[0].rows = u64::MAX), "segment 1: field 0 has an insert log of 18446744073709551615 rows, the format's limit is 2147483647")]
#[case::bytes_beyond_the_format(|logs: &mut SegmentLogs| logs.insert[4].1[1].bytes = 1 << 31, "segment 1: field 102 has an insert log of 2147483648 bytes, the format's limit is 2147483647")]
#[case::the_first_field_is_empty(|logs: &mut SegmentLogs| logs.insert[0].1.clear(), "segment 1: field 1 has 2 insert logs, others have 0")]
#[tokio::test]
async fn log_lists_that_do_not_fit_together(#[case] spoil: fn(&mut SegmentLogs), #[case] expected: &str) {
    let mut world = world().await;
    spoil(&mut world.inputs[0].logs);
    let error = world.run().await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Corrupt, expected));
}

#[tokio::test]
async fn a_delta_log_of_the_other_key_type() {
    let mut world = World::new(DataType::Int64);
    let odd = Delete { key: PrimaryKey::Str("a".into()), ts: ts(1) };
    world.segment(1, &[vec![int(1, 1, 1)]], &[vec![odd]]).await;
    let error = world.run().await.unwrap_err();
    let path = LogPath::delta(world.ids(SegmentId(1)), world.inputs[0].logs.delta[0].id);
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.to_string(), format!("{path}: delete of key \"a\", but keys of the collection are Int64"));
}

#[tokio::test]
async fn a_task_that_is_not_its_plan() {
    let world = world().await;
    let mut fewer = world.task();
    fewer.inputs.pop();
    let mut swapped = world.task();
    swapped.inputs.reverse();
    let mut elsewhere = world.task();
    elsewhere.plan.group.partition = PartitionId(3);
    for task in [fewer, swapped, elsewhere] {
        assert_eq!(failure(&world, task).await, ErrorKind::Internal);
    }
}

async fn failure(world: &World, task: CompactionTask) -> ErrorKind {
    let run = world.compactor();
    run.run(&task, &ProgressSink::new(), &CancellationToken::new()).await.unwrap_err().kind()
}

#[tokio::test]
async fn when_the_ids_are_used_up_nothing_is_left() {
    let world = world().await;
    let before = world.objects().await;
    let task = CompactionTask { ids: IDS.start..IDS.start + 5, ..world.task() };
    let error = world.compactor().run(&task, &ProgressSink::new(), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient, "another attempt has more ids");
    assert_eq!(world.objects().await, before);
}

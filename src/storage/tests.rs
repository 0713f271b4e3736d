//! One suite for every backend, then the store, the segment writer and the reader on top.

use std::{collections::HashMap, fs::File, path::Path, sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, AsArray, BinaryArray, FixedSizeBinaryArray, Int64Array, StringArray},
    compute::concat_batches,
    datatypes::Int64Type,
    record_batch::RecordBatch,
};
use bytes::Bytes;
use futures::TryStreamExt;
use proptest::prelude::*;
use rstest::rstest;

use super::{
    bucket::Bucket,
    direct::{Buffers, Direct},
    local::{LocalFiles, Step},
    *,
};
use crate::{
    binlog::{InsertLog, LogIds, memory_size},
    config::{BinlogConfig, StorageConfig, StorageKind},
    error::{Classify, ErrorKind},
    model::{
        CollectionId, CollectionSchema, DataType, Delete, Field, FieldId, LogId, PartitionId, PkRange, PrimaryKey,
        SegmentId, SegmentLogs, Timestamp,
    },
};

const IDS: LogIds = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(3) };

fn config() -> StorageConfig {
    StorageConfig { retry_backoff: Duration::ZERO, ..StorageConfig::default() }
}

fn object(name: &str, bytes: &'static [u8]) -> Object {
    Object { name: name.to_owned(), bytes: Bytes::from_static(bytes), rest: None, pace: None, read_soon: true }
}

async fn names(backend: &dyn Backend, prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = backend.list(prefix).map_ok(|l| l.name).try_collect().await.unwrap();
    names.sort();
    names
}

/// What every backend promises.
#[rstest]
#[case::memory(|_: &Path| Arc::new(Bucket::in_memory()) as Arc<dyn Backend>)]
#[case::local(|dir: &Path| Arc::new(LocalFiles::open(&dir.join("a/b")).unwrap()) as Arc<dyn Backend>)]
#[case::wrapped(|dir: &Path| FaultyBackend::new(Arc::new(LocalFiles::open(dir).unwrap())) as Arc<dyn Backend>)]
#[tokio::test]
async fn backends_behave_alike(#[case] make: fn(&Path) -> Arc<dyn Backend>) {
    let dir = tempfile::tempdir().unwrap();
    let backend = make(dir.path());
    assert_eq!(names(&*backend, "insert_log").await, Vec::<String>::new());
    assert!(matches!(backend.get("insert_log/1").await, Err(StorageError::NotFound { .. })));

    let all = [object("insert_log/1/a", b"one"), object("insert_log/10/b", b""), object("delta_log/1", b"three")];
    backend.put(&all).await.unwrap();
    for Object { name, bytes, .. } in &all {
        assert_eq!(&backend.get(name).await.unwrap(), bytes, "{name}");
        assert_eq!(backend.size(name).await.unwrap(), bytes.len() as u64, "{name}");
    }
    assert_eq!(backend.get_range("delta_log/1", 1..4).await.unwrap(), "hre");
    assert_eq!(backend.get_range("delta_log/1", 0..5).await.unwrap(), "three");
    assert!(matches!(backend.get_range("delta_log/9", 0..1).await, Err(StorageError::NotFound { .. })));
    assert!(matches!(backend.size("delta_log/9").await, Err(StorageError::NotFound { .. })));
    assert_eq!(names(&*backend, "insert_log").await, ["insert_log/1/a", "insert_log/10/b"]);
    assert_eq!(names(&*backend, "insert_log/1").await, ["insert_log/1/a"], "a prefix ends at a slash");
    let listed: Vec<Listed> = backend.list("delta_log").try_collect().await.unwrap();
    assert_eq!((listed[0].bytes, listed[0].modified_ms > 1_600_000_000_000), (5, true));

    // An object that is another one's end behind its own beginning, or nothing but that, or as good as empty.
    for (bytes, range, expected) in [(&b"my "[..], 2..5, "my ree"), (b"", 1..5, "hree"), (b"my ", 5..5, "my ")] {
        let rest = Some(Rest { name: "delta_log/1".to_owned(), range });
        backend.put(&[Object { rest, ..object("delta_log/spliced", bytes) }]).await.unwrap();
        assert_eq!(backend.get("delta_log/spliced").await.unwrap(), expected);
    }
    let rest = |name: &str, end| Some(Rest { name: name.to_owned(), range: 2..end });
    let short = backend.put(&[Object { rest: rest("delta_log/1", 6), ..object("x", b"a") }]).await.unwrap_err();
    assert_eq!((short.kind(), short.to_string().contains("delta_log/1")), (ErrorKind::Corrupt, true), "{short}");
    let none = backend.put(&[Object { rest: rest("delta_log/9", 6), ..object("x", b"a") }]).await.unwrap_err();
    assert_eq!((none.kind(), none.to_string().contains("delta_log/9")), (ErrorKind::Corrupt, true), "{none}");
    assert!(matches!(backend.get("x").await, Err(StorageError::NotFound { .. })), "all or nothing");
    backend.delete("delta_log/spliced").await.unwrap();

    backend.put(&[object("insert_log/1/a", b"replaced")]).await.unwrap();
    backend.copy("insert_log/1/a", "delta_log/2/c").await.unwrap();
    backend.copy("insert_log/1/a", "delta_log/2/c").await.unwrap();
    backend.delete("insert_log/1/a").await.unwrap();
    backend.delete("insert_log/1/a").await.unwrap();
    assert_eq!(backend.get("delta_log/2/c").await.unwrap(), "replaced");
    assert_eq!(names(&*backend, "insert_log").await, ["insert_log/10/b"]);
    assert!(matches!(backend.copy("insert_log/1/a", "x").await, Err(StorageError::NotFound { .. })));
    assert_eq!(backend.clear_staging().await.unwrap(), 0, "nothing is left behind");
}

/// The folder is gone, or is the empty one below a disk that is not mounted: that is no word about any object.
#[rstest]
#[tokio::test]
async fn a_local_store_that_is_away_is_not_an_object_that_is_missing(#[values(true, false)] empty: bool) {
    let dir = tempfile::tempdir().unwrap();
    let (root, away) = (dir.path().join("files"), dir.path().join("away"));
    let backend = LocalFiles::open(&root).unwrap();
    backend.put(&[object("insert_log/1", b"one")]).await.unwrap();
    std::fs::rename(&root, &away).unwrap();
    if empty {
        std::fs::create_dir(&root).unwrap();
    }
    let failures = [
        backend.get("insert_log/1").await.unwrap_err(),
        backend.get_range("insert_log/1", 0..1).await.unwrap_err(),
        backend.size("insert_log/1").await.unwrap_err(),
        backend.put(&[object("insert_log/2", b"two")]).await.unwrap_err(),
        backend.copy("insert_log/1", "insert_log/3").await.unwrap_err(),
        backend.delete("insert_log/1").await.unwrap_err(),
    ];
    for error in failures {
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
        assert!(error.to_string().contains("files is not there"), "{error}");
    }
    if empty {
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "nothing is written into it");
        std::fs::remove_dir(&root).unwrap();
    }
    assert!(!root.exists(), "it is not made again");
    std::fs::rename(&away, &root).unwrap();
    assert_eq!(backend.get("insert_log/1").await.unwrap(), "one");
    assert!(matches!(backend.get("insert_log/2").await, Err(StorageError::NotFound { .. })));
}

/// Bytes move in calls of 256 kB; the disk is given a megabyte at a time, or half of one past the cache.
#[rstest]
#[tokio::test]
async fn local_files_of_many_calls_are_written_copied_and_read_whole(#[values(true, false)] read_soon: bool) {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path()).unwrap();
    let bytes: Bytes = (0..2_600_017u32).map(|i| (i * 7 % 251) as u8).collect();
    let whole = Object { bytes: bytes.clone(), read_soon, ..object("insert_log/1", b"") };
    let rest = Some(Rest { name: "insert_log/1".to_owned(), range: 5..2_600_017 });
    files.put(&[whole]).await.unwrap();
    files.put(&[Object { rest, read_soon, ..object("insert_log/2", b"01234") }]).await.unwrap();
    assert_eq!(files.get("insert_log/1").await.unwrap(), bytes);
    let spliced = files.get("insert_log/2").await.unwrap();
    assert_eq!((&spliced[..5], &spliced[5..]), (&b"01234"[..], &bytes[5..]));
    for range in [0..2_600_017, 1..262_144, 262_143..524_289, 2_600_000..2_600_017, 7..7] {
        let read = files.get_range("insert_log/1", range.start..range.end).await.unwrap();
        assert_eq!(read, bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    let short = files.get_range("insert_log/1", 2_600_000..2_600_018).await.unwrap_err().to_string();
    assert!(short.contains("ends 17 bytes after 2600000"), "{short}");
}

/// Sizes around the buffer's, once as a file system does it that has direct writes and once as one that refuses them.
#[rstest]
fn direct_files_hold_what_was_written(
    #[values(0, 1, 4096, 524_287, 524_288, 524_289, 1_048_576, 1_500_000)] size: usize,
    #[values(false, true)] refused: bool,
) {
    let dir = tempfile::tempdir().unwrap();
    let (path, source) = (dir.path().join("file"), dir.path().join("source"));
    let bytes: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
    let (written, appended) = bytes.split_at(size / 3);
    std::fs::write(&source, appended).unwrap();
    let file = File::create_new(&path).unwrap();
    let buffers = Buffers::default();
    let mut direct = if refused {
        // Not open for writing, so that it refuses.
        Direct::over(&buffers, &file, File::open(&path).unwrap())
    } else if let Some(direct) = Direct::open(&buffers, &file, &path) {
        direct
    } else {
        return eprintln!("not tested: {} has no direct writes", path.display());
    };
    written.chunks(1000).for_each(|part| direct.write(part).unwrap());
    let source = File::open(source).unwrap();
    while direct.append(&source, 100_000).unwrap() > 0 {}
    direct.finish().unwrap();
    assert!(std::fs::read(path).unwrap() == bytes);
}

#[tokio::test]
async fn local_files_leave_no_empty_folders_and_no_staged_files() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path()).unwrap();
    files.put(&[object("insert_log/1/2/3/4/5", b"x"), object("insert_log/1/2/9/4/6", b"y")]).await.unwrap();
    files.delete("insert_log/1/2/3/4/5").await.unwrap();
    assert!(!dir.path().join("insert_log/1/2/3").exists() && dir.path().join("insert_log/1/2/9").exists());
    files.delete("insert_log/1/2/9/4/6").await.unwrap();
    assert!(!dir.path().join("insert_log").exists() && dir.path().exists());

    // What a crash between writing and naming leaves: skipped, never listed, cleared on request.
    std::fs::write(dir.path().join(".staging/0"), "left").unwrap();
    let later = LocalFiles::open(dir.path()).unwrap();
    later.put(&[object("delta_log/1", b"z")]).await.unwrap();
    assert_eq!(names(&later, "").await, ["delta_log/1"]);
    assert_eq!(later.clear_staging().await.unwrap(), 1);
    assert_eq!(later.get("delta_log/1").await.unwrap(), "z");

    // A failed put names the object and leaves nothing staged: the target is a folder.
    std::fs::create_dir_all(dir.path().join("delta_log/7/8")).unwrap();
    let error = later.put(&[object("delta_log/7", b"z")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition, "{error}");
    assert!(error.to_string().contains("delta_log/7"), "{error}");
    assert_eq!(later.clear_staging().await.unwrap(), 0);
}

/// P3: a file is synced before it gets its name, and after that every directory from its own up to the root.
#[tokio::test]
async fn local_files_are_synced_before_a_write_returns() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path()).unwrap();
    let root = dir.path().canonicalize().unwrap();
    let take = || std::mem::take(&mut *files.steps.lock());
    let check = |steps: &[Step], names: &[&str]| {
        for name in names {
            let target = root.join(name);
            let named = steps.iter().position(|s| *s == Step::Named(target.clone())).unwrap();
            for parent in target.ancestors().skip(1).take_while(|a| a.starts_with(&root)) {
                let synced = steps.iter().rposition(|s| *s == Step::Synced(parent.to_owned()));
                assert!(synced.is_some_and(|at| at > named), "{} after {name}", parent.display());
            }
        }
        let first_named = steps.iter().position(|s| matches!(s, Step::Named(_))).unwrap();
        let staged = |s: &&Step| matches!(s, Step::Synced(path) if path.starts_with(root.join(".staging")));
        assert_eq!(steps.iter().take(first_named).filter(staged).count(), names.len());
        let synced: std::collections::BTreeSet<String> = steps.iter().map(|s| format!("{s:?}")).collect();
        assert_eq!(synced.len(), steps.len(), "nothing is synced twice");
    };
    let names = ["insert_log/1/2/3/0/4", "insert_log/1/2/3/1/5", "delta_log/1/2/3/6"];
    files.put(&names.map(|name| object(name, b"x"))).await.unwrap();
    check(&take(), &names);
    files.copy(names[2], "delta_log/1/2/9/6").await.unwrap();
    check(&take(), &["delta_log/1/2/9/6"]);
    // Directories that exist are synced too: an earlier process may have made them and died.
    files.put(&[object("delta_log/1/2/9/7", b"y")]).await.unwrap();
    check(&take(), &["delta_log/1/2/9/7"]);
}

#[tokio::test]
async fn deletes_beside_puts_lose_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path()).unwrap();
    let (one, two) = (files.clone(), files);
    let deleting = tokio::spawn(async move {
        for _ in 0..200 {
            one.put(&[object("delta_log/1/2/3/4", b"gone")]).await.unwrap();
            one.delete("delta_log/1/2/3/4").await.unwrap();
        }
    });
    for at in 0..200 {
        let name = format!("delta_log/1/2/3/{}", at + 10);
        two.put(&[object(&name, b"kept")]).await.unwrap();
        assert_eq!(two.get(&name).await.unwrap(), "kept");
        two.delete(&name).await.unwrap();
    }
    deleting.await.unwrap();
}

fn path(log: i64) -> LogPath {
    LogPath::delta(IDS, LogId(log))
}

#[tokio::test]
async fn only_passing_errors_are_retried_and_not_for_ever() {
    let faulty = FaultyBackend::new(Arc::new(Bucket::in_memory()));
    let store = SegmentStore::with_backend(faulty.clone(), &StorageConfig { max_attempts: 3, ..config() });
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);

    faulty.fail(Some(Operation::Put), 1, Fault::Unavailable);
    faulty.fail(Some(Operation::Put), 2, Fault::AnswerLost);
    store.put(&path(5), Bytes::from_static(b"five")).await.unwrap();
    assert_eq!(store.get(&path(5)).await.unwrap(), "five");
    let put = &store.counters().put;
    assert_eq!((count(&put.requests), count(&put.retries), count(&put.bytes), count(&put.failures)), (1, 2, 4, 0));

    faulty.fail_from(Some(Operation::Get), 2, Fault::Unavailable);
    assert_eq!(store.get(&path(5)).await.unwrap_err().kind(), ErrorKind::Transient);
    assert_eq!(faulty.calls().iter().filter(|(o, _)| *o == Operation::Get).count(), 1 + 3);
    assert_eq!((count(&store.counters().get.retries), count(&store.counters().get.failures)), (2, 1));

    faulty.heal();
    faulty.fail(Some(Operation::Copy), 1, Fault::Refused);
    assert_eq!(store.copy(&path(5), &path(6)).await.unwrap_err().kind(), ErrorKind::Precondition);
    assert_eq!(count(&store.counters().copy.retries), 0);
    assert_eq!(store.get(&path(7)).await.unwrap_err().to_string(), "object delta_log/1/2/3/7 not found");
}

#[tokio::test]
async fn a_torn_put_is_repaired_by_the_retry() {
    let faulty = FaultyBackend::new(Arc::new(Bucket::in_memory()));
    let store = SegmentStore::with_backend(faulty.clone(), &config());
    faulty.fail(None, 1, Fault::Torn);
    store.put(&path(5), Bytes::from_static(b"four")).await.unwrap();
    assert_eq!(store.get(&path(5)).await.unwrap(), "four");
}

/// Lets parts of so many bytes move, so many of them.
#[derive(Debug)]
struct Leave {
    part: Option<u64>,
    parts: parking_lot::Mutex<Vec<u64>>,
    most: usize,
}

impl Leave {
    fn of(part: Option<u64>, most: usize) -> Arc<Self> {
        Arc::new(Self { part, parts: parking_lot::Mutex::default(), most })
    }

    fn taken(&self) -> Vec<u64> {
        std::mem::take(&mut self.parts.lock())
    }
}

#[async_trait::async_trait]
impl Pace for Leave {
    fn part(&self) -> Option<u64> {
        self.part
    }

    async fn take(&self, bytes: u64) -> Result<(), StorageError> {
        let mut parts = self.parts.lock();
        parts.push(bytes);
        if parts.len() > self.most { Err(StorageError::Task("enough".to_owned())) } else { Ok(()) }
    }
}

#[rstest]
#[case::memory(|_: &Path| Arc::new(Bucket::in_memory()) as Arc<dyn Backend>)]
#[case::local(|dir: &Path| Arc::new(LocalFiles::open(dir).unwrap()) as Arc<dyn Backend>)]
#[tokio::test]
async fn objects_move_in_parts_that_somebody_allows(#[case] make: fn(&Path) -> Arc<dyn Backend>) {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::with_backend(make(dir.path()), &config());
    let leave = Leave::of(Some(4), 3);
    let pace: Paced = Some(leave.clone());
    let bytes = Bytes::from_static(b"0123456789");
    store.put_all_at(&pace, vec![(path(5), bytes.clone())]).await.unwrap();
    assert_eq!(leave.taken(), [4, 4, 2]);
    assert_eq!(store.get(&path(5)).await.unwrap(), bytes);
    assert_eq!(store.get_at(&pace, &path(5)).await.unwrap(), bytes);
    assert_eq!(leave.taken(), [4, 4, 2]);
    assert_eq!(store.get_range_at(&pace, &path(5), 1..6).await.unwrap(), "12345");
    assert_eq!(leave.taken(), [4, 1]);
    assert_eq!(store.get_range_at(&None, &path(5), 1..6).await.unwrap(), "12345");

    // What is copied is read and written.
    let copying = Leave::of(Some(4), 4);
    let from = (&path(5), 1..7);
    store.splice_at(&Some(copying.clone()), &path(8), Bytes::from_static(b"ab"), from).await.unwrap();
    assert_eq!(store.get(&path(8)).await.unwrap(), "ab123456");
    assert_eq!(copying.taken().iter().sum::<u64>(), 2 + 6 + 6);

    // Without a limit everything counts, in one piece.
    let leave = Leave::of(None, 3);
    let pace: Paced = Some(leave.clone());
    store.put_all_at(&pace, vec![(path(7), bytes.clone())]).await.unwrap();
    assert_eq!(store.get_at(&pace, &path(7)).await.unwrap(), bytes);
    assert_eq!(leave.taken(), [10, 10]);

    // Not allowed any more: nothing is there, and nothing is left of it.
    let pace: Paced = Some(Leave::of(Some(4), 2));
    let error = store.put_all_at(&pace, vec![(path(6), bytes)]).await.unwrap_err();
    assert!(error.to_string().contains("enough"), "{error}");
    assert!(matches!(store.get(&path(6)).await, Err(StorageError::NotFound { .. })));
    assert_eq!(store.clear_staging().await.unwrap(), 0);
}

#[tokio::test]
async fn listings_leave_foreign_names_out() {
    let dir = tempfile::tempdir().unwrap();
    let kind = StorageKind::Local { root: Some(dir.path().to_owned()) };
    let store = SegmentStore::open(&StorageConfig { kind, ..config() }, Path::new("unused")).unwrap();
    store.put_all((2..600).map(|log| (path(log), Bytes::from_static(b"x"))).collect()).await.unwrap();
    store.backend().put(&[object("delta_log/1/2/3/README", b"hello")]).await.unwrap();
    let logs: Vec<ListedLog> = store.list(LogKind::Delta.folder()).try_collect().await.unwrap();
    assert_eq!(logs.len(), 598);
    let logs: Vec<ListedLog> = store.list(&LogKind::Delta.segment_prefix(IDS)).try_collect().await.unwrap();
    assert!(logs.iter().any(|l| l.path == path(599) && l.bytes == 1));
}

#[test]
fn the_default_root_is_below_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    SegmentStore::open(&config(), &dir.path().join("not/yet")).unwrap();
    assert!(dir.path().join("not/yet/files").is_dir());
}

fn field(id: i64, name: &str, data_type: DataType) -> Field {
    Field {
        id: FieldId(id),
        name: name.to_owned(),
        description: String::new(),
        data_type,
        element_type: None,
        is_primary_key: id == 100,
        auto_id: false,
        is_partition_key: false,
        is_clustering_key: false,
        is_dynamic: false,
        dim: data_type.is_vector().then_some(8),
        max_length: None,
        max_capacity: None,
        type_params: Vec::new(),
        index_params: Vec::new(),
    }
}

fn schema(key: DataType) -> CollectionSchema {
    CollectionSchema {
        name: "c".to_owned(),
        description: String::new(),
        enable_dynamic_field: false,
        fields: vec![
            field(100, "key", key),
            field(101, "vector", DataType::FloatVector),
            field(102, "document", DataType::Json),
        ],
        primary: 0,
    }
}

/// Rows with ascending row ids from `first`; key k belongs to row id k.
fn rows(schema: &CollectionSchema, first: i64, count: i64) -> RecordBatch {
    let ids = first..first + count;
    let key: ArrayRef = match schema.primary_key().data_type {
        DataType::VarChar => Arc::new(StringArray::from_iter_values(ids.clone().map(|i| format!("k-{i:05}")))),
        _ => Arc::new(Int64Array::from_iter_values(ids.clone())),
    };
    let vectors = ids.clone().map(|i| Some([(i as f32).to_le_bytes(); 8].concat()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone())),
        Arc::new(Int64Array::from_iter_values(ids.clone().map(|i| 1_000_000 + i % 7))),
        key,
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(vectors, 32).unwrap()),
        Arc::new(BinaryArray::from_iter_values(ids.map(|i| vec![b'x'; (i % 50) as usize]))),
    ];
    RecordBatch::try_new(schema.arrow_schema(), columns).unwrap()
}

/// Log ids from 1000.
fn ids() -> impl FnMut() -> Result<LogId, StorageError> + Send {
    let mut next = 1000;
    move || {
        next += 1;
        Ok(LogId(next))
    }
}

async fn write(
    store: &SegmentStore,
    schema: &CollectionSchema,
    stats: StatsLayout,
    max_bytes: u64,
    batches: &[RecordBatch],
    deletes: &[Delete],
) -> Result<SegmentOutput, StorageError> {
    let config = BinlogConfig { max_bytes, ..BinlogConfig::default() };
    let target = SegmentTarget { ids: IDS, schema, stats, config: &config, written_at_ms: 77 };
    write_segment(store, &target, batches.iter().cloned(), deletes, &mut ids()).await
}

async fn read_all(store: &SegmentStore, schema: &CollectionSchema, output: &SegmentOutput) -> RecordBatch {
    let fields: Vec<FieldId> = schema.stored_fields().iter().map(|f| f.id).collect();
    let batches: Vec<RecordBatch> =
        read_columns(store, IDS, &output.logs, schema, &fields, 64).try_collect().await.unwrap();
    assert!(batches.iter().all(|b| b.num_rows() <= 64));
    concat_batches(&schema.arrow_schema(), &batches).unwrap()
}

#[rstest]
#[tokio::test]
async fn a_flushed_segment_reads_back(#[values(DataType::Int64, DataType::VarChar)] key: DataType) {
    let (store, schema) = (SegmentStore::in_memory(), schema(key));
    let all = rows(&schema, 500, 1000);
    let batches = [all.slice(0, 1), all.slice(1, 0), all.slice(1, 600), all.slice(601, 399)];
    let delete = |i: i64, ts| match key {
        DataType::VarChar => Delete { key: PrimaryKey::Str(format!("k-{i:05}").into()), ts: Timestamp(ts) },
        _ => Delete { key: PrimaryKey::Int(i), ts: Timestamp(ts) },
    };
    let deletes = [delete(700, 9), delete(600, 8), delete(700, 9)];
    let output = write(&store, &schema, StatsLayout::Flushed, 30_000, &batches, &deletes).await.unwrap();

    assert_eq!(read_all(&store, &schema, &output).await, all);
    assert_eq!(read_deletes(&store, IDS, &output.logs).await.unwrap(), deletes);
    let range = PkRange { min: delete(500, 0).key, max: delete(1499, 0).key };
    assert_eq!((output.rows, output.pk_range.clone()), (1000, Some(range)));

    // Logs that are said to be large are read window by window, with the same result.
    let mut large = output.clone();
    for file in large.logs.insert.iter_mut().flat_map(|(_, files)| files) {
        (file.bytes, file.checksum) = (file.bytes + (1 << 30), None);
    }
    assert_eq!(read_all(&store, &schema, &large).await, all);

    // Deletes in parts: whatever their size, and however large the logs are said to be, all of them in order.
    for (part_bytes, size) in [(1, 0), (1, 1 << 30), (1 << 20, 0)] {
        let log = StoredObject { bytes: size, checksum: None, ..StoredObject::delta(IDS, &output.logs.delta[0]) };
        let parts = read_delete_parts(&store, vec![log, log], part_bytes);
        let parts: Vec<Vec<Delete>> = parts.try_collect().await.unwrap();
        assert_eq!(parts.len(), if part_bytes == 1 { 2 } else { 1 });
        assert_eq!(parts.concat(), [&deletes[..], &deletes[..]].concat());
    }

    // What the metadata says is what the files say.
    let logs = &output.logs;
    assert_eq!(logs.insert.iter().map(|(f, _)| f.0).collect::<Vec<_>>(), [0, 1, 100, 101, 102]);
    assert!(logs.batches() > 1 && logs.rows() == 1000);
    let mut seen = HashMap::new();
    for (field, files) in &logs.insert {
        for file in files {
            let bytes = store.get(&LogPath::insert(IDS, *field, file.id)).await.unwrap();
            let log = InsertLog::open(bytes.clone()).unwrap();
            assert_eq!((log.header().ids, log.header().field, log.rows()), (IDS, *field, file.rows));
            assert_eq!((log.header().original_size, bytes.len() as u64), (file.memory_bytes, file.bytes));
            assert_eq!((log.header().ts_from, log.header().ts_to), (file.ts_from, file.ts_to));
            assert_eq!((file.ts_from, file.ts_to), (Timestamp(1_000_000), Timestamp(1_000_006)));
            assert_eq!(seen.insert(file.id, *field), None, "a log id is used once");
        }
    }
    let delta = &logs.delta[0];
    assert_eq!((delta.rows, delta.ts_from, delta.ts_to), (3, Timestamp(8), Timestamp(9)));

    // One single statistics log per binlog, and the compound one with all of them.
    let (stats_field, stats) = &logs.stats[0];
    assert_eq!((stats_field.0, stats.len()), (100, logs.batches() + 1));
    assert_eq!(stats.iter().filter(|f| f.id == LogId::COMPOUND_STATS).count(), 1);
    assert_eq!(read_stats(&store, IDS, logs).await.unwrap(), output.stats);
    let mut singles = logs.clone();
    singles.stats[0].1.retain(|f| f.id != LogId::COMPOUND_STATS);
    assert_eq!(read_stats(&store, IDS, &singles).await.unwrap(), output.stats);
    for i in 500..1500 {
        let key = delete(i, 0).key;
        let cut = output.stats.iter().filter(|s| s.may_contain(&key)).count();
        assert!(cut >= 1, "{key} denied");
    }
    let objects: Vec<ListedLog> = store.list("").try_collect().await.unwrap();
    assert_eq!(objects.len(), 5 * logs.batches() + stats.len() + 1);
}

#[tokio::test]
async fn a_compacted_segment_has_one_statistics_log() {
    let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
    let all = rows(&schema, 0, 1000);
    let layout = StatsLayout::Compacted { capacity: 2000 };
    let output = write(&store, &schema, layout, 20_000, std::slice::from_ref(&all), &[]).await.unwrap();
    assert!(output.logs.batches() > 2 && output.logs.delta.is_empty());
    assert_eq!(output.logs.stats[0].1.len(), 1);
    assert_eq!(output.logs.stats[0].1[0].rows, 1000);
    let stats = read_stats(&store, IDS, &output.logs).await.unwrap();
    assert_eq!((stats.len(), stats[0].filter.bits()), (1, 12_471), "made for the rows of the sources");
    assert!((0..1000).all(|i| stats[0].may_contain(&PrimaryKey::Int(i))));
    assert_eq!(read_all(&store, &schema, &output).await, all);
}

#[tokio::test]
async fn without_rows_only_deletes_are_written() {
    let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
    let empty = write(&store, &schema, StatsLayout::Flushed, 1, &[], &[]).await.unwrap();
    assert_eq!((empty.rows, empty.pk_range, empty.logs), (0, None, Default::default()));
    let deletes = [Delete { key: PrimaryKey::Int(1), ts: Timestamp(5) }];
    let output = write(&store, &schema, StatsLayout::Flushed, 1, &[], &deletes).await.unwrap();
    assert!(output.logs.insert.is_empty() && output.logs.stats.is_empty());
    assert_eq!(read_deletes(&store, IDS, &output.logs).await.unwrap(), deletes);
}

#[tokio::test]
async fn wrong_rows_and_ids_are_refused() {
    let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
    let refused = async |batches: &[RecordBatch]| {
        write(&store, &schema, StatsLayout::Flushed, 1 << 20, batches, &[]).await.unwrap_err().to_string()
    };
    let error = refused(&[rows(&schema, 10, 5), rows(&schema, 9, 1)]).await;
    assert_eq!(error, "rows of segment 3: row id 9 after 14");
    let good = rows(&schema, 1, 3);
    let error = refused(&[good.project(&[0, 1, 2]).unwrap()]).await;
    assert!(
        error.starts_with("rows of segment 3: columns [\"0 Int64\", \"1 Int64\", \"100 Int64\"], expected"),
        "{error}"
    );

    let config = BinlogConfig::default();
    let stats = StatsLayout::Flushed;
    let target = SegmentTarget { ids: IDS, schema: &schema, stats, config: &config, written_at_ms: 1 };
    let mut one = || Ok(LogId(1));
    let error = write_segment(&store, &target, [good].into_iter(), &[], &mut one).await.unwrap_err();
    assert_eq!(error.to_string(), "no log id: 1 is reserved");
}

#[tokio::test]
async fn a_failing_store_fails_the_write_and_a_passing_fault_does_not() {
    let schema = schema(DataType::Int64);
    let batches = [rows(&schema, 0, 1000)];
    for (attempts, healthy) in [(1, false), (2, true)] {
        for nth in 1..=3 {
            let dir = tempfile::tempdir().unwrap();
            let faulty = FaultyBackend::new(Arc::new(LocalFiles::open(dir.path()).unwrap()));
            faulty.fail(Some(Operation::Put), nth, Fault::Torn);
            let store =
                SegmentStore::with_backend(faulty.clone(), &StorageConfig { max_attempts: attempts, ..config() });
            let output = write(&store, &schema, StatsLayout::Flushed, 20_000, &batches, &[]).await;
            assert_eq!(output.is_ok(), healthy, "put {nth} of {:?}", faulty.calls().len());
            if let Ok(output) = output {
                assert_eq!(read_all(&store, &schema, &output).await, batches[0]);
            }
        }
    }
}

/// Whatever the object and the bit, whoever reads it is told, and so is whoever checks all objects.
#[tokio::test]
async fn a_flipped_bit_names_the_object() {
    let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
    let deletes = [Delete { key: PrimaryKey::Int(1), ts: Timestamp(5) }];
    let batches = [rows(&schema, 0, 300)];
    let output = write(&store, &schema, StatsLayout::Flushed, 10_000, &batches, &deletes).await.unwrap();
    let objects = StoredObject::all(IDS, &output.logs);
    assert_eq!(objects.len(), output.logs.batches() * 6 + 2);
    let mut seed = 1u64;
    let mut number = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for object in &objects {
        let good = store.get(&object.path).await.unwrap();
        assert_eq!(object.checksum, Some(crc32c::crc32c(&good)), "{}", object.path);
        assert_eq!(verify(&store, &None, object).await.unwrap(), good.len() as u64);
        for _ in 0..20 {
            let mut bad = good.to_vec();
            let at = number(bad.len());
            bad[at] ^= 1 << number(8);
            store.put(&object.path, bad.into()).await.unwrap();
            let errors = [
                verify(&store, &None, object).await.map(drop),
                match object.path.kind() {
                    LogKind::Insert => {
                        let field = object.path.field().unwrap();
                        let read = read_columns(&store, IDS, &output.logs, &schema, &[field], 64);
                        read.try_collect::<Vec<_>>().await.map(drop)
                    }
                    LogKind::Delta => read_deletes(&store, IDS, &output.logs).await.map(drop),
                    LogKind::Stats => {
                        // The compound log stands for the others, which are read without it.
                        let mut logs = output.logs.clone();
                        if object.path.log() != LogId::COMPOUND_STATS {
                            logs.stats[0].1.retain(|f| f.id != LogId::COMPOUND_STATS);
                        }
                        read_stats(&store, IDS, &logs).await.map(drop)
                    }
                },
            ];
            for error in errors {
                let error = error.unwrap_err();
                assert!(matches!(&error, StorageError::Damaged { .. }), "{error}");
                assert!(error.to_string().starts_with(&format!("object {} is damaged: ", object.path)), "{error}");
                assert_eq!(error.kind(), ErrorKind::Corrupt);
            }
        }
        store.put(&object.path, good.slice(..good.len() / 2)).await.unwrap();
        let error = verify(&store, &None, object).await.unwrap_err();
        let sizes = format!("object has {} bytes, {} were written", good.len() / 2, good.len());
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(&sizes), "{error}");
        store.put(&object.path, good).await.unwrap();
    }
    let unknown = StoredObject { checksum: None, ..objects[0] };
    store.put(&unknown.path, Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(verify(&store, &None, &unknown).await.unwrap(), 0, "nobody knows what it should be");
    store.delete(&unknown.path).await.unwrap();
    assert_eq!(verify(&store, &None, &unknown).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn damage_names_the_object() {
    let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
    let deletes = [Delete { key: PrimaryKey::Int(1), ts: Timestamp(5) }];
    let batches = [rows(&schema, 0, 300)];
    let mut output = write(&store, &schema, StatsLayout::Flushed, 10_000, &batches, &deletes).await.unwrap();
    // As Milvus writes them: what is wrong with them is found by decoding.
    let SegmentLogs { insert, stats, delta } = &mut output.logs;
    let files = insert.iter_mut().chain(stats).flat_map(|(_, files)| files).chain(delta);
    files.for_each(|file| file.checksum = None);
    assert!(output.logs.batches() > 1);
    let fields: Vec<FieldId> = schema.stored_fields().iter().map(|f| f.id).collect();
    let read = async |logs: &crate::model::SegmentLogs, fields: &[FieldId]| -> Result<Vec<RecordBatch>, StorageError> {
        read_columns(&store, IDS, logs, &schema, fields, 64).try_collect().await
    };

    let second = |field: i64| output.logs.field(FieldId(field))[1].id;
    let victim = LogPath::insert(IDS, FieldId(101), second(101));
    let good = store.get(&victim).await.unwrap();
    store.put(&victim, good.slice(..good.len() - 9)).await.unwrap();
    let error = read(&output.logs, &fields).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().starts_with(&format!("object {victim}: corrupt at byte ")), "{error}");
    let unharmed = read(&output.logs, &fields[..3]).await.unwrap();
    assert_eq!(unharmed.iter().map(RecordBatch::num_rows).sum::<usize>(), 300, "only wanted fields are fetched");

    // The first binlog in the place of the second: right in itself, but of another number of rows.
    let short = write(&store, &schema, StatsLayout::Flushed, 1 << 30, &[rows(&schema, 0, 7)], &[]).await.unwrap();
    let other = LogPath::insert(IDS, FieldId(101), short.logs.field(FieldId(101))[0].id);
    store.copy(&other, &victim).await.unwrap();
    let error = read(&output.logs, &fields).await.unwrap_err().to_string();
    assert!(error.ends_with("has more rows than the logs of other fields"), "{error}");

    store.delete(&victim).await.unwrap();
    let missing = read(&output.logs, &fields).await.unwrap_err();
    assert!(matches!(&missing, StorageError::NotFound { object } if *object == victim.to_string()), "{missing}");
    assert_eq!(missing.kind(), ErrorKind::Corrupt);

    let mut logs = output.logs.clone();
    logs.insert[1].1.pop();
    let error = read(&logs, &fields).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().starts_with("segment 3, field 1: "), "{error}");

    for path in [LogPath::delta(IDS, output.logs.delta[0].id), LogPath::stats(IDS, FieldId(100), LogId(1))] {
        store.put(&path, Bytes::from_static(b"{")).await.unwrap();
    }
    let delta = read_deletes(&store, IDS, &output.logs).await.unwrap_err();
    let stats = read_stats(&store, IDS, &output.logs).await.unwrap_err();
    assert_eq!((delta.kind(), stats.kind()), (ErrorKind::Corrupt, ErrorKind::Corrupt));
    assert!(stats.to_string().starts_with("object stats_log/1/2/3/100/1: "), "{stats}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However rows arrive, no row is lost or moved, and every binlog but the last ends where specification 9.4 lets it.
    #[test]
    fn cuts_keep_rows_and_limits(
        sizes in proptest::collection::vec(0..400_i64, 1..6),
        max_bytes in 1_u64..60_000,
    ) {
        let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
        let mut first = 0;
        let batches: Vec<RecordBatch> = sizes.iter().map(|count| {
            first += count;
            rows(&schema, first - count, *count)
        }).collect();
        let all = concat_batches(&schema.arrow_schema(), &batches).unwrap();
        let output = runtime()
            .block_on(write(&store, &schema, StatsLayout::Flushed, max_bytes, &batches, &[]))
            .unwrap();
        prop_assert_eq!(output.rows, all.num_rows() as u64);
        if all.num_rows() == 0 {
            return Ok(());
        }
        prop_assert_eq!(&runtime().block_on(read_all(&store, &schema, &output)), &all);
        let cuts = output.logs.field(FieldId::ROW_ID);
        let fields = schema.stored_fields();
        let size = |from: usize, rows: usize| -> u64 {
            let part = all.slice(from, rows);
            fields.iter().zip(part.columns()).map(|(f, c)| memory_size(f, c)).sum()
        };
        let mut from = 0;
        for (at, cut) in cuts.iter().enumerate() {
            let rows = cut.rows as usize;
            if at + 1 < cuts.len() {
                prop_assert_eq!(rows % 100, 99);
                prop_assert!(size(from, rows) > max_bytes);
            }
            // It did not end at the boundary before, so that one was within the limit.
            if rows > 100 {
                let before = (rows - 100) / 100 * 100 + 99;
                let before = if before >= rows { before - 100 } else { before };
                prop_assert!(before < rows && size(from, before) <= max_bytes);
            }
            let memory: u64 = output.logs.insert.iter().map(|(_, files)| files[at].memory_bytes).sum();
            prop_assert_eq!(memory, size(from, rows));
            from += rows;
        }
        let row_ids = all.column(0).as_primitive::<Int64Type>();
        prop_assert_eq!(row_ids.len(), from);
    }
}

#[rstest]
#[case::memory(|_: &Path| Arc::new(Bucket::in_memory()) as Arc<dyn Backend>)]
#[case::local(|dir: &Path| Arc::new(LocalFiles::open(dir).unwrap()) as Arc<dyn Backend>)]
#[tokio::test]
async fn of_many_swaps_at_once_one_is_done(#[case] make: fn(&Path) -> Arc<dyn Backend>) {
    let dir = tempfile::tempdir().unwrap();
    // Each over a backend of its own where that is possible, as other processes would have it.
    let backends: Vec<_> = (0..8).map(|_| make(dir.path())).collect();
    let shared = backends[0].get("mark").await.is_err() && names(&*backends[1], "").await.is_empty();
    assert!(shared, "nothing is there yet");
    let is_memory = format!("{:?}", backends[0]).contains("InMemory");
    let mut before = None;
    for round in 0..5 {
        let swaps = (0..8).map(|n| {
            let backend = if is_memory { &backends[0] } else { &backends[n] };
            let next = Bytes::from(format!("{round}/{n}"));
            let expected = before.clone();
            async move { (backend.swap("mark", expected, next.clone()).await.unwrap(), next) }
        });
        let swapped = futures::future::join_all(swaps).await;
        let done: Vec<&Bytes> = swapped.iter().filter(|(s, _)| *s == Swapped::Done).map(|(_, next)| next).collect();
        let [winner] = done.as_slice() else { panic!("{swapped:?}") };
        let instead = Swapped::Instead(Some((*winner).clone()));
        assert_eq!(swapped.iter().filter(|(s, _)| *s == instead).count(), 7, "{swapped:?}");
        assert_eq!(backends[0].get("mark").await.unwrap(), **winner);
        before = Some((*winner).clone());
    }
    assert_eq!(backends[0].swap("mark", None, Bytes::new()).await.unwrap(), Swapped::Instead(before));
    assert_eq!(names(&*backends[0], "").await, ["mark"], "nothing else is left behind");
}

use rstest::rstest;

use super::*;
use crate::{
    error::ErrorKind,
    kit::gate::{Fault, Gate, Operation},
    storage::{
        fixtures::{IDS, config, object, path},
        pace::Pace,
        path::LogKind,
    },
};

#[tokio::test]
async fn only_passing_errors_are_retried_and_not_for_ever() {
    let faulty = Gate::new(Arc::new(Bucket::in_memory()));
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
    assert_eq!(faulty.count(Operation::Get), 1 + 3);
    assert_eq!((count(&store.counters().get.retries), count(&store.counters().get.failures)), (2, 1));

    faulty.heal();
    faulty.fail(Some(Operation::Copy), 1, Fault::Refused);
    assert_eq!(store.copy(&path(5), &path(6)).await.unwrap_err().kind(), ErrorKind::Precondition);
    assert_eq!(count(&store.counters().copy.retries), 0);
    assert_eq!(store.get(&path(7)).await.unwrap_err().to_string(), "object delta_log/1/2/3/7 not found");
}

#[tokio::test]
async fn a_torn_put_is_repaired_by_the_retry() {
    let faulty = Gate::new(Arc::new(Bucket::in_memory()));
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
#[case::memory(|_: &Path| Arc::new(Bucket::in_memory()) as Arc<dyn StorageBackend>)]
#[case::local(|dir: &Path| Arc::new(LocalFiles::open(dir).unwrap()) as Arc<dyn StorageBackend>)]
#[tokio::test]
async fn objects_move_in_parts_at_the_allowed_pace(#[case] make: fn(&Path) -> Arc<dyn StorageBackend>) {
    let dir = tempfile::tempdir().unwrap();
    let store = SegmentStore::with_backend(make(dir.path()), &config());
    let leave = Leave::of(Some(4), 3);
    let pace: Paced = Some(leave.clone());
    let bytes = Bytes::from_static(b"0123456789");
    store.put_all_paced(&pace, vec![(path(5), bytes.clone())]).await.unwrap();
    assert_eq!(leave.taken(), [4, 4, 2]);
    assert_eq!(store.get(&path(5)).await.unwrap(), bytes);
    assert_eq!(store.get_paced(&pace, &path(5)).await.unwrap(), bytes);
    assert_eq!(leave.taken(), [4, 4, 2]);
    assert_eq!(store.get_range_paced(&pace, &path(5), 1..6).await.unwrap(), "12345");
    assert_eq!(leave.taken(), [4, 1]);
    assert_eq!(store.get_range_paced(&None, &path(5), 1..6).await.unwrap(), "12345");

    // A copied byte counts twice: it is read and written.
    let copying = Leave::of(Some(4), 4);
    let from = (&path(5), 1..7);
    store.splice_paced(&Some(copying.clone()), &path(8), Bytes::from_static(b"ab"), from).await.unwrap();
    assert_eq!(store.get(&path(8)).await.unwrap(), "ab123456");
    assert_eq!(copying.taken().iter().sum::<u64>(), 2 + 6 + 6);

    // Without a limit everything counts, in one piece.
    let leave = Leave::of(None, 3);
    let pace: Paced = Some(leave.clone());
    store.put_all_paced(&pace, vec![(path(7), bytes.clone())]).await.unwrap();
    assert_eq!(store.get_paced(&pace, &path(7)).await.unwrap(), bytes);
    assert_eq!(leave.taken(), [10, 10]);

    // Not allowed any more: nothing is there, and nothing is left of it.
    let pace: Paced = Some(Leave::of(Some(4), 2));
    let error = store.put_all_paced(&pace, vec![(path(6), bytes)]).await.unwrap_err();
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

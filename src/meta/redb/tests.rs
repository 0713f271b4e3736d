use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::{
    error::Classify,
    meta::conformance::{conformance, dump, guard, ops, put},
    meta::{Expected, Txn},
};

fn make() -> (TempDir, Arc<dyn MetaStore>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(RedbStore::open(dir.path()).unwrap());
    (dir, store)
}

conformance!(make);

#[tokio::test]
async fn survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("new/data");
    for round in 0..3 {
        let store = RedbStore::open(&below).unwrap();
        assert_eq!(dump(&store, "").await.len(), round);
        store.commit(ops(vec![put(&format!("round/{round}"), "done")])).await.unwrap();
    }
}

#[tokio::test]
async fn the_file_belongs_to_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let first = RedbStore::open(dir.path()).unwrap();
    let error = RedbStore::open(dir.path()).unwrap_err();
    let file = dir.path().join("meta.redb").display().to_string();
    assert_eq!(error, MetaError::InUse { file: file.clone() });
    assert!(error.to_string().contains(&file), "{error}");
    assert_eq!(error.kind(), ErrorKind::Precondition);
    drop(first);
    RedbStore::open(dir.path()).unwrap();
}

#[rstest]
#[case::text(b"this is not a database, it is a text\n".repeat(200))]
#[case::half_a_magic_number(b"redb".to_vec())]
fn a_foreign_file_is_refused_by_name(#[case] content: Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE_NAME), &content).unwrap();
    let error = RedbStore::open(dir.path()).unwrap_err();
    assert!(matches!(&error, MetaError::Open { file, .. } if file.ends_with("meta.redb")), "{error}");
    assert_eq!(std::fs::read(dir.path().join(FILE_NAME)).unwrap(), content, "and left as it was");
}

/// A caller that gives up does not take its transaction back, and dropping the store waits for what is queued.
#[tokio::test]
async fn queued_transactions_outlive_their_callers() {
    let dir = tempfile::tempdir().unwrap();
    let store = RedbStore::open(dir.path()).unwrap();
    for i in 0..100 {
        let commit = store.commit(ops(vec![put(&format!("{i:03}"), "")]));
        tokio::select! { biased; _ = commit => {}, () = std::future::ready(()) => {} }
    }
    drop(store);
    assert_eq!(dump(&RedbStore::open(dir.path()).unwrap(), "").await.len(), 100);
}

/// What a disk did, and in which order.
#[derive(Debug, Clone)]
enum Step {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
    Sync,
}

/// A disk in memory that remembers every step, so that any moment of its life can be crashed at.
#[derive(Debug, Clone, Default)]
struct Disk {
    inner: Arc<Mutex<(Vec<u8>, Vec<Step>)>>,
}

impl Disk {
    fn steps(&self) -> usize {
        self.inner.lock().1.len()
    }

    fn step(&self, step: Step) {
        let mut inner = self.inner.lock();
        apply_step(&mut inner.0, &step);
        inner.1.push(step);
    }

    /// The disk after a power cut at step `at`: whatever was synced, and of the later writes those that `kept` says,
    /// by their number since the sync.
    fn crashed(&self, at: usize, kept: impl Fn(usize) -> bool) -> Disk {
        let inner = self.inner.lock();
        let steps = &inner.1[..at];
        let synced = steps.iter().rposition(|s| matches!(s, Step::Sync)).map_or(0, |i| i + 1);
        let mut bytes = Vec::new();
        for step in &steps[..synced] {
            apply_step(&mut bytes, step);
        }
        for (i, step) in steps[synced..].iter().enumerate() {
            if kept(i) || matches!(step, Step::SetLen(_)) {
                apply_step(&mut bytes, step);
            }
        }
        Disk { inner: Arc::new(Mutex::new((bytes, Vec::new()))) }
    }
}

fn apply_step(bytes: &mut Vec<u8>, step: &Step) {
    match step {
        Step::Write { offset, data } => {
            let end = *offset as usize + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset as usize..end].copy_from_slice(data);
        }
        Step::SetLen(len) => bytes.resize(*len as usize, 0),
        Step::Sync => {}
    }
}

impl ::redb::StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.inner.lock().0.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let inner = self.inner.lock();
        out.copy_from_slice(&inner.0[offset as usize..offset as usize + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.step(Step::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.step(Step::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.step(Step::Write { offset, data: data.to_vec() });
        Ok(())
    }
}

/// P1: at whatever step the power fails, and whichever of the unsynced writes reach the disk, every acknowledged
/// transaction is there, and every transaction is there whole or not at all, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_step_keeps_what_was_acknowledged() {
    const TXNS: usize = 12;
    let disk = Disk::default();
    let mut acknowledged = BTreeMap::new();
    {
        let store = RedbStore::open_backend(disk.clone()).unwrap();
        for i in 0..TXNS {
            let filler = "x".repeat(700);
            let pair = vec![put(&format!("a/{i:02}"), &filler), put(&format!("b/{i:02}"), &filler)];
            store.commit(ops(pair)).await.unwrap();
            acknowledged.insert(disk.steps(), i + 1);
        }
        // The end of an orderly life is not part of the test.
        let steps = disk.steps();
        drop(store);
        disk.inner.lock().1.truncate(steps);
    }
    let first = *acknowledged.keys().next().unwrap();
    let mut partial = 0;
    for at in first..=disk.steps() {
        let promised = acknowledged.range(..=at).next_back().map_or(0, |(_, n)| *n);
        for kept in [|_| false, |_| true, |i| i % 2 == 0, |i| i % 2 == 1, |i| i % 3 == 0] {
            let store = RedbStore::open_backend(disk.crashed(at, kept)).unwrap();
            let count = |pairs: Vec<(String, String)>| pairs.len();
            let (a, b) = (count(dump(&store, "a/").await), count(dump(&store, "b/").await));
            assert_eq!(a, b, "a transaction was cut in two at step {at}");
            assert!(a >= promised, "step {at}: {promised} acknowledged, {a} found");
            assert!(a <= promised + 1, "step {at}: {promised} acknowledged, {a} found");
            let names: Vec<String> = dump(&store, "a/").await.into_iter().map(|(k, _)| k).collect();
            assert_eq!(names, (0..a).map(|i| format!("a/{i:02}")).collect::<Vec<_>>());
            partial += usize::from(a > promised);
            store
                .commit(Txn { guards: vec![guard("new", Expected::Absent)], ops: vec![put("new", "")] })
                .await
                .unwrap();
        }
    }
    assert!(partial > 0, "no crash fell between a sync and its acknowledgement: the test looks at too little");
}

/// The reason for the writer thread: transactions that wait together cost far fewer syncs than transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_transactions_share_a_sync() {
    const TXNS: usize = 500;
    let disk = Disk::default();
    let store = RedbStore::open_backend(disk.clone()).unwrap();
    let syncs = |disk: &Disk| disk.inner.lock().1.iter().filter(|s| matches!(s, Step::Sync)).count();
    let before = syncs(&disk);
    let commits = (0..TXNS).map(|i| store.commit(ops(vec![put(&i.to_string(), "")])));
    for result in futures::future::join_all(commits).await {
        result.unwrap();
    }
    let spent = syncs(&disk) - before;
    assert!(spent <= TXNS / 10, "{spent} syncs for {TXNS} transactions");
}

/// Commit latency on this machine: `cargo test --release -- --ignored --nocapture commit_latency`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn commit_latency() {
    let (_dir, store) = make();
    let mut times: Vec<Duration> = Vec::new();
    for i in 0..500 {
        let start = Instant::now();
        store.commit(ops(vec![put(&format!("k/{i}"), &"v".repeat(400))])).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    println!("alone: p50 {:?} p99 {:?}", times[250], times[495]);
    let start = Instant::now();
    let commits = (0..20_000).map(|i| store.commit(ops(vec![put(&format!("g/{i}"), &"v".repeat(400))])));
    futures::future::join_all(commits).await;
    println!("20000 together: {:?}", start.elapsed());
}

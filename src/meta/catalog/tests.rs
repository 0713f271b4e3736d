use std::{collections::HashMap, time::Instant};

use rstest::rstest;

use super::*;
use crate::{
    error::{Classify, ErrorKind},
    ids::BoundStore,
    kit::model as fixture,
    meta::{MemoryStore, PageLimit, RedbStore, Span},
    model::{FieldId, LogFile, LogId, PkRange, PrimaryKey, SegmentState, Timestamp},
};

const BASE: i64 = 470_597_209_892_000_000;

fn group(c: i64, p: i64) -> Arc<Group> {
    Arc::new(fixture::group_of_shard_0(c, p))
}

fn segment(id: i64, group: &Arc<Group>) -> Segment {
    Segment {
        rows: 1000,
        insert_bytes: 4_000_000,
        memory_bytes: 5_000_000,
        delta_rows: 12,
        delta_bytes: 700,
        delta_logs: 1,
        delta_ts_from: Timestamp(BASE as u64),
        ts_from: Timestamp(BASE as u64),
        ts_to: Timestamp(BASE as u64 + 9),
        pk_range: Some(PkRange { min: PrimaryKey::Int(id), max: PrimaryKey::Int(id + 999) }),
        end_lsn: Lsn(7),
        ..fixture::segment(id, group)
    }
}

fn stored_collection() -> Collection {
    serde_json::from_str(include_str!("../../../tests/golden/meta/collection-1.json")).unwrap()
}

fn collection(id: i64) -> Collection {
    Collection { id: CollectionId(id), ..stored_collection() }
}

/// All of them, ascending by id.
fn all(contents: &Contents<Vec<Segment>>) -> Vec<Segment> {
    let mut all: Vec<_> = contents.segments.values().flatten().cloned().collect();
    all.sort_by_key(|s| s.id);
    all
}

fn logs(id: i64) -> SegmentLogs {
    let log = |n: i64| LogFile {
        id: LogId(id + n),
        rows: 1000,
        ts_from: Timestamp(BASE as u64),
        ts_to: Timestamp(BASE as u64 + 9),
        bytes: 1_000_000,
        memory_bytes: 1_200_000,
        checksum: Some(id as u32),
    };
    let fields = [0, 1, 100, 101];
    SegmentLogs {
        insert: fields.iter().map(|f| (FieldId(*f), vec![log(*f)])).collect(),
        stats: vec![(FieldId(100), vec![log(500)])],
        delta: vec![log(600)],
    }
}

fn job(id: i64, plans: &[i64]) -> Job {
    Job { created_at_ms: 5, ..fixture::job(id, 1, plans) }
}

fn plan(job: i64, id: i64, group: &Group) -> Plan {
    Plan { keep_deletes_after: Timestamp::ZERO, created_at_ms: 5, ..fixture::plan(id, job, group.clone(), Vec::new()) }
}

async fn memory() -> (Arc<dyn MetaStore>, Catalog) {
    let store: Arc<dyn MetaStore> = Arc::new(MemoryStore::new());
    let catalog = Catalog::open(store.clone()).await.unwrap();
    (store, catalog)
}

#[tokio::test]
async fn an_identity_is_given_once() {
    let (store, catalog) = memory().await;
    let identity = catalog.identity().await.unwrap();
    assert_eq!(catalog.identity().await.unwrap(), identity);
    assert_eq!(Catalog::open(store).await.unwrap().identity().await.unwrap(), identity);
    assert_ne!(memory().await.1.identity().await.unwrap(), identity);
}

#[tokio::test]
async fn loads_stored_records() {
    let (store, catalog) = memory().await;
    let (g, h) = (group(1, 2), group(1, 3));
    let collection = stored_collection();
    let database = Database { name: "default".to_owned(), created_at: Timestamp(3) };
    let mut txn = catalog.txn();
    txn.put_segment_and_logs(&segment(10, &g), &logs(10)).put_segment_and_logs(&segment(11, &g), &logs(11));
    txn.put_segment(&segment(9, &h)).put_collection(&collection).put_database(&database);
    txn.put_job(&job(100, &[101, 99]))
        .put_job(&job(20, &[]))
        .put_plan(&plan(100, 101, &g))
        .put_plan(&plan(100, 99, &g));
    txn.set_channel_delta_lsn(&g.channel, Lsn(77));
    txn.commit().await.unwrap();

    let again = Catalog::open(store).await.unwrap();
    let contents = again.load(std::mem::take).await.unwrap();
    assert_eq!(contents.databases, [database]);
    assert_eq!(contents.collections, [collection]);
    let segments = all(&contents);
    assert_eq!(segments, [segment(9, &h), segment(10, &g), segment(11, &g)]);
    assert!(Arc::ptr_eq(&segments[1].group, &segments[2].group), "one value per group");
    assert_eq!(contents.jobs, [job(20, &[]), job(100, &[101, 99])]);
    assert_eq!(contents.plans, [plan(100, 99, &g), plan(100, 101, &g)]);
    assert_eq!(contents.channel_delta_lsn, HashMap::from([(g.channel.clone(), Lsn(77))]));
    assert_eq!(again.segment_logs(&g, SegmentId(11)).await.unwrap(), logs(11));
    let missing = again.segment_logs(&h, SegmentId(9)).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Corrupt);
    assert!(missing.to_string().contains("datacoord-meta/logs/1/3/9"), "{missing}");
}

#[tokio::test]
async fn deletes_are_complete() {
    let (store, catalog) = memory().await;
    let g = group(1, 2);
    let mut txn = catalog.txn();
    txn.put_segment_and_logs(&segment(10, &g), &logs(10)).put_segment_and_logs(&segment(11, &g), &logs(11));
    txn.put_job(&job(1, &[2])).put_plan(&plan(1, 2, &g)).put_plan(&plan(1, 3, &g));
    txn.put_job(&job(10, &[4])).put_plan(&plan(10, 4, &g));
    txn.put_database(&Database { name: "d".to_owned(), created_at: Timestamp(1) });
    txn.commit().await.unwrap();

    let mut txn = catalog.txn();
    txn.delete_segment(&g, SegmentId(10)).delete_job(JobId(1)).delete_database("d");
    txn.commit().await.unwrap();
    let page = store.scan(&Span::of(""), PageLimit::new(100, usize::MAX)).await.unwrap();
    let keys: Vec<&str> = page.pairs().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        [
            "coordinator/epoch",
            "datacoord-meta/logs/1/2/11",
            "datacoord-meta/s/1/2/11",
            "datacoord/job/0000000000000000010",
            "datacoord/plan/0000000000000000010/0000000000000000004",
        ]
    );
}

/// P2: a commit whose inputs changed since they were read has no effect.
#[tokio::test]
async fn expected_segments_must_be_unchanged() {
    let (store, catalog) = memory().await;
    let g = group(1, 2);
    let (source, mut changed) = (segment(10, &g), segment(10, &g));
    let mut txn = catalog.txn();
    txn.put_segment(&source);
    txn.commit().await.unwrap();
    changed.version += 1;
    changed.delta_rows += 1;
    let mut txn = catalog.txn();
    txn.expect_segment(&source).put_segment(&changed);
    txn.commit().await.unwrap();

    let mut late = catalog.txn();
    late.expect_segment(&source).put_segment(&segment(12, &g)).delete_segment(&g, source.id);
    assert_eq!(late.commit().await.unwrap_err(), MetaError::Conflict { key: "datacoord-meta/s/1/2/10".to_owned() });
    let mut taken = catalog.txn();
    taken.expect_no_segment(&g, source.id).put_segment(&source);
    assert_eq!(taken.commit().await.unwrap_err().kind(), ErrorKind::Conflict);
    let contents = Catalog::open(store).await.unwrap().load(std::mem::take).await.unwrap();
    assert_eq!(all(&contents), [changed]);
}

/// P6: of two catalogs over one store only the later one can write, in every way a catalog can write.
#[tokio::test]
async fn an_older_catalog_is_fenced() {
    let (store, first) = memory().await;
    let g = group(1, 2);
    first.bounds().save("id", 10).await.unwrap();
    let second = Catalog::open(store).await.unwrap();
    assert!(second.epoch() > first.epoch());

    let mut txn = first.txn();
    txn.put_segment(&segment(1, &g));
    assert_eq!(txn.commit().await.unwrap_err(), MetaError::Fenced { ours: first.epoch().0 });
    assert_eq!(first.txn().commit().await.unwrap_err().kind(), ErrorKind::Fenced, "even an empty one");
    assert_eq!(first.bounds().save("id", 20).await.unwrap_err().kind, ErrorKind::Fenced);
    assert_eq!(second.bounds().load("id").await.unwrap(), 10);

    second.bounds().save("id", 30).await.unwrap();
    assert_eq!(first.bounds().load("id").await.unwrap(), 30);
    assert_eq!(second.bounds().load("ts").await.unwrap(), 0, "no bound yet");
    assert!(second.load(std::mem::take).await.unwrap().segments.is_empty());
}

#[tokio::test]
async fn many_catalogs_take_different_epochs() {
    let (store, _) = memory().await;
    let opened = futures::future::join_all((0..10).map(|_| Catalog::open(store.clone()))).await;
    let mut epochs: Vec<u64> = opened.into_iter().map(|c| c.unwrap().epoch().0).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, (2..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_transaction_that_the_store_cannot_take_is_refused_before_it_is_sent() {
    let store: Arc<dyn MetaStore> = Arc::new(MemoryStore::with_max_operations(4));
    let catalog = Catalog::open(store).await.unwrap();
    let g = group(1, 2);
    let mut txn = catalog.txn();
    for id in 1..=5 {
        txn.put_segment(&segment(id, &g));
    }
    let error = txn.commit().await.unwrap_err();
    assert_eq!(error, MetaError::TooLarge { guards: 1, operations: 5, limit: 4 });
    assert!(catalog.load(std::mem::take).await.unwrap().segments.is_empty());
}

#[tokio::test]
async fn one_bad_record_stops_the_load_by_name() {
    let (store, catalog) = memory().await;
    let key = "datacoord/job/0000000000000000001".to_owned();
    let put = Op::Put { key: key.clone(), value: Bytes::from_static(b"{\"id\":1") };
    store.commit(Txn { guards: Vec::new(), ops: vec![put] }).await.unwrap();
    let error = catalog.load(std::mem::take).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&key), "{error}");
}

/// More collections, jobs and plans than there are spans, so that cuts fall everywhere, also between keys with a common beginning.
#[rstest]
#[case::one(1)]
#[case::few(5)]
#[case::more_than_spans(300)]
#[tokio::test(flavor = "multi_thread")]
async fn spans_lose_and_repeat_nothing(#[case] many: i64) {
    let (_, catalog) = memory().await;
    let mut txn = catalog.txn();
    for c in 1..=many {
        txn.put_collection(&collection(c));
        txn.put_job(&job(c, &[3 * c, 3 * c + 1])).put_plan(&plan(c, 3 * c, &group(c, 1)));
        txn.put_plan(&plan(c, 3 * c + 1, &group(c, 1)));
        // In the order of their keys, 10 comes before 9, and all of partition 1 before partition 2.
        for id in [9, 10, 11] {
            txn.put_segment(&segment(100 * c + id, &group(c, if id == 9 { 2 } else { 1 })));
        }
    }
    txn.commit().await.unwrap();
    let contents = catalog.load(std::mem::take).await.unwrap();
    let expected: Vec<i64> = (1..=many).collect();
    assert_eq!(contents.collections.iter().map(|c| c.id.0).collect::<Vec<_>>(), expected);
    assert_eq!(contents.jobs.iter().map(|j| j.id.0).collect::<Vec<_>>(), expected);
    let plans: Vec<i64> = contents.plans.iter().map(|p| p.id.0).collect();
    assert_eq!(plans, (1..=many).flat_map(|c| [3 * c, 3 * c + 1]).collect::<Vec<_>>());
    assert_eq!(contents.segments.len(), many as usize);
    for (id, list) in &contents.segments {
        let ids: Vec<i64> = list.iter().map(|s| s.id.0).collect();
        assert_eq!(ids, [9, 10, 11].map(|n| 100 * id.0 + n), "ascending by id");
    }
}

/// Segments of a collection that has no record are found all the same: it is for the start to object.
#[tokio::test]
async fn segments_without_a_collection_are_found() {
    let (_, catalog) = memory().await;
    let mut txn = catalog.txn();
    txn.put_collection(&collection(5));
    for c in [1, 5, 52, 9] {
        txn.put_segment(&segment(c, &group(c, 1)));
    }
    txn.commit().await.unwrap();
    let found = all(&catalog.load(std::mem::take).await.unwrap());
    assert_eq!(found.iter().map(|s| s.id.0).collect::<Vec<_>>(), [1, 5, 9, 52]);
}

/// The restart bar: 1 M live and 1 M dropped segments, 100 k jobs. `cargo test --release --lib -- --ignored
/// --nocapture restart_with_a_million`; prints seconds, and bytes of the process before and after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn restart_with_a_million_segments() {
    const SEGMENTS: i64 = 2_000_000;
    let dir = tempfile::tempdir().unwrap();
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        status.lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM")).collect::<Vec<_>>().join(" ")
    };
    let started = Instant::now();
    {
        let catalog = Catalog::open(Arc::new(RedbStore::open(dir.path()).unwrap())).await.unwrap();
        let mut id = BASE;
        for _ in 0..200 {
            let mut txn = catalog.txn();
            for _ in 0..SEGMENTS / 200 {
                let g = group(BASE + id % 10_000 * 7, BASE + id % 10_000 * 7 + 1);
                let mut s = segment(id, &g);
                if id % 2 == 0 {
                    s.state = SegmentState::Dropped;
                    s.dropped_at_ms = 1_700_000_000_000;
                    s.compaction_to = [SegmentId(id + 1)].into();
                } else {
                    s.compaction_from = [SegmentId(id - 1)].into();
                }
                txn.put_segment_and_logs(&s, &logs(id));
                id += 1;
            }
            for _ in 0..500 {
                txn.put_job(&job(id, &[id + 1])).put_plan(&plan(id, id + 1, &group(BASE, BASE)));
                id += 2;
            }
            txn.commit().await.unwrap();
        }
    }
    let size = std::fs::metadata(dir.path().join("meta.redb")).unwrap().len();
    println!("wrote in {:?}: file {} MB; {}", started.elapsed(), size >> 20, resident());
    for how in ["closed", "crashed"] {
        let started = Instant::now();
        let store = Arc::new(RedbStore::open(dir.path()).unwrap());
        let opened = started.elapsed();
        let catalog = Catalog::open(store).await.unwrap();
        let contents = catalog.load(std::mem::take).await.unwrap();
        let groups = contents
            .segments
            .values()
            .flatten()
            .map(|s| Arc::as_ptr(&s.group))
            .collect::<std::collections::HashSet<_>>();
        println!(
            "{how}: open {opened:?}, with load {:?}; {} segments of {} bytes in {} groups, {} jobs; {}",
            started.elapsed(),
            contents.segments.values().map(Vec::len).sum::<usize>(),
            size_of::<Segment>(),
            groups.len(),
            contents.jobs.len(),
            resident()
        );
        if how == "closed" {
            let copy = tempfile::tempdir_in(dir.path()).unwrap();
            std::fs::copy(dir.path().join("meta.redb"), copy.path().join("meta.redb")).unwrap();
            let started = Instant::now();
            drop(RedbStore::open(copy.path()).unwrap());
            println!("a file that was not closed: open {:?}", started.elapsed());
        }
    }
}

//! Compaction as a client sees it, at chosen moments: deletes that arrive while a plan runs, restarts, failures, garbage
//! collection. Each test runs a whole coordinator in its own process, with the real catalog, log and merge.

mod dropped_calls;
#[path = "../kit/mod.rs"]
mod kit;
mod moments;
mod numbers;
mod outages;
mod owners;
mod terms;
mod world;

use std::{collections::BTreeSet, time::Duration};

use datacoord::storage::StorageBackend;
use futures::TryStreamExt;
use kit::within;
use world::{World, ok};

const BOOK: &str = "book";
/// The object by which a store names its owner.
const OWNER_MARK: &str = "datacoord-owner";

/// Stock 2.3.5 puts the deletes of all sources under one key and loses all but one of them at a restart.
#[tokio::test]
async fn deletes_that_reach_several_sources_of_a_running_plan_are_on_the_output() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    process.segment(BOOK, 20..30).await;
    world.hold_writes();
    let job = process.compact(BOOK).await;
    world.gate.arrival().await;
    process.delete(BOOK, &[3, 13, 23]).await;
    // Now each source has a delta log that the plan did not read.
    process.flush(BOOK).await;
    world.gate.open();
    let state = process.ended(job).await;
    assert_eq!((state.completed_plan_no, state.failed_plan_no), (1, 0));
    let left: Vec<i64> = (0..30).filter(|k| ![3, 13, 23].contains(k)).collect();
    assert_eq!(process.keys(BOOK).await, left);
    assert_eq!(process.segments(BOOK).await.len(), 1);
    process.stop().await;

    let process = world.start().await;
    assert_eq!(process.keys(BOOK).await, left);
    // The deltas of the output are real: rewriting it leaves them out.
    let job = process.compact(BOOK).await;
    process.ended(job).await;
    assert_eq!(process.segments(BOOK).await.into_iter().map(|(_, rows)| rows).collect::<Vec<_>>(), [27]);
    assert_eq!(process.keys(BOOK).await, left);
    process.stop().await;
}

/// Stock 2.3.5 acknowledges a delete that arrives around the switch to the output, and drops it.
#[tokio::test]
async fn a_delete_that_waits_in_memory_over_a_commit_reaches_the_output() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    world.hold_writes();
    let job = process.compact(BOOK).await;
    world.gate.arrival().await;
    process.delete(BOOK, &[5, 15]).await;
    world.gate.open();
    process.ended(job).await;
    process.delete(BOOK, &[6, 16]).await;
    let left: Vec<i64> = (0..20).filter(|k| ![5, 6, 15, 16].contains(k)).collect();
    assert_eq!(process.keys(BOOK).await, left);
    process.flush(BOOK).await;
    assert_eq!(process.keys(BOOK).await, left);
    process.stop().await;
    let process = world.start().await;
    assert_eq!(process.keys(BOOK).await, left);
    process.stop().await;
}

#[tokio::test]
async fn a_restart_finishes_the_running_plan() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    let sources: BTreeSet<i64> = process.segments(BOOK).await.into_iter().map(|(id, _)| id).collect();
    world.hold_writes();
    let job = process.compact(BOOK).await;
    world.gate.arrival().await;
    process.stop().await;
    world.gate.open();

    let process = world.start().await;
    let state = process.ended(job).await;
    assert_eq!((state.completed_plan_no, state.failed_plan_no), (1, 0));
    let plans = process.plans(job).await;
    assert_eq!(plans.len(), 1);
    assert_eq!(plans[0].sources.iter().copied().collect::<BTreeSet<_>>(), sources);
    assert_eq!(process.segments(BOOK).await, BTreeSet::from([(plans[0].target, 20)]));
    assert_eq!(process.keys(BOOK).await, (0..20).collect::<Vec<_>>());
    process.stop().await;
}

#[tokio::test]
async fn small_segments_are_merged_by_the_flush_that_makes_one_too_many() {
    let world = World::new();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    let many = i64::from(world.config.compaction.max_small_segments) + 1;
    for n in 0..many {
        process.segment(BOOK, n * 10..n * 10 + 10).await;
    }
    process.until_segments(BOOK, 1).await;
    assert_eq!(process.keys(BOOK).await, (0..many * 10).collect::<Vec<_>>());
    process.stop().await;
}

#[tokio::test]
async fn a_collection_can_opt_out_without_touching_another_one() {
    let world = World::new();
    let process = world.start().await;
    process.create("still", &[("collection.autocompaction.enabled", "false")]).await;
    process.create(BOOK, &[]).await;
    let many = i64::from(world.config.compaction.max_small_segments) + 1;
    for n in 0..many {
        process.segment("still", n * 10..n * 10 + 10).await;
    }
    for n in 0..many {
        process.segment(BOOK, n * 10..n * 10 + 10).await;
    }
    process.until_segments(BOOK, 1).await;
    assert_eq!(process.segments("still").await.len() as i64, many, "its flushes came first, and led to nothing");
    let job = process.compact("still").await;
    process.ended(job).await;
    assert_eq!(process.segments("still").await.len(), 1, "a request is another matter");
    process.stop().await;
}

#[tokio::test]
async fn deletes_beyond_the_threshold_rewrite_a_segment() {
    let world = World::new();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..100).await;
    let first = process.segments(BOOK).await;
    process.delete(BOOK, &(0..20).collect::<Vec<_>>()).await;
    process.flush(BOOK).await;
    assert_eq!(process.segments(BOOK).await, first, "20 of 100 is not more than 20 %");
    process.delete(BOOK, &[20]).await;
    process.flush(BOOK).await;
    within("the rewritten segment", async {
        while process.segments(BOOK).await.into_iter().map(|(_, rows)| rows).collect::<Vec<_>>() != [79] {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(process.keys(BOOK).await, (21..100).collect::<Vec<_>>());
    process.stop().await;
}

#[tokio::test]
async fn compaction_drops_expired_rows() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[("collection.ttl.seconds", "60")]).await;
    process.segment(BOOK, 0..10).await;
    world.clock.advance(Duration::from_secs(50));
    process.segment(BOOK, 10..20).await;
    world.clock.advance(Duration::from_secs(11));
    let job = process.compact(BOOK).await;
    process.ended(job).await;
    assert_eq!(process.segments(BOOK).await.into_iter().map(|(_, rows)| rows).collect::<Vec<_>>(), [10]);
    assert_eq!(process.keys(BOOK).await, (10..20).collect::<Vec<_>>());
    process.stop().await;
}

#[tokio::test]
async fn a_delete_within_the_retention_window_keeps_its_row_in_the_files() {
    let mut world = World::without_automatic_compaction();
    world.config.compaction.retention = Duration::from_secs(100);
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    process.delete(BOOK, &[4, 14]).await;
    process.flush(BOOK).await;
    let job = process.compact(BOOK).await;
    process.ended(job).await;
    assert_eq!(process.segments(BOOK).await.into_iter().map(|(_, rows)| rows).collect::<Vec<_>>(), [20]);
    let left: Vec<i64> = (0..20).filter(|k| ![4, 14].contains(k)).collect();
    assert_eq!(process.keys(BOOK).await, left, "the deletes went along");
    world.clock.advance(Duration::from_secs(101));
    let job = process.compact(BOOK).await;
    process.ended(job).await;
    assert_eq!(process.segments(BOOK).await.into_iter().map(|(_, rows)| rows).collect::<Vec<_>>(), [18]);
    assert_eq!(process.keys(BOOK).await, left);
    process.stop().await;
}

#[tokio::test]
async fn a_damaged_input_fails_the_plan_and_harms_nothing() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    let before = process.segments(BOOK).await;
    let listed: Vec<_> = world.gate.list("insert_log").try_collect().await.unwrap();
    let victim = listed.iter().map(|l| l.name.clone()).find(|name| name.contains("/100/")).unwrap();
    let whole = world.gate.get(&victim).await.unwrap();
    let put =
        |bytes| datacoord::storage::Object { name: victim.clone(), bytes, rest: None, pace: None, read_soon: true };
    world.gate.put(&[put(whole.slice(..whole.len() / 2))]).await.unwrap();

    let job = process.compact(BOOK).await;
    let state = process.ended(job).await;
    assert_eq!((state.completed_plan_no, state.failed_plan_no, state.executing_plan_no), (0, 1, 0));
    assert_eq!(process.segments(BOOK).await, before);
    process.stop().await;
    let process = world.start().await;
    assert_eq!(process.ended(job).await.failed_plan_no, 1, "a restart forgets no failure");

    world.gate.put(&[put(whole)]).await.unwrap();
    let again = process.compact(BOOK).await;
    assert_eq!(process.ended(again).await.completed_plan_no, 1, "a request tries again");
    assert_eq!(process.keys(BOOK).await, (0..20).collect::<Vec<_>>());
    process.stop().await;
}

#[tokio::test]
async fn an_unknown_job_is_an_error() {
    let world = World::new();
    let process = world.start().await;
    let status = process.state(4711).await.status.unwrap();
    assert!(status.code != 0 && status.reason.contains("4711"), "{status:?}");
    process.stop().await;
}

#[tokio::test]
async fn garbage_collection_removes_only_garbage() {
    let mut world = World::without_automatic_compaction();
    world.config.gc.interval = Duration::from_millis(1);
    world.config.gc.drop_tolerance = Duration::from_secs(100);
    world.config.gc.missing_tolerance = Duration::from_secs(100);
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    let of_sources = objects(&world).await;
    let job = process.compact(BOOK).await;
    process.ended(job).await;
    process.coordinator.collect_garbage().await.unwrap();
    let all = objects(&world).await;
    assert!(all.is_superset(&of_sources), "nothing goes before its time");
    world.clock.advance(Duration::from_secs(101));
    let of_output: BTreeSet<String> = all.difference(&of_sources).cloned().collect();
    within("the files of the sources to go", async {
        while objects(&world).await != of_output {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(process.keys(BOOK).await, (0..20).collect::<Vec<_>>());
    ok(process.state(job).await.status);

    process.drop_collection(BOOK).await;
    world.clock.advance(Duration::from_secs(101));
    within("the files of the dropped collection to go", async {
        while !objects(&world).await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    process.stop().await;
}

/// Its garbage collection would delete objects that the first catalog names.
#[tokio::test]
async fn a_second_catalog_over_the_same_files_is_refused() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.stop().await;
    let before = objects(&world).await;

    let mut other = World::without_automatic_compaction();
    other.gate = std::sync::Arc::clone(&world.gate);
    let error = other.try_start().await.err().unwrap().to_string();
    assert!(error.contains("another catalog, has run since"), "{error}");
    assert_eq!(objects(&world).await, before);

    let process = world.start().await;
    assert_eq!(process.keys(BOOK).await, (0..10).collect::<Vec<_>>());
    process.stop().await;
}

/// Flips bits of the catalog's file: each start refuses and names the file, or serves exactly the rows that were written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_catalog_is_refused_or_serves_every_row() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create("c", &[]).await;
    for segment in 0..5 {
        process.segment("c", segment * 100..segment * 100 + 100).await;
    }
    process.delete("c", &[7]).await;
    process.flush("c").await;
    let expected = process.keys("c").await;
    assert_eq!(expected.len(), 499);
    process.stop().await;
    let before = files(world.data_dir());
    let mark = world.gate.get(OWNER_MARK).await.unwrap();
    let catalog = world.data_dir().join("meta.redb");
    let good = std::fs::read(&catalog).unwrap();
    let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0).collect();
    let (mut refused, mut served) = (0, 0);
    for flip in 0..60usize {
        for (path, _) in files(world.data_dir()) {
            std::fs::remove_file(path).unwrap();
        }
        for (path, bytes) in &before {
            std::fs::write(path, bytes).unwrap();
        }
        // A successful start left its own mark, which the restored catalog does not know.
        let found = world.gate.get(OWNER_MARK).await.unwrap();
        world.gate.swap(OWNER_MARK, Some(found), mark.clone()).await.unwrap();
        let at = if flip % 3 == 0 { flip * 5 % 320 } else { used[flip * 7919 % used.len()] };
        let mut bad = good.clone();
        bad[at] ^= 1 << (flip % 8);
        std::fs::write(&catalog, bad).unwrap();
        match world.start_over_files().await {
            Ok(process) => {
                assert_eq!(process.keys("c").await, expected, "bit {} of byte {at}", flip % 8);
                process.stop().await;
                served += 1;
            }
            Err(error) => {
                assert!(error.contains("meta.redb"), "bit {} of byte {at}: {error}", flip % 8);
                refused += 1;
            }
        }
    }
    assert!(refused > 10 && served > 0, "{refused} refused, {served} served");
}

/// All files below a directory.
fn files(dir: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found
}

/// A store flips a bit of an object. A query names the object, before and after a restart; a compaction fails and leaves
/// its inputs; and the scrubber finds the damage without any read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_of_an_object_is_never_served_or_copied() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create("c", &[]).await;
    process.segment("c", 0..100).await;
    process.segment("c", 100..200).await;
    process.delete("c", &[5]).await;
    process.flush("c").await;
    let names = objects(&world).await;
    let mut process = process;
    for name in names.iter().filter(|name| name.starts_with("insert_log")) {
        let good = world.gate.get(name).await.unwrap();
        let mut bad = good.to_vec();
        let at = bad.len() * 2 / 3;
        bad[at] ^= 4;
        put(&world, name, bad.into()).await;
        let error = process.query_error("c").await;
        // Queries do not read row ids.
        if !name.contains("/0/") {
            let error = error.unwrap_or_else(|| panic!("{name} was served"));
            assert!(error.contains(name) && error.contains("damaged"), "{error}");
        }
        process.stop().await;
        process = world.start().await;
        if !name.contains("/0/") {
            assert!(process.query_error("c").await.is_some_and(|e| e.contains(name)), "{name} after a restart");
        }
        let job = process.compact("c").await;
        assert_eq!(process.ended(job).await.failed_plan_no, 1, "{name}");
        put(&world, name, good).await;
        assert_eq!(objects(&world).await, names, "the inputs are as they were");
    }
    assert_eq!(process.query_error("c").await, None);
    process.stop().await;
}

async fn put(world: &World, name: &str, bytes: bytes::Bytes) {
    let object = datacoord::storage::Object { name: name.to_owned(), bytes, rest: None, pace: None, read_soon: true };
    world.gate.put(&[object]).await.unwrap();
}

async fn objects(world: &World) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["insert_log", "stats_log", "delta_log"] {
        let listed: Vec<_> = world.gate.list(folder).try_collect().await.unwrap();
        names.extend(listed.into_iter().map(|l| l.name));
    }
    names
}

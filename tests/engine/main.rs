//! Compaction as a client sees it, with the moments chosen: what arrives while a plan runs, what a restart resumes,
//! what fails and what is thrown away. One process of the test's own, the real catalog, log and merge.

mod dropped_calls;
mod terms;
mod world;

use std::{collections::BTreeSet, time::Duration};

use datacoord::storage::Backend;
use futures::TryStreamExt;
use world::{World, ok, within};

const BOOK: &str = "book";

/// Stock 2.3.5 puts the deletes of all sources under one key and loses all but one of them at a restart.
#[tokio::test]
async fn deletes_that_reach_several_sources_of_a_running_plan_are_on_the_output() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    process.segment(BOOK, 20..30).await;
    world.gate.shut();
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
    world.gate.shut();
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
async fn a_restart_finishes_what_was_running() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    process.segment(BOOK, 10..20).await;
    let sources: BTreeSet<i64> = process.segments(BOOK).await.into_iter().map(|(id, _)| id).collect();
    world.gate.shut();
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
async fn rows_past_their_time_are_left_out() {
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
async fn garbage_goes_and_nothing_else() {
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

/// Its garbage collection would delete what the first catalog names.
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
    assert!(error.contains("belongs to catalog"), "{error}");
    assert_eq!(objects(&world).await, before);

    let process = world.start().await;
    assert_eq!(process.keys(BOOK).await, (0..10).collect::<Vec<_>>());
    process.stop().await;
}

async fn objects(world: &World) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["insert_log", "stats_log", "delta_log"] {
        let listed: Vec<_> = world.gate.list(folder).try_collect().await.unwrap();
        names.extend(listed.into_iter().map(|l| l.name));
    }
    names
}

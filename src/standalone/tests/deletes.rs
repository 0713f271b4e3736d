//! Deletes by expression read first and write later: they take the rows that they have read, and no later ones.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema};

use super::{super::*, World};
use crate::{
    coordinator::CollectionCell,
    ingest::{DeleteOp, Write},
    kit::{filters::compile, model},
    model::{DataType, Field, FieldId, PrimaryKey, Timestamp},
};

const NAME: &str = "values";

/// A key and a value.
async fn values(world: &World, shards: u32) -> Arc<CollectionCell> {
    keyed_values(world, shards, model::key(100, "id", DataType::Int64)).await
}

async fn keyed_values(world: &World, shards: u32, key: Field) -> Arc<CollectionCell> {
    let fields = vec![key, model::field(101, "v", DataType::Int64)];
    let schema = model::schema(NAME, fields);
    let new = NewCollection {
        database: "default".to_owned(),
        schema,
        shards,
        consistency_level: 0,
        properties: BTreeMap::new(),
        partitions: None,
    };
    world.standalone.create_collection(new).await.unwrap();
    found(world)
}

fn found(world: &World) -> Arc<CollectionCell> {
    world.standalone.resolve(CollectionName::new("", NAME)).unwrap()
}

fn rows(pairs: &[(i64, i64)]) -> RecordBatch {
    let fields = ["100", "101"].map(|name| ArrowField::new(name, ArrowType::Int64, false));
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(pairs.iter().map(|(key, _)| *key)));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(pairs.iter().map(|(_, value)| *value)));
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields.to_vec())), vec![keys, values]).unwrap()
}

async fn upsert(coordinator: &Standalone, cell: &CollectionCell, key: i64, value: i64) -> Timestamp {
    coordinator.upsert(cell, "", rows(&[(key, value)])).await.unwrap().ts
}

async fn delete(coordinator: &Standalone, cell: &Arc<CollectionCell>, filter: &str) -> Mutation {
    let filter = compile(filter, &cell.meta().schema).unwrap().unwrap();
    coordinator.delete(cell, None, &filter, None).await.unwrap()
}

/// Every key that a client sees, with its value.
async fn seen(coordinator: &Standalone, cell: &CollectionCell, filter: &str) -> BTreeMap<i64, i64> {
    let request = ReadRequest {
        rows: Rows::matching(compile(filter, &cell.meta().schema).unwrap()),
        fields: vec![FieldId(100), FieldId(101)],
        limit: None,
        offset: 0,
    };
    let batch = coordinator.query(cell, request).await.unwrap().rows;
    let column = |at: usize| batch.column(at).as_primitive::<Int64Type>().values().to_vec();
    column(0).into_iter().zip(column(1)).collect()
}

/// The shard of a new key need not be that of the one it replaces. A key that no row has replaces nothing.
#[tokio::test]
async fn an_upsert_over_generated_keys_makes_new_ones() {
    let world = World::new().await;
    let key = Field { auto_id: true, ..model::key(100, "id", DataType::Int64) };
    let cell = keyed_values(&world, 4, key).await;
    let new_values: RecordBatch = rows(&[0, 1, 2, 3, 4, 5, 6, 7].map(|n| (0, n))).project(&[1]).unwrap();
    let done = world.standalone.insert(&cell, "", new_values).await.unwrap();
    let before = done.keys.unwrap().as_primitive::<Int64Type>().values().to_vec();
    world.standalone.flush(&cell).await.unwrap();

    let replaced: Vec<_> = before[..6].iter().map(|key| (*key, 10 * key)).chain([(-1, 70)]).collect();
    let done = world.standalone.upsert(&cell, "", rows(&replaced)).await.unwrap();
    let after = done.keys.unwrap().as_primitive::<Int64Type>().values().to_vec();
    assert_eq!((after.len(), done.count), (7, 7));
    assert!(after.iter().all(|key| *key != -1 && !before.contains(key)), "{after:?}, {before:?}");
    let new = after.iter().zip(&replaced).map(|(key, (_, value))| (*key, *value));
    let expected: BTreeMap<i64, i64> = new.chain([(before[6], 6), (before[7], 7)]).collect();
    assert_eq!(seen(&world.standalone, &cell, "").await, expected);
    world.standalone.flush(&cell).await.unwrap();
    assert_eq!(seen(&world.standalone, &cell, "").await, expected);
}

/// A row that replaces a matching one between the read and the write of a delete stays: in memory, in files, and when
/// the log is replayed.
#[tokio::test]
async fn a_delete_by_expression_spares_rows_written_after_its_read() {
    let world = World::new().await;
    let cell = values(&world, 1).await;
    world.standalone.upsert(&cell, "", rows(&[(1, 0), (2, 0), (3, 7)])).await.unwrap();
    world.standalone.flush(&cell).await.unwrap();
    world.hold();
    let deleting = {
        let (coordinator, cell) = (Arc::clone(&world.standalone), Arc::clone(&cell));
        tokio::spawn(async move { delete(&coordinator, &cell, "v == 0").await })
    };
    world.held().await;
    let newer = upsert(&world.standalone, &cell, 1, 5).await;
    // It matches, but came too late to be asked for.
    upsert(&world.standalone, &cell, 4, 0).await;
    world.release();
    let done = deleting.await.unwrap();
    assert_eq!(done.count, 2);
    assert!(done.ts > newer, "the answer has the log's time: a read at it sees the delete");
    let expected = BTreeMap::from([(1, 5), (3, 7), (4, 0)]);
    assert_eq!(seen(&world.standalone, &cell, "id >= 0").await, expected, "in memory");

    let world = world.restarted().await;
    let cell = found(&world);
    assert_eq!(seen(&world.standalone, &cell, "id >= 0").await, expected, "replayed");
    world.standalone.flush(&cell).await.unwrap();
    assert_eq!(world.standalone.ingest_stats().pending_deletes, 0);
    assert_eq!(seen(&world.standalone, &cell, "id >= 0").await, expected, "in files");
    world.ended(world.compact(&cell).await).await;
    assert_eq!(seen(&world.standalone, &cell, "id >= 0").await, expected, "compacted");
    let world = world.restarted().await;
    assert_eq!(seen(&world.standalone, &found(&world), "id >= 0").await, expected);
}

/// The first thing that a process does may be such a delete, over rows that its log does not have.
#[tokio::test]
async fn a_delete_by_expression_reaches_rows_of_earlier_processes() {
    let world = World::new().await;
    let cell = values(&world, 1).await;
    world.standalone.upsert(&cell, "", rows(&[(1, 0), (2, 7)])).await.unwrap();
    world.standalone.flush(&cell).await.unwrap();
    let world = world.restarted().await;
    let world = world.restarted().await;
    let cell = found(&world);
    assert_eq!(delete(&world.standalone, &cell, "v == 0").await.count, 1);
    assert_eq!(seen(&world.standalone, &cell, "id >= 0").await, BTreeMap::from([(2, 7)]));
    world.standalone.flush(&cell).await.unwrap();
    assert_eq!(seen(&world.standalone, &cell, "id >= 0").await, BTreeMap::from([(2, 7)]));
}

/// Writers that own their keys, deletes of one value beside them. An acknowledged row that does not match must be there
/// until its writer replaces it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_upserts_lose_no_row_to_deletes_that_it_does_not_match() {
    const WRITERS: i64 = 4;
    const KEYS: i64 = 3;
    const ROUNDS: i64 = 120;
    let world = World::with(|config| config.compaction.auto_enabled = true).await;
    let cell = values(&world, 2).await;
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut deleting = Vec::new();
    for filter in ["v == 0", "v < 1", "v == 0 && id >= 0"] {
        let (coordinator, cell, done) = (Arc::clone(&world.standalone), Arc::clone(&cell), Arc::clone(&done));
        deleting.push(tokio::spawn(async move {
            let mut rounds = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                delete(&coordinator, &cell, filter).await;
                rounds += 1;
                if rounds % 16 == 0 {
                    coordinator.flush(&cell).await.unwrap();
                }
            }
        }));
    }
    let mut writing = Vec::new();
    for writer in 0..WRITERS {
        let (coordinator, cell) = (Arc::clone(&world.standalone), Arc::clone(&cell));
        writing.push(tokio::spawn(async move {
            let mut lost = Vec::new();
            for round in 1..=ROUNDS {
                let key = writer * KEYS + round % KEYS;
                upsert(&coordinator, &cell, key, 0).await;
                upsert(&coordinator, &cell, key, round).await;
                if seen(&coordinator, &cell, &format!("id == {key}")).await.get(&key) != Some(&round) {
                    lost.push((key, round));
                }
            }
            lost
        }));
    }
    let mut lost = Vec::new();
    for task in writing {
        lost.extend(task.await.unwrap());
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    for task in deleting {
        task.await.unwrap();
    }
    assert_eq!(lost, [], "lost right after they were acknowledged");
    let last = |key: i64| (1..=ROUNDS).rev().find(|round| round % KEYS == key % KEYS).unwrap();
    let expected: BTreeMap<i64, i64> = (0..WRITERS * KEYS).map(|key| (key, last(key))).collect();
    assert_eq!(seen(&world.standalone, &cell, "id >= 0").await, expected);
    let world = world.restarted().await;
    assert_eq!(seen(&world.standalone, &found(&world), "id >= 0").await, expected, "after a restart");
}

/// A flush under way has its rows in hand already.
#[tokio::test]
async fn a_truncation_takes_along_rows_of_a_running_flush() {
    let world = World::new().await;
    let cell = values(&world, 1).await;
    world.standalone.upsert(&cell, "", rows(&[(1, 0), (2, 7)])).await.unwrap();
    world.hold_writes();
    let flushing = {
        let (coordinator, cell) = (Arc::clone(&world.standalone), Arc::clone(&cell));
        tokio::spawn(async move { coordinator.flush(&cell).await })
    };
    world.held().await;
    let coordinator = Arc::clone(&world.standalone);
    let truncating =
        tokio::spawn(async move { coordinator.truncate_collection(CollectionName::new("default", NAME)).await });
    // Every chance to be done too early.
    for _ in 0..500 {
        world.standalone.ingest.tick().await.unwrap();
    }
    world.release();
    truncating.await.unwrap().unwrap();
    flushing.await.unwrap().unwrap();
    assert_eq!(seen(&world.standalone, &cell, "id >= 0").await, BTreeMap::new());
    upsert(&world.standalone, &cell, 3, 1).await;
    let world = world.restarted().await;
    assert_eq!(seen(&world.standalone, &found(&world), "id >= 0").await, BTreeMap::from([(3, 1)]));
}

/// Its timestamp lies between those of the rows of one segment.
#[tokio::test]
async fn a_delete_that_is_older_than_some_rows_of_a_segment_reaches_the_others() {
    let world = World::new().await;
    let cell = world.collection(NAME).await;
    world.standalone.insert(&cell, "", super::rows(0..10)).await.unwrap();
    let older_than = world.standalone.ingest.snapshot(cell.id).deletes_older_than();
    world.segment(&cell, 10..20).await;
    let meta = cell.meta();
    let keys: Arc<[PrimaryKey]> = (5..15).map(PrimaryKey::Int).collect();
    let delete = DeleteOp { channel: meta.channels[0].clone(), partition: None, keys, older_than: Some(older_than) };
    let write =
        Write { collection: cell.id, schema: Arc::clone(&meta.schema), deletes: vec![delete], inserts: Vec::new() };
    world.standalone.ingest.write(write).await.unwrap();
    world.standalone.ingest.flush_deltas(cell.id).await.unwrap();
    assert_eq!(
        world.standalone.count(&cell, Rows::matching(compile("id >= 0", &meta.schema).unwrap())).await.unwrap(),
        15
    );
}

/// As Milvus counts: each key as often as the expression lists it.
#[tokio::test]
async fn a_delete_counts_the_keys_that_it_lists() {
    let world = World::new().await;
    let cell = values(&world, 2).await;
    world.standalone.upsert(&cell, "", rows(&[(1, 0), (2, 7)])).await.unwrap();
    for (filter, count) in
        [("id in [0, 0, 0]", 3), ("id in [1, 2, 1]", 3), ("id == 9", 1), ("id in []", 0), ("v == 7", 0)]
    {
        assert_eq!(delete(&world.standalone, &cell, filter).await.count, count, "{filter}");
    }
    assert_eq!(seen(&world.standalone, &cell, "id >= 0").await, BTreeMap::new());
}

/// Rows in memory are left out, deletes in memory are not.
#[tokio::test]
async fn a_read_may_ignore_rows_that_are_not_flushed() {
    let world = World::new().await;
    let cell = world.collection("books").await;
    world.segment(&cell, 0..10).await;
    world.standalone.insert(&cell, "", super::rows(10..15)).await.unwrap();
    let count =
        async |ignore_growing| world.standalone.count(&cell, Rows { ignore_growing, ..Rows::default() }).await.unwrap();
    assert_eq!((count(false).await, count(true).await), (15, 10));
    world.delete(&cell, 8..12).await;
    assert_eq!((count(false).await, count(true).await), (11, 8));
    let read = ReadRequest {
        rows: Rows { ignore_growing: true, ..Rows::default() },
        fields: vec![FieldId(100)],
        limit: None,
        offset: 0,
    };
    let found = world.standalone.query(&cell, read).await.unwrap().rows;
    assert_eq!(found.column(0).as_primitive::<Int64Type>().values().to_vec(), (0..8).collect::<Vec<_>>());
    world.standalone.flush(&cell).await.unwrap();
    assert_eq!((count(false).await, count(true).await), (11, 11));
}

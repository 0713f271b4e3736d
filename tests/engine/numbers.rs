//! Numbers in requests: none of them sets the size of an allocation, and none of them makes a thread panic.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use datacoord::wire::proto::{
    common::KeyValuePair,
    milvus::{milvus_service_server::MilvusService, *},
    schema::DataType,
};
use tonic::Request;

use crate::{
    BOOK,
    kit::rpc,
    world::{World, ok},
};

/// Larger than any allocation that these tests need.
const MUCH: usize = 16 << 20;

/// Remembers the size of the largest allocation.
struct Watching;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Watching = Watching;

// SAFETY: all calls are passed on to the system's allocator.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[tokio::test]
async fn a_stated_number_of_rows_is_checked_against_the_columns() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    let columns = |keys: &[i64]| if keys.is_empty() { Vec::new() } else { vec![rpc::longs("id", keys.to_vec())] };
    for (collection, keys, num_rows, failed) in [
        ("nowhere", &[][..], u32::MAX, 0),
        (BOOK, &[], u32::MAX, 0),
        (BOOK, &[1, 2, 3], u32::MAX, 0),
        (BOOK, &[1, 2, 3], 4, 0),
        (BOOK, &[1, 2, 3], 3, 3),
        ("nowhere", &[1, 2, 3], 2, 2),
    ] {
        let insert = InsertRequest {
            collection_name: collection.into(),
            fields_data: columns(keys),
            num_rows,
            ..Default::default()
        };
        let answer = process.api().insert(Request::new(insert.clone())).await.unwrap().into_inner();
        assert_ne!(answer.status.unwrap().code, 0);
        assert_eq!(answer.err_index, (0..failed).collect::<Vec<u32>>(), "{collection} {keys:?} {num_rows}");
        let InsertRequest { collection_name, fields_data, num_rows, .. } = insert;
        let upsert = UpsertRequest { collection_name, fields_data, num_rows, ..Default::default() };
        let answer = process.api().upsert(Request::new(upsert)).await.unwrap().into_inner();
        assert_ne!(answer.status.unwrap().code, 0);
    }
    assert!(LARGEST.load(Relaxed) < MUCH, "{}", LARGEST.load(Relaxed));
    process.stop().await;
}

#[tokio::test]
async fn no_number_in_a_request_sets_the_size_of_an_allocation() {
    let world = World::without_automatic_compaction();
    let process = world.start().await;
    process.create(BOOK, &[]).await;
    process.segment(BOOK, 0..10).await;
    let api = process.api();

    for huge in [i64::MAX, i64::from(i32::MAX), i64::from(u32::MAX), i64::MIN, -7] {
        let text = huge.to_string();
        let query = |limit: &str, offset: &str| QueryRequest {
            collection_name: BOOK.into(),
            expr: "id >= 0".into(),
            output_fields: vec!["id".into()],
            query_params: vec![rpc::pair("limit", limit), rpc::pair("offset", offset)],
            ..Default::default()
        };
        for (limit, offset) in [(text.as_str(), "0"), ("1", text.as_str()), (&text, &text)] {
            let answer = api.query(Request::new(query(limit, offset))).await.unwrap().into_inner();
            assert_ne!(answer.status.unwrap().code, 0, "limit {limit} offset {offset}");
        }
        for (shards, partitions, params) in [
            (huge.clamp(i32::MIN.into(), i32::MAX.into()) as i32, 0, rpc::pair("dim", "4")),
            (1, huge, rpc::pair("dim", "4")),
            (1, 0, rpc::pair("dim", &text)),
        ] {
            create(api, shards, partitions, params).await;
        }
        let ttl = AlterCollectionRequest {
            collection_name: BOOK.into(),
            properties: vec![rpc::pair("collection.ttl.seconds", &text)],
            ..Default::default()
        };
        // The server may accept or refuse it: the rows are read in either case.
        api.alter_collection(Request::new(ttl)).await.unwrap();
        let compaction = ManualCompactionRequest {
            collection_name: BOOK.into(),
            target_size: huge,
            timetravel: huge as u64,
            ..Default::default()
        };
        api.manual_compaction(Request::new(compaction)).await.unwrap();
        for ids in [vec![huge], vec![huge; 1000]] {
            let state = GetFlushStateRequest { segment_i_ds: ids, ..Default::default() };
            api.get_flush_state(Request::new(state)).await.unwrap();
        }
        api.get_compaction_state(Request::new(GetCompactionStateRequest { compaction_id: huge })).await.unwrap();
        let load = LoadCollectionRequest {
            collection_name: BOOK.into(),
            replica_number: huge.clamp(i32::MIN.into(), i32::MAX.into()) as i32,
            ..Default::default()
        };
        api.load_collection(Request::new(load)).await.unwrap();
        let delete = DeleteRequest {
            collection_name: BOOK.into(),
            expr: format!("id in [{}]", [text.as_str(); 100].join(",")),
            ..Default::default()
        };
        api.delete(Request::new(delete)).await.unwrap();
    }
    let forget = AlterCollectionRequest {
        collection_name: BOOK.into(),
        properties: vec![rpc::pair("collection.ttl.seconds", "0")],
        ..Default::default()
    };
    ok(Some(api.alter_collection(Request::new(forget)).await.unwrap().into_inner()));
    assert_eq!(process.keys(BOOK).await, (0..10).collect::<Vec<_>>());
    assert!(LARGEST.load(Relaxed) < MUCH, "{}", LARGEST.load(Relaxed));
    process.stop().await;
}

/// Asks for an impossible collection.
async fn create(api: &dyn MilvusService, shards_num: i32, num_partitions: i64, vector: KeyValuePair) {
    let vector_field = rpc::field("vec", DataType::FloatVector, &[(vector.key.as_str(), vector.value.as_str())]);
    let request = CreateCollectionRequest {
        shards_num,
        num_partitions,
        ..rpc::creation("huge", vec![rpc::id_field(), vector_field])
    };
    let status = api.create_collection(Request::new(request)).await.unwrap().into_inner();
    // Zero or a negative number of shards or partitions means the default.
    let is_usual = shards_num <= 0 || num_partitions < 0;
    assert!(status.code != 0 || is_usual, "{shards_num} shards, {num_partitions} partitions, {vector:?}");
    if status.code == 0 {
        let drop = DropCollectionRequest { collection_name: "huge".into(), ..Default::default() };
        ok(Some(api.drop_collection(Request::new(drop)).await.unwrap().into_inner()));
    }
}

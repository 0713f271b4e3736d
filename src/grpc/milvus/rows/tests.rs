use super::*;
use crate::{
    kit::{pools, rpc},
    standalone::tests::World,
    wire::proto::{
        milvus::{UpsertRequest, milvus_service_server::MilvusService as _},
        schema::{DataType, FieldSchema, ValueField, value_field},
    },
};

const ROWS: usize = 1000;
const TEXT: usize = 500;
/// Room for the default values of one call, twice their bytes.
const POOL: u64 = 2 << 20;

async fn rows_of(api: &MilvusApi) -> i64 {
    let query =
        QueryRequest { collection_name: "books".into(), output_fields: vec!["count(*)".into()], ..Default::default() };
    let answer = api.query(Request::new(query)).await.unwrap().into_inner();
    assert_eq!(answer.status.unwrap().code, 0);
    rpc::longs_of(&answer.fields_data, "count(*)")[0]
}

/// A collection with a long default value; requests that leave it out are small.
async fn books(growth: crate::memory::Growth) -> (World, MilvusApi) {
    let world = World::new().await;
    let api = MilvusApi::new(world.standalone.clone(), growth);
    let text = value_field::Data::StringData("x".repeat(TEXT));
    let note = FieldSchema {
        default_value: Some(ValueField { data: Some(text) }),
        ..rpc::field("note", DataType::VarChar, &[("max_length", "500")])
    };
    let creation = rpc::creation("books", vec![rpc::id_field(), rpc::vector_field("v", 2), note]);
    assert_eq!(api.create_collection(Request::new(creation)).await.unwrap().into_inner().code, 0);
    assert_eq!(api.create_index(Request::new(rpc::indexing("books", "v"))).await.unwrap().into_inner().code, 0);
    assert_eq!(api.load_collection(Request::new(rpc::loading("books"))).await.unwrap().into_inner().code, 0);
    (world, api)
}

/// Default values are memory of the call: without it nothing is written, and clients try again.
#[tokio::test]
async fn default_values_wait_for_memory_like_messages() {
    let growth = pools::growth(POOL);
    let (_world, api) = books(growth.clone()).await;
    let columns = || vec![rpc::longs("id", (0..ROWS as i64).collect()), rpc::vectors("v", 2, vec![0.5; 2 * ROWS])];
    let insert = || rpc::insertion("books", ROWS, columns());
    let upsert = || UpsertRequest {
        collection_name: "books".into(),
        num_rows: ROWS as u32,
        fields_data: columns(),
        ..Default::default()
    };
    // Others have all memory but half of the need.
    let mut others = [growth.of_call(0), growth.of_call(0)];
    others[0].take(POOL).unwrap();
    others[1].take(POOL - (ROWS * TEXT) as u64).unwrap();
    let inserted = async || api.insert(Request::new(insert())).await.unwrap().into_inner();
    let upserted = async || api.upsert(Request::new(upsert())).await.unwrap().into_inner();
    for answer in [inserted().await, upserted().await] {
        let status = answer.status.unwrap();
        assert_eq!((status.code, status.retriable), (8, true), "{status:?}");
        let named = status.reason.contains("field note") && status.reason.ends_with("(some.key)");
        assert!(named, "{}", status.reason);
    }
    assert_eq!(rows_of(&api).await, 0);
    drop(others);
    for answer in [inserted().await, upserted().await] {
        assert_eq!(answer.status.unwrap().code, 0);
    }
    assert_eq!(rows_of(&api).await, ROWS as i64);
    assert_eq!(growth.used_bytes(), 0, "it was given back");
}

//! Several indexes of one collection. Expected answers are those that Milvus 2.3.5 gave.

use super::*;
use crate::{
    kit::pools,
    standalone::tests::World,
    wire::proto::{
        common::{KeyValuePair, Status as Outcome},
        milvus::milvus_service_server::MilvusService as _,
    },
};

type Answer = (i32, i32, String);

fn answer_of(status: Option<Outcome>) -> Answer {
    let status = status.unwrap();
    (status.code, status.error_code, status.reason)
}

fn ok() -> Answer {
    (0, 0, String::new())
}

async fn create(api: &MilvusApi, field: &str, index: &str, pairs: &[(&str, &str)]) -> Answer {
    let pair = |(key, value): &(&str, &str)| KeyValuePair { key: (*key).to_owned(), value: (*value).to_owned() };
    let request = CreateIndexRequest {
        collection_name: "books".to_owned(),
        field_name: field.to_owned(),
        index_name: index.to_owned(),
        extra_params: pairs.iter().map(pair).collect(),
        ..Default::default()
    };
    answer_of(Some(api.create_index(Request::new(request)).await.unwrap().into_inner()))
}

async fn drop_index(api: &MilvusApi, field: &str, index: &str) -> Answer {
    let (collection_name, field_name, index_name) = ("books".to_owned(), field.to_owned(), index.to_owned());
    let request = DropIndexRequest { collection_name, field_name, index_name, ..Default::default() };
    answer_of(Some(api.drop_index(Request::new(request)).await.unwrap().into_inner()))
}

/// Name, field and pairs of each.
async fn described(api: &MilvusApi, index: &str) -> Result<Vec<(String, String, Vec<(String, String)>)>, Answer> {
    let (collection_name, index_name) = ("books".to_owned(), index.to_owned());
    let request = DescribeIndexRequest { collection_name, index_name, ..Default::default() };
    let answer = api.describe_index(Request::new(request)).await.unwrap().into_inner();
    match answer_of(answer.status) {
        (0, ..) => Ok(answer
            .index_descriptions
            .into_iter()
            .map(|d| (d.index_name, d.field_name, d.params.into_iter().map(|p| (p.key, p.value)).collect()))
            .collect()),
        refusal => Err(refusal),
    }
}

async fn progress(api: &MilvusApi, index: &str) -> Answer {
    let (collection_name, index_name) = ("books".to_owned(), index.to_owned());
    let request = GetIndexBuildProgressRequest { collection_name, index_name, ..Default::default() };
    answer_of(api.get_index_build_progress(Request::new(request)).await.unwrap().into_inner().status)
}

async fn state(api: &MilvusApi, index: &str) -> (Answer, i32) {
    let (collection_name, index_name) = ("books".to_owned(), index.to_owned());
    let request = GetIndexStateRequest { collection_name, index_name, ..Default::default() };
    let answer = api.get_index_state(Request::new(request)).await.unwrap().into_inner();
    (answer_of(answer.status), answer.state)
}

/// Names of the indexes, and their types.
async fn statistics(api: &MilvusApi, index: &str) -> Result<Vec<(String, String)>, Answer> {
    let (collection_name, index_name) = ("books".to_owned(), index.to_owned());
    let request = GetIndexStatisticsRequest { collection_name, index_name, ..Default::default() };
    let answer = api.get_index_statistics(Request::new(request)).await.unwrap().into_inner();
    match answer_of(answer.status) {
        (0, ..) => {
            let kind = |pairs: Vec<common::KeyValuePair>| pairs.into_iter().find(|pair| pair.key == "index_type");
            let all = answer.index_descriptions.into_iter();
            Ok(all.map(|d| (d.index_name, kind(d.params).map(|pair| pair.value).unwrap_or_default())).collect())
        }
        refusal => Err(refusal),
    }
}

const FLAT: &[(&str, &str)] = &[("index_type", "FLAT"), ("metric_type", "L2")];
/// States of indexes.
const NONE: i32 = 0;
const FINISHED: i32 = 3;

#[tokio::test]
async fn a_field_has_one_index_and_a_name_means_one() {
    let world = World::new().await;
    world.collection("books").await;
    let api = MilvusApi::new(world.standalone.clone(), pools::growth(64 << 20));
    let refused = |reason: &str| (65535, 1, reason.to_owned());
    let missing = |of: &str| (700, 25, format!("index not found[{of}]"));
    assert_eq!(described(&api, "").await, Err(missing("collection=books")));
    assert_eq!(described(&api, "i1").await, Err(missing("indexName=i1")));
    assert_eq!(progress(&api, "").await, missing("indexName="));
    assert_eq!(statistics(&api, "").await, Err(missing("indexName=")));
    assert_eq!(state(&api, "").await, (ok(), NONE));

    assert_eq!(create(&api, "vector", "i1", FLAT).await, ok());
    assert_eq!(create(&api, "vector", "i1", FLAT).await, ok());
    assert_eq!(create(&api, "vector", "i1", &[FLAT[1], FLAT[0]]).await, ok(), "in another order");
    let distinct = refused("CreateIndex failed: at most one distinct index is allowed per field");
    assert_eq!(create(&api, "vector", "i1", &[FLAT[0], ("metric_type", "IP")]).await, distinct);
    assert_eq!(create(&api, "id", "i1", &[]).await, distinct);
    let several = refused("CreateIndex failed: creating multiple indexes on same field is not supported");
    assert_eq!(create(&api, "vector", "i2", FLAT).await, several);
    assert_eq!(create(&api, "id", "", &[]).await, ok());
    let json = create(&api, "vector", "i1", &[("params", "{")]).await;
    assert!(json.2.starts_with("unmarshal params failed, ") && json.0 == 65535, "{json:?}");

    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let of_v = ("i1".to_owned(), "vector".to_owned(), pairs(&[FLAT[1], FLAT[0]]));
    let of_id = ("id".to_owned(), "id".to_owned(), Vec::new());
    assert_eq!(described(&api, "").await, Ok(vec![of_v.clone(), of_id.clone()]));
    assert_eq!(described(&api, "i1").await, Ok(vec![of_v]));
    let both = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    // The type that was chosen over scalars is told here alone.
    assert_eq!(statistics(&api, "").await, Ok(vec![both("i1", "FLAT"), both("id", "STL_SORT")]));
    assert_eq!(statistics(&api, "id").await, Ok(vec![both("id", "STL_SORT")]));
    assert_eq!(statistics(&api, "nope").await, Err(missing("indexName=nope")));
    assert_eq!(progress(&api, "").await, (702, 1, "index duplicates[indexName=]".to_owned()));
    assert_eq!((progress(&api, "i1").await, progress(&api, "nope").await), (ok(), missing("indexName=nope")));
    assert_eq!(
        (state(&api, "").await.1, state(&api, "i1").await.1, state(&api, "nope").await.1),
        (NONE, FINISHED, NONE)
    );

    assert_eq!(drop_index(&api, "vector", "").await, refused("index duplicates[indexName=]"));
    assert_eq!(drop_index(&api, "", "nope").await, ok());
    assert_eq!(drop_index(&api, "vector", "i1").await, ok());
    // Milvus drops the only index, whichever field is named. We do only if it is that field's.
    assert_eq!(drop_index(&api, "vector", "").await, ok());
    assert_eq!(described(&api, "").await, Ok(vec![of_id]));
    assert_eq!(drop_index(&api, "id", "").await, ok());
    assert_eq!(described(&api, "").await, Err(missing("collection=books")));

    // A name of spaces is a name.
    assert_eq!(create(&api, "vector", " ", FLAT).await, ok());
    assert_eq!(statistics(&api, "").await, Ok(vec![both(" ", "FLAT")]));
    assert_eq!(drop_index(&api, "vector", " ").await, ok());

    assert_eq!(create(&api, "vector", "", &[]).await, ok());
    let auto = pairs(&[("index_type", "AUTOINDEX"), ("metric_type", "IP")]);
    assert_eq!(described(&api, "").await, Ok(vec![("vector".to_owned(), "vector".to_owned(), auto)]));
}

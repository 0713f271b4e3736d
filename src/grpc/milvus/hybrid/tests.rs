//! Whole calls, and the parameters that they carry.

use std::collections::HashMap;

use prost::Message as _;
use rstest::rstest;

use super::*;
use crate::{
    kit::pools,
    standalone::{
        LoadRequest,
        tests::{World, rows},
    },
    wire::proto::{
        common::{PlaceholderGroup, PlaceholderType, PlaceholderValue},
        milvus::{milvus_service_server::MilvusService as _, search_request::SearchInput},
        schema::{FunctionSchema, TemplateValue, i_ds::IdField, template_value::Val},
    },
};

fn pairs(given: &[(&str, &str)]) -> Vec<KeyValuePair> {
    given.iter().map(|(key, value)| KeyValuePair { key: (*key).into(), value: (*value).into() }).collect()
}

/// A search as clients send it: the vector of a row is its key, four times.
fn near(key: f32, filter: &str, params: &[(&str, &str)]) -> SearchRequest {
    let values = vec![[key; 4].map(f32::to_le_bytes).concat().into()];
    let r#type = PlaceholderType::FloatVector.into();
    let placeholder = PlaceholderValue { tag: "$0".into(), r#type, values, ..Default::default() };
    let group = PlaceholderGroup { placeholders: vec![placeholder] };
    SearchRequest {
        // Not that of the whole request, which counts.
        collection_name: "another".into(),
        partition_names: vec!["none".into()],
        dsl: filter.into(),
        dsl_type: 1,
        nq: 1,
        search_input: Some(SearchInput::PlaceholderGroup(group.encode_to_vec().into())),
        search_params: pairs(params),
        ..Default::default()
    }
}

fn hybrid(requests: Vec<SearchRequest>, rank: &[(&str, &str)]) -> HybridSearchRequest {
    HybridSearchRequest {
        collection_name: "books".into(),
        requests,
        rank_params: pairs(rank),
        output_fields: vec!["id".into()],
        ..Default::default()
    }
}

async fn books() -> (World, MilvusApi) {
    let world = World::new().await;
    let cell = world.collection("books").await;
    let name = CollectionName::new("", "books");
    let params = [("index_type", "FLAT"), ("metric_type", "L2")].map(|(key, value)| (key.into(), value.into()));
    world.standalone.create_index(name, "vector", "", params.into()).await.unwrap();
    world.standalone.load(name, LoadRequest::WHOLE).await.unwrap();
    world.segment(&cell, 0..5).await;
    world.standalone.insert(&cell, "", rows(5..10)).await.unwrap();
    let api = MilvusApi::new(world.standalone.clone(), pools::growth(64 << 20));
    (world, api)
}

/// Keys and values, or code and text.
async fn ask(api: &MilvusApi, request: HybridSearchRequest) -> Result<Vec<(i64, f32)>, (i32, String)> {
    let answer = api.hybrid_search(Request::new(request)).await.unwrap().into_inner();
    let status = answer.status.unwrap();
    if status.code != 0 {
        return Err((status.code, status.reason));
    }
    let results = answer.results.unwrap();
    let Some(IdField::IntId(keys)) = results.ids.unwrap().id_field else { panic!("other keys") };
    assert_eq!((results.num_queries, results.topks), (1, vec![keys.data.len() as i64]));
    assert_eq!(results.output_fields, ["id"]);
    Ok(keys.data.into_iter().zip(results.scores).collect())
}

/// The first search has the partitions, and they count for the others.
#[tokio::test]
async fn the_named_partitions_are_those_of_every_search() {
    let (world, api) = books().await;
    let name = CollectionName::new("", "books");
    world.standalone.create_partition(name, "p").await.unwrap();
    let cell = world.standalone.resolve(name).unwrap();
    world.standalone.insert(&cell, "p", rows(20..23)).await.unwrap();
    let searches = || vec![near(0.0, "", &[("topk", "3")]), near(9.0, "", &[("topk", "3")])];
    let keys = async |partitions: &[&str]| {
        let partition_names = partitions.iter().map(|name| (*name).to_owned()).collect();
        let request = HybridSearchRequest { partition_names, ..hybrid(searches(), &[("limit", "10")]) };
        let mut keys: Vec<i64> = ask(&api, request).await.unwrap().into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys(&["p"]).await, [20, 21, 22]);
    assert_eq!(keys(&[]).await, [0, 1, 2, 7, 8, 9]);
}

/// By hand: distances are four times the squared difference of the keys.
#[tokio::test]
async fn a_request_of_a_client() {
    let (_world, api) = books().await;
    // Clients repeat limit and offset of the whole request in each search, whose own limit is `topk`.
    let search = |key, filter: &str| near(key, filter, &[("topk", "3"), ("offset", "7"), ("anns_field", "vector")]);
    let rank = [("limit", "10"), ("round_decimal", "3"), ("offset", "1")];
    let reciprocal = [("strategy", "rrf"), ("params", r#"{"k": 1}"#), rank[0], rank[1], rank[2]];
    // The first finds 2, 1, 3, the second 6, 5, 7, without 3 and above.
    let found = ask(&api, hybrid(vec![search(2.0, ""), search(6.0, "id > 4")], &reciprocal)).await;
    assert_eq!(found, Ok(vec![(6, 0.5), (1, 0.333), (5, 0.333), (3, 0.25), (7, 0.25)]));
    let weighted = [("strategy", "weighted"), ("params", r#"{"weights": [1, 0.5]}"#), ("limit", "3")];
    let found = ask(&api, hybrid(vec![search(2.0, ""), search(2.0, "id != 2")], &weighted)).await;
    assert_eq!(found, Ok(vec![(2, 0.0), (1, 6.0), (3, 6.0)]));
    // Without a limit of its own a search finds as many rows as the request may need.
    let found = ask(&api, hybrid(vec![near(0.0, "", &[])], &[("limit", "2"), ("offset", "7")])).await;
    assert_eq!(found.unwrap().iter().map(|(key, _)| *key).collect::<Vec<_>>(), [7, 8]);
    let growing = [("ignore_growing", "true"), ("topk", "9")];
    let found = ask(&api, hybrid(vec![near(9.0, "", &growing)], &[("limit", "1")])).await;
    assert_eq!(found.unwrap(), [(4, 1.0 / 61.0)]);
    let mut with_values = near(0.0, "id == {key}", &[("topk", "9")]);
    with_values.expr_template_values =
        HashMap::from([("key".to_owned(), TemplateValue { val: Some(Val::Int64Val(8)) })]);
    assert_eq!(ask(&api, hybrid(vec![with_values], &[("limit", "5")])).await, Ok(vec![(8, 1.0 / 61.0)]));
}

#[tokio::test]
async fn refusals_of_requests() {
    let (_world, api) = books().await;
    let search = || near(1.0, "", &[("topk", "3")]);
    let limit = [("limit", "3")];
    let wrong = |text: &str| Err((65535, text.to_owned()));
    let newer = |text: &str| Err((1100, text.to_owned()));
    let missing = HybridSearchRequest { collection_name: "none".into(), ..hybrid(vec![search()], &limit) };
    assert_eq!(ask(&api, missing).await.unwrap_err().0, 100);
    assert_eq!(ask(&api, hybrid(vec![], &limit)).await, newer("minimum of ann search requests is 1"));
    let many = vec![search(); 1025];
    assert_eq!(ask(&api, hybrid(many, &limit)).await, newer("maximum of ann search requests is 1024, but got 1025"));
    let partitions = HybridSearchRequest { partition_names: vec!["none".into()], ..hybrid(vec![search()], &limit) };
    assert_eq!(ask(&api, partitions).await, wrong("partition name none not found"));
    let (_, reason) = ask(&api, hybrid(vec![search(), near(1.0, "id ==", &[])], &limit)).await.unwrap_err();
    assert!(reason.starts_with("failed to create query plan"), "{reason}");
    let grouped = near(1.0, "", &[("topk", "3"), ("group_by_field", "id")]);
    let groups = newer("group_by_field in a hybrid search is not supported");
    assert_eq!(ask(&api, hybrid(vec![grouped], &limit)).await, groups);
    let rank = [limit[0], ("group_by_field", "id")];
    assert_eq!(ask(&api, hybrid(vec![search()], &rank)).await, groups);
    let growing = near(1.0, "", &[("topk", "3"), ("ignore_growing", "true")]);
    let mixed = ask(&api, hybrid(vec![search(), growing], &limit)).await;
    assert_eq!(mixed, newer("ignore_growing in some searches of a hybrid search is not supported"));
    let by_keys = SearchRequest { search_by_primary_keys: true, ..search() };
    let refused = ask(&api, hybrid(vec![by_keys], &limit)).await;
    assert_eq!(refused, newer("a search by primary keys is not supported"));
    let scored = SearchRequest { function_score: Some(FunctionScore::default()), ..search() };
    let refused = ask(&api, hybrid(vec![search(), scored], &limit)).await;
    assert_eq!(refused, newer("function_score in a search is not supported"));
    let weights = [limit[0], ("strategy", "weighted"), ("params", r#"{"weights": [0.1]}"#)];
    let (code, reason) = ask(&api, hybrid(vec![search(); 2], &weights)).await.unwrap_err();
    assert!(code == 1100 && reason.contains("[expected=2][actual=1]"), "{reason}");
    let chain = vec![crate::wire::proto::schema::FunctionChain::default()];
    let chained = HybridSearchRequest { function_chains: chain, ..hybrid(vec![search()], &limit) };
    assert_eq!(ask(&api, chained).await, newer("a chain of functions is not supported"));
    for (rank, text) in [
        (&[][..], "limit not found in search_params"),
        (&[("limit", "x")], "limit [x] is invalid"),
        (&[("limit", "0")], "limit [0] is invalid, top k should be in range [1, 16384], but got 0"),
        (
            &[("limit", "16384"), ("offset", "1")],
            "offset+limit [16385] is invalid, top k should be in range [1, 16384], but got 16385",
        ),
        (
            &[("limit", "1"), ("round_decimal", "9")],
            "round_decimal [9] is invalid, should be -1 or an integer in range [0, 6]",
        ),
    ] {
        assert_eq!(ask(&api, hybrid(vec![search()], rank)).await, wrong(text), "{rank:?}");
    }
}

/// Keys of a page, the name of the iterator, and where the next page begins.
async fn page(api: &MilvusApi, more: &[(&str, &str)]) -> Result<(Vec<i64>, String, f32), (i32, String)> {
    let size = ("search_iter_batch_size", "3");
    let given = [&[("iterator", "True"), ("search_iter_v2", "True"), ("round_decimal", "0"), size], more].concat();
    let request =
        SearchRequest { collection_name: "books".into(), partition_names: Vec::new(), ..near(4.3, "", &given) };
    let answer = api.search(Request::new(request)).await.unwrap().into_inner();
    let status = answer.status.unwrap();
    if status.code != 0 {
        return Err((status.code, status.reason));
    }
    let results = answer.results.unwrap();
    assert!(answer.session_ts > 0);
    let Some(IdField::IntId(keys)) = results.ids.unwrap().id_field else { panic!("other keys") };
    let iterator = results.search_iterator_v2_results.unwrap();
    Ok((keys.data, iterator.token, iterator.last_bound))
}

/// Nothing is kept between the pages, and the end of a page is not rounded.
#[tokio::test]
async fn pages_of_an_iterator() {
    let (_world, api) = books().await;
    let (keys, token, mut end) = page(&api, &[]).await.unwrap();
    assert_eq!(keys, [4, 5, 3]);
    assert!(!token.is_empty() && (end - 4.0 * 1.3f32.powi(2)).abs() < 1e-3, "{token} {end}");
    for expected in [&[6, 2, 7][..], &[1, 8, 0], &[9], &[], &[]] {
        let bound = end.to_string();
        let more = [("search_iter_last_bound", bound.as_str()), ("search_iter_id", token.as_str())];
        let (keys, same, next) = page(&api, &more).await.unwrap();
        assert_eq!((keys.as_slice(), &same), (expected, &token));
        assert!(next > end || expected.is_empty() && next == end);
        end = next;
    }
    let (none, _, end) = page(&api, &[("params", r#"{"radius": 0.01}"#)]).await.unwrap();
    assert_eq!((none, end), (vec![], f32::MIN));
    let mut two = near(1.0, "", &[("iterator", "true"), ("search_iter_v2", "true"), ("search_iter_batch_size", "3")]);
    two.collection_name = "books".into();
    two.partition_names.clear();
    let Some(SearchInput::PlaceholderGroup(group)) = &two.search_input else { panic!("no vectors") };
    let mut group = PlaceholderGroup::decode(group.clone()).unwrap();
    let vector = group.placeholders[0].values[0].clone();
    group.placeholders[0].values.push(vector);
    two.search_input = Some(SearchInput::PlaceholderGroup(group.encode_to_vec().into()));
    two.nq = 2;
    let status = api.search(Request::new(two)).await.unwrap().into_inner().status.unwrap();
    assert_eq!(status.reason, "not allowed to have several query vectors when doing iteration");
    // An ordinary search has no iterator.
    let plain = SearchRequest {
        collection_name: "books".into(),
        partition_names: Vec::new(),
        ..near(4.0, "", &[("topk", "3")])
    };
    let answer = api.search(Request::new(plain)).await.unwrap().into_inner();
    assert_eq!((answer.results.unwrap().search_iterator_v2_results, answer.session_ts), (None, 0));
}

fn weighted(weights: &[f32], normalized: bool) -> Result<Fusion, SearchError> {
    Ok(Fusion::Weighted { weights: weights.to_vec(), normalized })
}

fn constant(got: &str) -> Result<Fusion, SearchError> {
    Err(SearchError::RankConstant { got: got.to_owned(), most: 16_384 })
}

#[rstest]
#[case("rrf", "{}", Ok(Fusion::Reciprocal { k: 60.0 }))]
#[case("RRF", r#"{"k": 0.5}"#, Ok(Fusion::Reciprocal { k: 0.5 }))]
#[case("rrf", r#"{"k": 0}"#, constant("0"))]
#[case("rrf", r#"{"k": 16384}"#, constant("16384"))]
#[case("rrf", r#"{"k": "60"}"#, constant("\"60\""))]
#[case("weighted", r#"{"weights": [0, 1, 0.25]}"#, weighted(&[0.0, 1.0, 0.25], false))]
#[case("weighted", r#"{"weights": [1], "norm_score": true}"#, weighted(&[1.0], true))]
#[case("weighted", r#"{"weights": [1], "norm_score": "false"}"#, weighted(&[1.0], false))]
#[case("weighted", r#"{"weights": [1], "norm_score": 1}"#, Err(SearchError::NormScore("1".into())))]
#[case("weighted", "{}", Err(SearchError::NoWeights))]
#[case("weighted", r#"{"weights": 1}"#, Err(SearchError::Weights("1".into())))]
#[case("weighted", r#"{"weights": ["a"]}"#, Err(SearchError::Weights("\"a\"".into())))]
#[case("weighted", r#"{"weights": [1.1]}"#, Err(SearchError::Weight("1.1".into())))]
#[case("weighted", r#"{"weights": [-0.1]}"#, Err(SearchError::Weight("-0.1".into())))]
#[case("best", "{}", Err(SearchError::Strategy("best".into())))]
#[case("rrf", "[]", Err(SearchError::RankParams("they are no object".into())))]
fn strategies(#[case] name: &str, #[case] params: &str, #[case] expected: Result<Fusion, SearchError>) {
    assert_eq!(strategy(&pairs(&[("strategy", name), ("params", params)])), expected);
}

#[test]
fn without_a_strategy_ranks_are_reciprocal() {
    assert_eq!(strategy(&[]), Ok(Fusion::Reciprocal { k: 60.0 }));
    let unreadable = strategy(&pairs(&[("strategy", "rrf"), ("params", "{")])).unwrap_err();
    assert!(matches!(unreadable, SearchError::RankParams(_)), "{unreadable}");
}

/// As `Function` of pymilvus sends it: every parameter is a text.
#[test]
fn functions_that_rank() {
    let of = |function: FunctionSchema| FunctionScore { functions: vec![function], ..Default::default() };
    let ranking = |params: &[(&str, &str)]| FunctionSchema {
        r#type: FunctionType::Rerank.into(),
        params: pairs(params),
        ..Default::default()
    };
    for (params, expected) in [
        (&[("reranker", "rrf"), ("k", "100")][..], Ok(Fusion::Reciprocal { k: 100.0 })),
        (&[("reranker", "weighted"), ("weights", "[0.1, 1]"), ("norm_score", "True")], weighted(&[0.1, 1.0], true)),
        (&[("reranker", "weighted"), ("weights", "many")], Err(SearchError::Weights("\"many\"".into()))),
        (&[("reranker", "decay")], Err(SearchError::Strategy("decay".into()))),
        (&[], Err(SearchError::Strategy(String::new()))),
    ] {
        assert_eq!(function(&of(ranking(params))).unwrap(), expected, "{params:?}");
    }
    for refused in [
        FunctionScore::default(),
        of(FunctionSchema { r#type: FunctionType::Bm25.into(), ..ranking(&[]) }),
        of(FunctionSchema { input_field_names: vec!["id".into()], ..ranking(&[("reranker", "rrf")]) }),
    ] {
        let CallError(status) = function(&refused).unwrap_err();
        assert!(status.code == 1100 && status.reason.ends_with("is not supported"), "{}", status.reason);
    }
}

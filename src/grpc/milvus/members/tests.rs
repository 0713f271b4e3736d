//! Every member is refused, by every call that takes it, and nothing else is.

use super::*;
use crate::{
    kit::pools,
    standalone::tests::World,
    wire::proto::{
        common::{Highlighter, SearchAggregationSpec, Status as Outcome},
        milvus::milvus_service_server::MilvusService as _,
        schema::{FunctionChain, FunctionScore},
    },
};

fn refusal(status: Option<Outcome>) -> (i32, i32, String) {
    let status = status.unwrap();
    (status.code, status.error_code, status.reason)
}

fn refused(text: &str) -> (i32, i32, String) {
    (1100, 5, format!("{text} is not supported"))
}

#[tokio::test]
async fn searches() {
    let world = World::new().await;
    world.collection("books").await;
    let api = MilvusApi::new(world.standalone.clone(), pools::growth(64 << 20));
    let search = || SearchRequest { collection_name: "books".into(), ..Default::default() };
    for (member, request) in [
        ("function_score", SearchRequest { function_score: Some(FunctionScore::default()), ..search() }),
        ("function_chains", SearchRequest { function_chains: vec![FunctionChain::default()], ..search() }),
        ("highlighter", SearchRequest { highlighter: Some(Highlighter::default()), ..search() }),
        (
            "search_aggregation",
            SearchRequest { search_aggregation: Some(SearchAggregationSpec::default()), ..search() },
        ),
        ("sub_reqs", SearchRequest { sub_reqs: vec![SubSearchRequest::default()], ..search() }),
    ] {
        let expected = refused(&format!("{member} in a search"));
        let answer = api.search(Request::new(request.clone())).await.unwrap().into_inner();
        assert_eq!(refusal(answer.status), expected, "{member}");
    }
    let answer = api.search(Request::new(search())).await.unwrap().into_inner();
    assert_eq!(refusal(answer.status).2, "topk not found in search_params", "goes on to its parameters");
}

#[tokio::test]
async fn namespaces() {
    let world = World::new().await;
    world.collection("books").await;
    let api = MilvusApi::new(world.standalone.clone(), pools::growth(64 << 20));
    macro_rules! asked {
        ($call:ident, $message:ident, $namespace:expr) => {{
            let (collection_name, namespace) = ("books".into(), Some($namespace.into()));
            let request = $message { collection_name, namespace, ..Default::default() };
            refusal(api.$call(Request::new(request)).await.unwrap().into_inner().status)
        }};
    }
    macro_rules! all {
        ($namespace:expr) => {
            [
                asked!(insert, InsertRequest, $namespace),
                asked!(upsert, UpsertRequest, $namespace),
                asked!(delete, DeleteRequest, $namespace),
                asked!(query, QueryRequest, $namespace),
                asked!(search, SearchRequest, $namespace),
                asked!(hybrid_search, HybridSearchRequest, $namespace),
            ]
        };
    }
    for answer in all!("mine") {
        assert_eq!(answer, refused("namespace"));
    }
    for (_, _, reason) in all!("") {
        assert!(!reason.contains("namespace"), "{reason}");
    }
}

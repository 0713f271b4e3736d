//! Expressions that are small as text and large once they are read: the memory of calls decides, before anything is built.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use datacoord::{
    query::compile,
    wire::proto::{
        milvus::*,
        schema::{DataType, LongArray, TemplateArrayValue, TemplateValue, template_array_value, template_value::Val},
    },
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use crate::{
    kit::{model, pools, rpc, within},
    memory,
    served::{DIM, Served, panics, query, search},
};

/// Large messages may take eleven sixteenths of it.
const REQUESTS: u64 = 8 << 20;
const TEXT: usize = 1 << 20;
/// Milvus' rate limit, and its code for a parameter that never fits.
const RATE_LIMIT: i32 = 8;
const INVALID: i32 = 1100;
/// The memory of all requests, and the copies of the message on the client's side and on its way.
const MOST_MEMORY: usize = REQUESTS as usize + 6 * TEXT;

/// As many parts as fit into a text, numbered, between a beginning and an end.
fn crowded(bytes: usize, begin: &str, part: impl Fn(usize) -> String, end: &str) -> String {
    let mut text = begin.to_owned();
    for n in 0.. {
        let part = part(n);
        if text.len() + part.len() + end.len() > bytes {
            break;
        }
        text += &part;
    }
    text + end
}

/// Each form of an expression that takes more memory than its text.
fn amplified(bytes: usize) -> Vec<(&'static str, String)> {
    let same = |begin: &str, part: &str, end: &str| crowded(bytes, begin, |_| part.to_owned(), end);
    vec![
        ("one key", same("id in [", "1,", "]")),
        ("many keys", crowded(bytes, "id in [", |n| format!("{n},"), "]")),
        ("negative keys", same("id in [", "-1,", "]")),
        ("empty texts", same("s in [", "'',", "]")),
        ("many texts", crowded(bytes, "s in [", |n| format!("'{n}',"), "]")),
        ("escapes", same("s in [", r"'\t',", "]")),
        ("floats", same("js['a'] in [", ".1,", "]")),
        ("many floats", crowded(bytes, "js['a'] in [", |n| format!("{n}.5,"), "]")),
        ("types in turn", same("js['a'] in [", "1,'',", "]")),
        ("comparisons", same("id == 1", " or id == 1", "")),
        ("texts compared", same("s == ''", " or s == ''", "")),
        ("negations", same("not id < 1", " and not id < 1", "")),
        ("ranges", same("1<id<2", " or 1<id<2", "")),
        ("arithmetic", same("id+1>2", " or id+1>2", "")),
        ("paths", same("js[0][0][0]==1", " or js[0][0][0]==1", "")),
        ("dynamic keys", same("a==1", " or a==1", "")),
        ("lists of lists", same("json_contains(js['a'], [", "[],", "])")),
        ("lists of constants", same("json_contains_any(js['a'], [", "1,", "])")),
        ("a list compared", same("js['a'] == [", "'',", "]")),
        ("arguments", same("json_contains(", "1,", ")")),
        ("a list that is no predicate", same("[", "1,", "]")),
        ("texts that are no predicate", same("['", r"\a", "']")),
        ("a long name", crowded(bytes, "id == ", |_| "x".repeat(16), "")),
        ("patterns", crowded(bytes, "s like ''", |_| format!(" or s like '{}'", "%_a".repeat(1000)), "")),
        ("a pattern of many signs", {
            let signs = ('\u{4e00}'..).take(1000).collect::<String>();
            crowded(bytes, "s like ''", |_| format!(" or s like '%_{signs}%'"), "")
        }),
    ]
}

async fn server() -> Served {
    let served = Served::start(|config| config.budget.requests = REQUESTS).await;
    served.make_rows().await;
    let mut api = served.client().await;
    let fields = vec![
        rpc::id_field(),
        rpc::vector_field("vec", DIM),
        rpc::field("s", DataType::VarChar, &[("max_length", "9")]),
        rpc::field("js", DataType::Json, &[]),
    ];
    let mut creation = rpc::creation("wide", fields);
    let mut schema = <datacoord::wire::proto::schema::CollectionSchema as prost::Message>::decode(&creation.schema[..])
        .expect("the kit's schema");
    schema.enable_dynamic_field = true;
    creation.schema = prost::Message::encode_to_vec(&schema);
    assert_eq!(api.create_collection(creation).await.unwrap().into_inner().code, 0);
    served.load("wide", "vec").await;
    served
}

/// The code of an answer; a message that was too large before it was read has none of Milvus.
fn code<T>(answer: Result<tonic::Response<T>, tonic::Status>, status: impl Fn(T) -> Option<i32>) -> i32 {
    match answer {
        Ok(answer) => status(answer.into_inner()).unwrap_or_default(),
        Err(status) if status.code() == Code::ResourceExhausted => RATE_LIMIT,
        Err(status) => panic!("{status}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_expression_becomes_more_than_the_memory_of_requests() {
    let served = server().await;
    let refused = AtomicUsize::new(0);
    let watched = async |what: &str, by: &str, call: std::pin::Pin<Box<dyn Future<Output = i32> + Send>>| {
        let watch = memory::Watch::begin();
        let code = within(what, call).await;
        let peak = watch.peak();
        assert!(peak < MOST_MEMORY, "{what} by {by}: {peak} bytes were held at once, code {code}");
        refused.fetch_add(usize::from([RATE_LIMIT, INVALID].contains(&code)), Relaxed);
    };
    for (what, text) in amplified(TEXT) {
        let wide = || "wide".to_owned();
        let mut api = served.client().await;
        let request = QueryRequest { collection_name: wide(), ..query(&text) };
        let call = async move { code(api.query(request).await, |answer| Some(answer.status?.code)) };
        watched(what, "Query", Box::pin(call)).await;
        let mut api = served.client().await;
        let request = SearchRequest { collection_name: wide(), ..search(&[[1.0; DIM]], &text) };
        let call = async move { code(api.search(request).await, |answer| Some(answer.status?.code)) };
        watched(what, "Search", Box::pin(call)).await;
        let mut api = served.client().await;
        let request = DeleteRequest { collection_name: wide(), expr: text, ..Default::default() };
        let call = async move { code(api.delete(request).await, |answer| Some(answer.status?.code)) };
        watched(what, "Delete", Box::pin(call)).await;
    }

    // Several expressions of one call.
    let half = amplified(TEXT / 4).swap_remove(0).1;
    let part = SearchRequest { collection_name: "wide".into(), ..search(&[[1.0; DIM]], &half) };
    let request = HybridSearchRequest {
        collection_name: "wide".into(),
        requests: vec![part; 4],
        rank_params: rpc::pairs(&[("strategy", "rrf"), ("limit", "3")]),
        ..Default::default()
    };
    let mut api = served.client().await;
    let call = async move { code(api.hybrid_search(request).await, |answer| Some(answer.status?.code)) };
    watched("several filters", "HybridSearch", Box::pin(call)).await;

    // A large value in many places.
    let list = template_array_value::Data::LongData(LongArray { data: vec![1; 20_000] });
    let value = TemplateValue { val: Some(Val::ArrayVal(TemplateArrayValue { data: Some(list) })) };
    let expr = crowded(4000, "id in {v}", |_| " or id in {v}".to_owned(), "");
    let expr_template_values = HashMap::from([("v".to_owned(), value)]);
    let request = QueryRequest { collection_name: "wide".into(), expr_template_values, ..query(&expr) };
    let mut api = served.client().await;
    let call = async move { code(api.query(request).await, |answer| Some(answer.status?.code)) };
    watched("values", "Query", Box::pin(call)).await;

    for (what, filter) in amplified(TEXT) {
        let body = json!({"collectionName": "wide", "filter": filter, "limit": 1}).to_string();
        let http = served.http;
        let call = async move { rest(http, &body).await };
        watched(what, "REST", Box::pin(call)).await;
    }
    assert!(refused.load(Relaxed) > 60, "{refused:?} were refused");
    assert_eq!(panics(), 0);
    served.is_well().await;
    served.stop().await;
}

/// The code in the body of the answer.
async fn rest(http: std::net::SocketAddr, body: &str) -> i32 {
    let head = format!(
        "POST /v2/vectordb/entities/query HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(http).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    body["code"].as_i64().unwrap_or(1) as i32
}

/// Calls wait for each other's memory, and try again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expression_that_finds_no_memory_is_refused_for_now() {
    let served = server().await;
    let text = crowded(50_000, "id in [", |n| format!("{n},"), "]");
    let others: Vec<_> = std::iter::from_fn(|| {
        let mut other = served.growth.of_call(0);
        other.take(200 << 10).ok().map(|()| other)
    })
    .collect();
    let mut api = served.client().await;
    let status = api.query(query(&text)).await.unwrap().into_inner().status.unwrap();
    assert_eq!((status.code, status.retriable), (RATE_LIMIT, true), "{status:?}");
    assert!(status.reason.contains("(datacoord.grpc.memoryLimit)"), "{}", status.reason);
    drop(others);
    let status = api.query(query(&text)).await.unwrap().into_inner().status.unwrap_or_default();
    assert_eq!(status.code, 0, "{status:?}");
    let text = crowded(TEXT, "id in [", |n| format!("{n},"), "]");
    let status = api.query(query(&text)).await.unwrap().into_inner().status.unwrap();
    assert_eq!((status.code, status.retriable), (INVALID, false), "it never fits: {status:?}");
    served.stop().await;
}

/// The count beside the allocations.
#[tokio::test]
async fn an_expression_takes_what_was_counted() {
    // Only one test counts memory at a time.
    let served = Served::start(|_| {}).await;
    let fields = vec![
        model::key(100, "id", datacoord::model::DataType::Int64),
        model::field(101, "s", datacoord::model::DataType::VarChar),
        model::field(102, "js", datacoord::model::DataType::Json),
        model::dynamic(103),
    ];
    let schema = model::schema("wide", fields);
    for (what, text) in amplified(100_000) {
        let growth = pools::growth(1 << 30);
        let watch = memory::Watch::begin();
        let compiled = compile(&text, &schema, &growth);
        let peak = watch.peak();
        drop(compiled);
        // The smallest memory that is enough.
        let (mut least, mut enough) = (0, 1u64 << 27);
        while enough - least > 16 << 10 {
            let middle = (least + enough) / 2;
            let growth = pools::growth(middle);
            let is_refused = matches!(compile(&text, &schema, &growth), Err(datacoord::query::FilterError::Memory(_)));
            if is_refused { least = middle } else { enough = middle }
        }
        // The tree and the result share two pools.
        let counted = 2 * enough as usize;
        assert!(peak <= counted + 2 * text.len(), "{what}: {peak} were held, {counted} were enough");
        assert!(counted <= 16 * peak.max(text.len()), "{what}: {peak} were held, {counted} were needed");
    }
    served.stop().await;
}

//! Requests of the HTTP port, behind the parser of heads: verbs, paths, query strings, headers, bodies.

use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use tower::ServiceExt as _;

use super::{
    choices::{Choices, counted},
    world,
};

const VERBS: [&str; 6] = ["GET", "POST", "HEAD", "PUT", "OPTIONS", "X"];
/// All but those that make or drop a collection: the world of a run has one.
const PATHS: [&str; 29] = [
    "/api/v1/compaction",
    "/api/v1/compaction/state",
    "/api/v1/compaction/plans",
    "/v2/vectordb/collections/compact",
    "/v2/vectordb/collections/get_compaction_state",
    "/api/v1/health",
    "/healthz",
    "/readyz",
    "/metrics",
    "/",
    "/v2/vectordb/entities/insert",
    "/v2/vectordb/entities/upsert",
    "/v2/vectordb/entities/delete",
    "/v2/vectordb/entities/query",
    "/v2/vectordb/entities/get",
    "/v2/vectordb/entities/search",
    "/v2/vectordb/collections/list",
    "/v2/vectordb/collections/has",
    "/v2/vectordb/collections/describe",
    "/v2/vectordb/collections/get_stats",
    "/v2/vectordb/collections/get_load_state",
    "/v2/vectordb/collections/load",
    "/v2/vectordb/collections/release",
    "/v2/vectordb/collections/flush",
    "/v2/vectordb/indexes/list",
    "/v2/vectordb/indexes/describe",
    "/v2/vectordb/indexes/create",
    "/v2/vectordb/indexes/drop",
    "/v2/vectordb/entities/hybrid_search",
];
const HEADERS: [&str; 6] = ["content-type", "origin", "host", "content-length", "x-request-id", "authorization"];
/// No answer of these routes is longer, but that of the metrics.
const MOST_ANSWER: usize = 1 << 20;

pub(super) fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let verb = *choices.pick(&VERBS);
    let mut target = choices.pick(&PATHS).to_string();
    let query = String::from_utf8_lossy(choices.bytes()).into_owned();
    if !query.is_empty() {
        target = format!("{target}?{query}");
    }
    let mut request = Request::builder().method(verb).uri(target);
    for _ in 0..choices.below(3) {
        let name = *choices.pick(&HEADERS);
        request = request.header(name, choices.bytes());
    }
    // The parser of heads refuses requests that can't be built here.
    let Ok(request) = request.body(Body::from(choices.rest().to_vec())) else { return };
    let (status, is_json, body) = world::with(|world| {
        world.runtime.block_on(async {
            let answer = world.router.clone().oneshot(request).await.expect("the router always answers");
            let is_json = answer
                .headers()
                .get("content-type")
                .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
            (answer.status(), is_json, to_bytes(answer.into_body(), MOST_ANSWER).await.expect("a short answer"))
        })
    });
    let is_usual = status.is_success() || status.is_client_error();
    assert!(is_usual && status != StatusCode::REQUEST_TIMEOUT, "{status}: {}", String::from_utf8_lossy(&body));
    if is_json && verb != "HEAD" {
        serde_json::from_slice::<serde::de::IgnoredAny>(&body).expect("JSON, as its type says");
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let request =
        |verb: u8, path: u8, query: &[u8], body: &[u8]| [&[verb, path][..], &counted(query), &[0], body].concat();
    let mut seeds = vec![
        request(1, 0, b"", format!(r#"{{"collection_name":"{}","target_size":512}}"#, world::BOOK).as_bytes()),
        request(1, 0, b"collectionID=1&segment_ids=1,2&majorCompaction=true", b"null"),
        request(1, 3, b"", format!(r#"{{"collectionName":"{}","isClustering":false}}"#, world::BOOK).as_bytes()),
        request(1, 4, b"", br#"{"jobID":7}"#),
        request(0, 1, b"compactionID=-1", b""),
        request(0, 2, format!("collection_name={}&db_name=default", world::BOOK).as_bytes(), b""),
    ];
    let rows = r#""data":[{"id":1,"v":[1,2,3.5,-4e-1]},{"id":"2","v":[0,0,0,0],"id":3}]"#;
    let rest: [(u8, &str); 8] = [
        (10, rows),
        (11, rows),
        (12, r#""filter":"id in [1, 2]","partitionName":"_default""#),
        (13, r#""filter":"id > 0","limit":10,"offset":1,"outputFields":["*"],"consistencyLevel":"Strong""#),
        (14, r#""id":[1,"2"],"outputFields":["id"]"#),
        (
            15,
            r#""data":[[1,2,3,4]],"annsField":"v","limit":3,"searchParams":{"metricType":"L2","params":{"radius":9}}"#,
        ),
        (
            28,
            r#""search":[{"data":[[1,2,3,4]],"limit":3,"params":{"ef":9}},{"data":[[0,0,0,0]],"filter":"id > 0"}],"limit":2,"rerank":{"strategy":"weighted","params":{"weights":[0.5,1]}}"#,
        ),
        (26, r#""indexParams":[{"fieldName":"v","metricType":"L2","indexType":"HNSW","params":{"M":8}}]"#),
    ];
    let body = |members: &str| format!(r#"{{"collectionName":"{}",{members}}}"#, world::BOOK);
    seeds.extend(rest.map(|(path, members)| request(1, path, b"", body(members).as_bytes())));
    let named = [17, 18, 19, 20, 21, 22, 23, 24].map(|path| request(1, path, b"", body(r#""x":null"#).as_bytes()));
    seeds.extend(named);
    seeds.extend((5..10).map(|path| request(0, path, b"", b"")));
    let json = [&[0, 6, 0, 0, 1, 0][..], &counted(b"application/json")].concat();
    seeds.push(json);
    seeds
}

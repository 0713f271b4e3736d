//! The routes over a whole process, and the forms of requests and answers byte for byte.

use std::{fmt::Debug, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{StatusCode, Uri, header},
    middleware,
    response::Response,
};
use prometheus::Registry;
use serde::Serialize;
use tower::ServiceExt as _;

use super::{
    answer::{self, Plans, Started, StartedV2, StateV2},
    bounds::{LargeBodies, MAX_BODY_BYTES, RequestBounds},
    compaction::{CompactionTarget, MANUAL, MANUAL_V2, PLANS, options, options_v2, plans_of},
    control::ControlService,
    health::{health_answer, ready_answer},
    milvus::Milvus,
    paths::*,
    router::router,
    serve,
};
use crate::{
    coordinator::{Ailment, CompactionOptions, Condition, HealthReport},
    grpc::GrpcServer,
    kit::pools,
    standalone::tests::World,
    telemetry::Metrics,
    wire::proto::{
        common,
        milvus::{
            CompactionMergeInfo, GetCompactionPlansResponse, GetCompactionStateResponse, ManualCompactionResponse,
        },
    },
};

const C: i64 = 470_596_398_631_754_716;
const JOB: i64 = 470_596_398_631_754_771;
const S1: i64 = 470_596_398_631_754_724;
const S2: i64 = 470_596_398_631_754_742;
const TARGET: i64 = 470_596_398_631_554_541;

fn bounds() -> RequestBounds {
    let memory = crate::memory::Pool::new("some.key", 4 << 20);
    let large = LargeBodies::new(memory.clone(), 64 << 10, "some.key");
    RequestBounds {
        idle: std::time::Duration::from_secs(30),
        memory,
        growth: pools::growth(64 << 20),
        large,
        streams: 2,
    }
}

pub(super) struct Answer {
    pub(super) status: u16,
    content_type: String,
    pub(super) body: String,
}

pub(super) fn app(world: &World) -> Router {
    let metrics = Arc::new(Metrics::new(Registry::new()).unwrap());
    let services = GrpcServer::new(world.standalone.clone(), Arc::clone(&metrics));
    let milvus = Milvus { service: Arc::new(services.milvus()), let_in: GrpcServer::let_in };
    let control = ControlService { service: Arc::new(services.control()), let_in: GrpcServer::let_in_to_control };
    router(world.standalone.clone(), metrics, milvus, control, || {}, bounds())
}

pub(super) async fn read(response: Response) -> Answer {
    let status = response.status().as_u16();
    let content_type =
        response.headers().get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = to_bytes(response.into_body(), 1 << 22).await.unwrap();
    Answer { status, content_type, body: String::from_utf8(body.to_vec()).unwrap() }
}

async fn call(app: &Router, verb: &str, path: &str, body: &str) -> Answer {
    let request = axum::http::Request::builder().method(verb).uri(path).body(Body::from(body.to_owned())).unwrap();
    read(app.clone().oneshot(request).await.unwrap()).await
}

fn text(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).unwrap()
}

fn refused() -> Option<common::Status> {
    Some(common::Status {
        error_code: 1,
        reason: "r".to_owned(),
        code: 100,
        detail: "d".to_owned(),
        ..Default::default()
    })
}

fn state(state: i32, executing: i64, completed: i64) -> GetCompactionStateResponse {
    GetCompactionStateResponse {
        status: Some(common::Status::default()),
        state,
        executing_plan_no: executing,
        completed_plan_no: completed,
        ..Default::default()
    }
}

fn plans(state: i32, target: i64) -> GetCompactionPlansResponse {
    let info = CompactionMergeInfo { sources: vec![S1, S2], target, ..Default::default() };
    GetCompactionPlansResponse { status: None, state, merge_infos: vec![info] }
}

/// Answers as observed on Milvus 2.3.5, byte for byte.
#[test]
fn the_observed_table() {
    let started = ManualCompactionResponse { compaction_id: JOB, ..Default::default() };
    let failed = ManualCompactionResponse { status: refused(), ..Default::default() };
    let rows = [
        (text(&Started::from(started)), r#"{"status":{},"compactionID":470596398631754771}"#),
        (text(&answer::StateAnswer::from(state(1, 1, 0))), r#"{"status":{},"state":1,"executingPlanNo":1}"#),
        (text(&answer::StateAnswer::from(state(2, 0, 1))), r#"{"status":{},"state":2,"completedPlanNo":1}"#),
        (
            text(&Plans::from(plans(1, -1))),
            r#"{"status":{},"state":1,"mergeInfos":[{"sources":[470596398631754724,470596398631754742],"target":-1}]}"#,
        ),
        (
            text(&Plans::from(plans(2, TARGET))),
            r#"{"status":{},"state":2,"mergeInfos":[{"sources":[470596398631754724,470596398631754742],"target":470596398631554541}]}"#,
        ),
        (text(&Started::from(failed)), r#"{"status":{"error_code":1,"reason":"r","code":100,"detail":"d"}}"#),
    ];
    for (found, expected) in rows {
        assert_eq!(found, expected);
    }
}

/// A compaction from its start to its end, over every route.
#[tokio::test]
async fn a_compaction_is_started_and_followed() {
    let world = World::new().await;
    let cell = world.collection("book").await;
    world.segment(&cell, 0..10).await;
    world.segment(&cell, 10..20).await;
    let app = app(&world);
    let started = call(&app, "POST", COMPACTION, &format!(r#"{{"collectionID": {}}}"#, cell.id)).await;
    assert_eq!(started.content_type, "application/json; charset=utf-8");
    let member = |answer: &Answer, name: &str| {
        let value: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        value.pointer(name).and_then(serde_json::Value::as_i64)
    };
    let job = member(&started, "/compactionID").unwrap();
    assert_eq!(started.body, format!(r#"{{"status":{{}},"compactionID":{job},"compactionPlanCount":1}}"#));
    let view = world.ended(crate::model::JobId(job)).await;
    let state = call(&app, "GET", &format!("{COMPACTION_STATE}?compactionID={job}"), "").await;
    assert_eq!(state.body, r#"{"status":{},"state":2,"completedPlanNo":1}"#);
    let plans = call(&app, "GET", &format!("{COMPACTION_PLANS}?compactionID={job}"), "").await;
    assert_eq!(member(&plans, "/mergeInfos/0/plan_id"), Some(view.plans[0].id.0));
    let of_collection = call(&app, "GET", &format!("{COMPACTION_PLANS}?collection_name=book"), "").await;
    assert_eq!(of_collection.body, plans.body);
    let state = call(&app, "POST", V2_STATE, &format!(r#"{{"jobID":{job}}}"#)).await;
    let counts = r#""state":"Completed","executingPlanNumber":0,"timeoutPlanNumber":0,"completedPlanNumber":1"#;
    assert_eq!(state.body, format!(r#"{{"code":0,"data":{{"compactionID":{job},{counts}}}}}"#));
    let again = call(&app, "POST", V2_COMPACT, r#"{"collectionName":"book"}"#).await;
    assert_eq!(
        again.body,
        format!(r#"{{"code":0,"data":{{"compactionID":{}}}}}"#, member(&again, "/data/compactionID").unwrap())
    );
    let missing = call(&app, "POST", V2_COMPACT, r#"{"collectionName":"none"}"#).await;
    assert_eq!(missing.body, r#"{"code":100,"message":"collection not found[database=default][collection=none]"}"#);
    let unnamed = call(&app, "POST", COMPACTION, "{}").await;
    let reason = "compaction needs a collection: collection_name is empty and collectionID is 0, expected a name or an id above 0";
    assert_eq!(
        unnamed.body,
        format!(r#"{{"status":{{"error_code":5,"reason":"{reason}","code":1100,"detail":"{reason}"}}}}"#)
    );
}

/// Status and body of a request with this header.
async fn call_as(app: &Router, authorization: Option<&str>, verb: &str, path: &str, body: &str) -> Answer {
    let mut request = axum::http::Request::builder().method(verb).uri(path);
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    read(app.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()).await
}

#[tokio::test]
async fn with_authorization_only_probes_and_metrics_need_no_login() {
    let world = World::with(|config| config.access.enabled = true).await;
    world.collection("book").await;
    let app = app(&world);
    for path in [HEALTHZ, READYZ, METRICS] {
        assert_eq!(call(&app, "GET", path, "").await.status, 200, "{path}");
    }
    for path in [HEALTH, COMPACTION_STATE, COMPACTION_PLANS, "/nowhere"] {
        let answer = call(&app, "GET", path, "").await;
        let text = r#"{"code":1800,"message":"user hasn't authenticated: missing authorization in header"}"#;
        assert_eq!((answer.status, answer.body.as_str()), (401, text), "{path}");
    }
    let health = |authorization| call_as(&app, authorization, "GET", HEALTH, "");
    for right in ["Bearer root:Milvus", "Basic cm9vdDpNaWx2dXM="] {
        assert_eq!(health(Some(right)).await.status, 200, "{right}");
    }
    for wrong in ["Bearer root:milvus", "Bearer nobody:Milvus", "Bearer key", "root:Milvus", "Digest x"] {
        let answer = health(Some(wrong)).await;
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(answer.body.starts_with(r#"{"code":1800,"message":"user hasn't authenticated: "#), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_compaction_needs_its_privilege_over_http_too() {
    let world = World::with(|config| config.access.enabled = true).await;
    let cell = world.collection("book").await;
    let app = app(&world);
    world.standalone.accounts().create_user("reader", "cGFzc3dvcmQx").await.unwrap();
    let (reader, root) = ("Bearer reader:password1", "Bearer root:Milvus");
    let by_id = format!(r#"{{"collectionID": {}}}"#, cell.id);
    for (path, body) in [
        (COMPACTION, r#"{"collection_name":"book"}"#),
        (COMPACTION, by_id.as_str()),
        (COMPACTION, r#"{"collectionID": 1}"#),
        (V2_COMPACT, r#"{"collectionName":"book"}"#),
    ] {
        let denied = call_as(&app, Some(reader), "POST", path, body).await;
        let text = r#"{"code":65535,"message":"PrivilegeCompaction: permission deny to reader"}"#;
        assert_eq!((denied.status, denied.body.as_str()), (403, text), "{path} {body}");
        let permitted = call_as(&app, Some(root), "POST", path, body).await;
        assert_eq!(permitted.status, 200, "{path} {body}: {}", permitted.body);
    }
    // Looks at jobs need a login alone.
    let looked = call_as(&app, Some(reader), "GET", COMPACTION_PLANS, r#"{"collection_name":"book"}"#).await;
    assert_eq!(looked.status, 200, "{}", looked.body);
}

#[tokio::test]
async fn metrics_can_be_closed() {
    let closed = |config: &mut crate::config::Config| {
        config.access.enabled = true;
        config.server.open_metrics = false;
    };
    let world = World::with(closed).await;
    let app = app(&world);
    assert_eq!(call(&app, "GET", METRICS, "").await.status, 401);
    assert_eq!(call_as(&app, Some("Bearer root:Milvus"), "GET", METRICS, "").await.status, 200);
}

#[tokio::test]
async fn many_wrong_passwords_have_to_wait() {
    let world = World::with(|config| config.access.enabled = true).await;
    let app = app(&world);
    let mut last = 0;
    for _ in 0..20 {
        last = call_as(&app, Some("Bearer root:wrong1"), "GET", HEALTH, "").await.status;
        if last != 401 {
            break;
        }
    }
    assert_eq!(last, 429);
}

#[test]
fn requests_are_read_from_body_and_query() {
    let by_id = || manual(target("", "", C), CompactionOptions::default());
    let none = || manual(target("", "", 0), CompactionOptions::default());
    let full = || {
        let options = CompactionOptions {
            timetravel: u64::MAX,
            is_clustering: true,
            partition_id: 5,
            channel: "c".to_owned(),
            segment_ids: vec![S1, S2],
            is_l0: true,
            target_size_mb: i64::MAX,
            ..CompactionOptions::default()
        };
        manual(target("d", "bücher & co", C), options)
    };
    let body = r#"{"collectionID":470596398631754716,"timetravel":18446744073709551615,"majorCompaction":true,
        "collection_name":"bücher & co","db_name":"d","partition_id":5,"channel":"c",
        "segment_ids":[470596398631754724,470596398631754742],"l0Compaction":true,"target_size":9223372036854775807}"#;
    let query = "?collectionID=470596398631754716&timetravel=18446744073709551615&majorCompaction=true\
        &collection_name=b%C3%BCcher+%26%20co&db_name=d&partition_id=5&channel=c\
        &segment_ids=470596398631754724,470596398631754742&l0Compaction=true&target_size=9223372036854775807";
    let path = "/api/v1/compaction";
    let rows = [
        (path.to_owned(), r#"{"collectionID":470596398631754716}"#, by_id()),
        (path.to_owned(), r#" {"COLLECTIONid":470596398631754716,"collection_id":1,"channel":null} "#, by_id()),
        (path.to_owned(), body, full()),
        (format!("{path}{query}"), "", full()),
        // The body wins over the query string.
        (format!("{path}?collectionID=1"), r#"{"collectionID":470596398631754716}"#, by_id()),
        // Nothing at all, null, {} and a misspelt member name no collection.
        (path.to_owned(), "", none()),
        (path.to_owned(), "null", none()),
        (path.to_owned(), "{}", none()),
        (path.to_owned(), r#"{"collection_id":470596398631754716}"#, none()),
    ];
    for (path, body, expected) in rows {
        let values = MANUAL.read(&path.parse::<Uri>().unwrap(), body.as_bytes()).unwrap();
        assert_eq!(shown(options(values)), expected, "{path} {body}");
    }
    let body = br#"{"collectionName":"n","dbName":"d","isClustering":true}"#;
    let values = MANUAL_V2.read(&Uri::from_static(V2_COMPACT), body).unwrap();
    let clustering = CompactionOptions { is_clustering: true, ..CompactionOptions::default() };
    assert_eq!(shown(options_v2(values)), manual(target("d", "n", 0), clustering));
    let path = "/api/v1/compaction/plans?collection_name=x&collection_id=7";
    let values = PLANS.read(&Uri::from_static(path), b"").unwrap();
    assert_eq!(plans_of(values), (0, target("", "x", 7)));
}

fn target(database: &str, name: &str, id: i64) -> CompactionTarget {
    CompactionTarget { database: database.to_owned(), name: name.to_owned(), id }
}

fn manual(target: CompactionTarget, options: CompactionOptions) -> String {
    shown((target, options))
}

fn shown(value: impl Debug) -> String {
    format!("{value:?}")
}

#[tokio::test]
async fn unreadable_requests_are_refused_in_milvus_words() {
    let field = "into Go struct field ManualCompactionRequest.collectionID of type int64";
    let rows = [
        ("{broken", "invalid character 'b' looking for beginning of object key string".to_owned()),
        (r#"{"collectionID": x}"#, "invalid character 'x' looking for beginning of value".to_owned()),
        (r#"{"collectionID" 1}"#, "invalid character '1' after object key".to_owned()),
        (r#"{"collectionID":1 2}"#, "invalid character '2' after object key:value pair".to_owned()),
        (r#"{"collectionID":1"#, "unexpected EOF".to_owned()),
        ("{} {}", "invalid character '{' after top-level value".to_owned()),
        ("[]", "json: cannot unmarshal array into Go value of type milvuspb.ManualCompactionRequest".to_owned()),
        (r#"{"collectionID":"7"}"#, format!("json: cannot unmarshal string {field}")),
        (r#"{"collectionID":1.5}"#, format!("json: cannot unmarshal number 1.5 {field}")),
        (r#"{"collectionID":[7]}"#, format!("json: cannot unmarshal array {field}")),
        (r#"{"collectionID":true}"#, format!("json: cannot unmarshal bool {field}")),
        (
            r#"{"collectionID":9223372036854775808}"#,
            format!("json: cannot unmarshal number 9223372036854775808 {field}"),
        ),
    ];
    let world = World::new().await;
    world.collection("book").await;
    let app = app(&world);
    for (body, reason) in rows {
        let answer = call(&app, "POST", "/api/v1/compaction", body).await;
        let expected = serde_json::json!({
            "error_code": 5, "reason": format!("bad request: parse body failed: {reason}")
        });
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&answer.body).unwrap(), expected, "{body}");
    }
    assert_eq!(world.coordinator.jobs().len(), 0);
    let answer = call(&app, "GET", "/api/v1/compaction/state?compactionID=x", "").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (
            400,
            r#"{"error_code":5,"reason":"bad request: parse query failed: compactionID is \"x\": must be of type int64"}"#
        )
    );
    let answer = call(&app, "POST", "/api/v1/compaction", &" ".repeat(MAX_BODY_BYTES + 1)).await;
    assert_eq!(answer.status, 413);
    let answer = call(&app, "POST", "/api/v1/compaction", &" ".repeat(MAX_BODY_BYTES)).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn the_newer_style() {
    let started = ManualCompactionResponse { compaction_id: JOB, ..Default::default() };
    let failed = ManualCompactionResponse { status: refused(), ..Default::default() };
    let rows = [
        (text(&StartedV2::of(started)), r#"{"code":0,"data":{"compactionID":470596398631754771}}"#),
        (
            text(&StateV2::of(JOB, state(2, 0, 1))),
            r#"{"code":0,"data":{"compactionID":470596398631754771,"state":"Completed","executingPlanNumber":0,"timeoutPlanNumber":0,"completedPlanNumber":1}}"#,
        ),
        (
            text(&StateV2::of(1, state(1, 2, 0))),
            r#"{"code":0,"data":{"compactionID":1,"state":"Executing","executingPlanNumber":2,"timeoutPlanNumber":0,"completedPlanNumber":0}}"#,
        ),
        (text(&StartedV2::of(failed)), r#"{"code":100,"message":"r"}"#),
    ];
    for (found, expected) in rows {
        assert_eq!(found, expected);
    }
    let world = World::new().await;
    let app = app(&world);
    let rows = [
        (
            (V2_COMPACT, "{}"),
            r#"{"code":1802,"message":"missing required parameters, error: collectionName is empty"}"#,
        ),
        (
            (V2_STATE, r#"{"jobID":"1"}"#),
            r#"{"code":1801,"message":"can only accept json format request, error: bad request: parse body failed: json: cannot unmarshal string into Go struct field GetCompactionStateReq.jobID of type int64"}"#,
        ),
    ];
    for ((path, body), expected) in rows {
        let answer = call(&app, "POST", path, body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, expected), "{path} {body}");
    }
}

#[tokio::test]
async fn other_verbs_and_paths_are_404() {
    let world = World::new().await;
    let app = app(&world);
    for (verb, path) in [
        ("GET", COMPACTION),
        ("POST", COMPACTION_STATE),
        ("DELETE", COMPACTION_PLANS),
        ("GET", V2_COMPACT),
        ("GET", "/api/v1/compaction/"),
        ("GET", "/nowhere"),
        ("POST", METRICS),
    ] {
        let answer = call(&app, verb, path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (404, "404 page not found"), "{verb} {path}");
        assert_eq!(answer.content_type, "text/plain", "{verb} {path}");
    }
}

#[tokio::test]
async fn health() {
    let world = World::new().await;
    let app = app(&world);
    for (path, body) in [(HEALTHZ, "OK"), (READYZ, "ready"), (HEALTH, r#"{"status":"ok"}"#)] {
        let answer = call(&app, "GET", path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
        let head = call(&app, "HEAD", path, "").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
    }
    let request = axum::http::Request::get(HEALTHZ).header(header::CONTENT_TYPE, "application/json");
    let answer = read(app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.content_type.starts_with("text/plain"), "{}", answer.content_type);
    assert_eq!(json(&answer), serde_json::json!({ "state": "OK", "detail": detail(1) }));
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_str(&answer.body).unwrap()
}

fn detail(code: i32) -> Vec<serde_json::Value> {
    let roles = ["rootcoord", "datacoord", "datanode", "proxy"];
    roles.map(|name| serde_json::json!({"name": name, "code": code})).into()
}

fn report(part: &'static str, condition: Condition, reason: &str) -> HealthReport {
    HealthReport { ailments: vec![Ailment { part, condition, reason: reason.to_owned() }] }
}

/// A store that is away is no reason to restart the process, and no secret either.
#[tokio::test]
async fn a_degraded_process_is_well_and_gives_reasons() {
    let degraded = report("store", Condition::Degraded, "bucket b does not work");
    let answer = read(health_answer(&degraded, false)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "OK\nstore degraded: bucket b does not work"));
    let answer = read(ready_answer(&degraded, false)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ready\nstore degraded: bucket b does not work"));
    let parts = serde_json::json!([{"part": "store", "condition": "degraded", "reason": "bucket b does not work"}]);
    let reasons = ["store degraded: bucket b does not work"];
    let answer = read(ready_answer(&degraded, true)).await;
    let expected = serde_json::json!({"ready": true, "condition": "degraded", "parts": parts, "reasons": reasons});
    assert_eq!((answer.status, json(&answer)), (200, expected));
    let answer = read(health_answer(&degraded, true)).await;
    assert_eq!(
        json(&answer),
        serde_json::json!({
            "state": "OK", "detail": detail(1),
            "condition": "degraded", "parts": parts, "reasons": reasons
        })
    );
    let failed = report("log", Condition::Failed, "disk full");
    let text = "component rootcoord state is Abnormal\nlog failed: disk full";
    // Both say the same: writes are refused here.
    for (response, status) in [(health_answer(&failed, false), 500), (ready_answer(&failed, false), 503)] {
        let answer = read(response).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, text));
    }
    let answer = read(health_answer(&failed, true)).await;
    assert_eq!(
        json(&answer),
        serde_json::json!({
            "state": "component rootcoord state is Abnormal", "detail": detail(2),
            "condition": "failed", "reasons": ["log failed: disk full"],
            "parts": [{"part": "log", "condition": "failed", "reason": "disk full"}]
        })
    );
    let answer = read(ready_answer(&failed, true)).await;
    assert_eq!((answer.status, &json(&answer)["ready"]), (503, &serde_json::json!(false)));
    let well = read(ready_answer(&HealthReport::default(), true)).await;
    let expected = serde_json::json!({"ready": true, "condition": "alive", "parts": [], "reasons": []});
    assert_eq!((well.status, json(&well)), (200, expected));
}

#[tokio::test]
async fn metrics_count_the_requests() {
    let world = World::new().await;
    let app = app(&world);
    call(&app, "GET", "/made/up", "").await;
    call(&app, "GET", HEALTHZ, "").await;
    let answer = call(&app, "GET", METRICS, "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.content_type.starts_with("text/plain"), "{}", answer.content_type);
    for line in [
        r#"datacoord_http_requests_total{code="404",route="other"} 1"#,
        r#"datacoord_http_requests_total{code="200",route="/healthz"} 1"#,
    ] {
        assert!(answer.body.contains(line), "{line}\n{}", answer.body);
    }
}

#[tokio::test]
async fn a_page_of_another_site_starts_nothing() {
    let world = World::new().await;
    world.collection("book").await;
    let app = app(&world);
    let request = |origin: &str| {
        axum::http::Request::post(COMPACTION)
            .header(header::HOST, "here:9091")
            .header(header::ORIGIN, origin)
            .body(Body::from(r#"{"collection_name": "book"}"#))
            .unwrap()
    };
    let answer = app.clone().oneshot(request("https://elsewhere.example")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(world.coordinator.jobs().len(), 0);
    let answer = app.oneshot(request("http://here:9091")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(world.coordinator.jobs().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_ends_its_request() {
    let read_body = middleware::from_fn(|request, next| serve::read_body(bounds(), request, next));
    let app = Router::new().fallback(async || "read").layer(read_body);
    let never = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::convert::Infallible>>());
    let answer = app.oneshot(axum::http::Request::post(COMPACTION).body(never).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
}

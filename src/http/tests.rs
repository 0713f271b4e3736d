use std::sync::Mutex;

use axum::body::{Body, to_bytes};
use prometheus::Registry;
use tower::ServiceExt as _;

use super::*;
use crate::wire::proto::{common, milvus::CompactionMergeInfo};

const C: i64 = 470_596_398_631_754_716;
const JOB: i64 = 470_596_398_631_754_771;
const S1: i64 = 470_596_398_631_754_724;
const S2: i64 = 470_596_398_631_754_742;
const TARGET: i64 = 470_596_398_631_554_541;

fn bounds() -> Bounds {
    Bounds { idle: std::time::Duration::from_secs(30), memory: crate::memory::Pool::new("some.key", 4 << 20) }
}

/// Answers with what a test has put in, and remembers what it was asked.
#[derive(Default)]
struct Fake {
    manual: ManualCompactionResponse,
    state: GetCompactionStateResponse,
    plans: GetCompactionPlansResponse,
    failure: Option<&'static str>,
    components: Vec<Component>,
    condition: &'static str,
    reasons: Vec<String>,
    asked: Mutex<Vec<String>>,
}

impl Fake {
    fn note<T>(&self, request: impl std::fmt::Debug, answer: &T) -> Result<T, tonic::Status>
    where
        T: Clone,
    {
        self.asked.lock().unwrap().push(format!("{request:?}"));
        match self.failure {
            Some(text) => Err(tonic::Status::internal(text)),
            None => Ok(answer.clone()),
        }
    }
}

#[async_trait]
impl Backend for Fake {
    async fn manual_compaction(&self, r: ManualCompactionRequest) -> Result<ManualCompactionResponse, tonic::Status> {
        self.note(r, &self.manual)
    }

    async fn compaction_state(
        &self,
        r: GetCompactionStateRequest,
    ) -> Result<GetCompactionStateResponse, tonic::Status> {
        self.note(r, &self.state)
    }

    async fn compaction_plans(
        &self,
        r: GetCompactionPlansRequest,
    ) -> Result<GetCompactionPlansResponse, tonic::Status> {
        self.note(r, &self.plans)
    }

    fn health(&self) -> Health {
        Health { components: self.components.clone(), condition: self.condition, reasons: self.reasons.clone() }
    }

    fn refresh_metrics(&self) {}
}

struct Answer {
    status: u16,
    content_type: String,
    body: String,
}

fn app(fake: Fake) -> (Arc<Fake>, Router) {
    let fake = Arc::new(fake);
    let metrics = Arc::new(Metrics::new(Registry::new()).unwrap());
    (fake.clone(), router(fake, metrics, bounds()))
}

async fn send(app: &Router, request: axum::http::Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let content_type =
        response.headers().get(header::CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = to_bytes(response.into_body(), 1 << 22).await.unwrap();
    Answer { status, content_type, body: String::from_utf8(body.to_vec()).unwrap() }
}

async fn call(app: &Router, verb: &str, path: &str, body: &str) -> Answer {
    let request = axum::http::Request::builder().method(verb).uri(path).body(Body::from(body.to_owned())).unwrap();
    send(app, request).await
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

/// Section (d): what was observed on Milvus 2.3.5, byte for byte.
#[tokio::test]
async fn the_observed_table() {
    let started = ManualCompactionResponse { compaction_id: JOB, ..Default::default() };
    let rows = [
        (
            Fake { manual: started, ..Fake::default() },
            ("POST", "/api/v1/compaction", r#"{"collectionID": 470596398631754716}"#),
            r#"{"status":{},"compactionID":470596398631754771}"#,
        ),
        (
            Fake { state: state(1, 1, 0), ..Fake::default() },
            ("GET", "/api/v1/compaction/state", r#"{"compactionID": 470596398631754771}"#),
            r#"{"status":{},"state":1,"executingPlanNo":1}"#,
        ),
        (
            Fake { state: state(2, 0, 1), ..Fake::default() },
            ("GET", "/api/v1/compaction/state", r#"{"compactionID": 470596398631754771}"#),
            r#"{"status":{},"state":2,"completedPlanNo":1}"#,
        ),
        (
            Fake { plans: plans(1, -1), ..Fake::default() },
            ("GET", "/api/v1/compaction/plans", r#"{"compactionID": 470596398631754771}"#),
            r#"{"status":{},"state":1,"mergeInfos":[{"sources":[470596398631754724,470596398631754742],"target":-1}]}"#,
        ),
        (
            Fake { plans: plans(2, TARGET), ..Fake::default() },
            ("GET", "/api/v1/compaction/plans", r#"{"compactionID": 470596398631754771}"#),
            r#"{"status":{},"state":2,"mergeInfos":[{"sources":[470596398631754724,470596398631754742],"target":470596398631554541}]}"#,
        ),
        (
            Fake { manual: ManualCompactionResponse { status: refused(), ..Default::default() }, ..Fake::default() },
            ("POST", "/api/v1/compaction", "{}"),
            r#"{"status":{"error_code":1,"reason":"r","code":100,"detail":"d"}}"#,
        ),
    ];
    for (fake, (verb, path, body), expected) in rows {
        let (_, app) = app(fake);
        let answer = call(&app, verb, path, body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, expected), "{verb} {path}");
        assert_eq!(answer.content_type, "application/json; charset=utf-8");
    }
}

#[tokio::test]
async fn requests_arrive_as_messages() {
    let manual = |r: ManualCompactionRequest| format!("{r:?}");
    let by_id = ManualCompactionRequest { collection_id: C, ..Default::default() };
    let full = ManualCompactionRequest {
        collection_id: C,
        timetravel: u64::MAX,
        major_compaction: true,
        collection_name: "bücher & co".to_owned(),
        db_name: "d".to_owned(),
        partition_id: 5,
        channel: "c".to_owned(),
        segment_ids: vec![S1, S2],
        l0_compaction: true,
        target_size: i64::MAX,
    };
    let body = r#"{"collectionID":470596398631754716,"timetravel":18446744073709551615,"majorCompaction":true,
        "collection_name":"bücher & co","db_name":"d","partition_id":5,"channel":"c",
        "segment_ids":[470596398631754724,470596398631754742],"l0Compaction":true,"target_size":9223372036854775807}"#;
    let query = "?collectionID=470596398631754716&timetravel=18446744073709551615&majorCompaction=true\
        &collection_name=b%C3%BCcher+%26%20co&db_name=d&partition_id=5&channel=c\
        &segment_ids=470596398631754724,470596398631754742&l0Compaction=true&target_size=9223372036854775807";
    let path = "/api/v1/compaction";
    let rows = [
        (path.to_owned(), r#"{"collectionID":470596398631754716}"#, manual(by_id.clone())),
        (
            path.to_owned(),
            r#" {"COLLECTIONid":470596398631754716,"collection_id":1,"channel":null} "#,
            manual(by_id.clone()),
        ),
        (path.to_owned(), body, manual(full.clone())),
        (format!("{path}{query}"), "", manual(full)),
        // The body wins over the query string.
        (format!("{path}?collectionID=1"), r#"{"collectionID":470596398631754716}"#, manual(by_id.clone())),
        // Nothing at all, null, {} and a misspelt member name no collection: the backend's to refuse.
        (path.to_owned(), "", manual(ManualCompactionRequest::default())),
        (path.to_owned(), "null", manual(ManualCompactionRequest::default())),
        (path.to_owned(), "{}", manual(ManualCompactionRequest::default())),
        (path.to_owned(), r#"{"collection_id":470596398631754716}"#, manual(ManualCompactionRequest::default())),
        (
            "/v2/vectordb/collections/compact".to_owned(),
            r#"{"collectionName":"n","dbName":"d","isClustering":true}"#,
            manual(ManualCompactionRequest {
                collection_name: "n".to_owned(),
                db_name: "d".to_owned(),
                major_compaction: true,
                ..Default::default()
            }),
        ),
    ];
    for (path, body, expected) in rows {
        let (fake, app) = app(Fake::default());
        assert_eq!(call(&app, "POST", &path, body).await.status, 200, "{path} {body}");
        assert_eq!(*fake.asked.lock().unwrap(), [expected], "{path} {body}");
    }
    let (fake, app) = app(Fake::default());
    call(&app, "GET", "/api/v1/compaction/state?compactionID=-1", "").await;
    call(&app, "GET", "/api/v1/compaction/plans?collection_name=x&collection_id=7", "").await;
    let expected = [
        format!("{:?}", GetCompactionStateRequest { compaction_id: -1 }),
        format!(
            "{:?}",
            GetCompactionPlansRequest { collection_name: "x".to_owned(), collection_id: 7, ..Default::default() }
        ),
    ];
    assert_eq!(*fake.asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn what_can_not_be_read_is_refused_in_milvus_words() {
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
    for (body, reason) in rows {
        let (fake, app) = app(Fake::default());
        let answer = call(&app, "POST", "/api/v1/compaction", body).await;
        let expected = serde_json::json!({
            "error_code": 5, "reason": format!("bad request: parse body failed: {reason}")
        });
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&answer.body).unwrap(), expected, "{body}");
        assert!(fake.asked.lock().unwrap().is_empty(), "{body}");
    }
    let (_, app) = app(Fake::default());
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
    let compact = "/v2/vectordb/collections/compact";
    let follow = "/v2/vectordb/collections/get_compaction_state";
    let rows = [
        (
            Fake { manual: started, ..Fake::default() },
            (compact, r#"{"collectionName":"n"}"#),
            r#"{"code":0,"data":{"compactionID":470596398631754771}}"#,
        ),
        (
            Fake { state: state(2, 0, 1), ..Fake::default() },
            (follow, r#"{"jobID":470596398631754771}"#),
            r#"{"code":0,"data":{"compactionID":470596398631754771,"state":"Completed","executingPlanNumber":0,"timeoutPlanNumber":0,"completedPlanNumber":1}}"#,
        ),
        (
            Fake { state: state(1, 2, 0), ..Fake::default() },
            (follow, r#"{"jobID":1}"#),
            r#"{"code":0,"data":{"compactionID":1,"state":"Executing","executingPlanNumber":2,"timeoutPlanNumber":0,"completedPlanNumber":0}}"#,
        ),
        (
            Fake { manual: failed, ..Fake::default() },
            (compact, r#"{"collectionName":"n"}"#),
            r#"{"code":100,"message":"r"}"#,
        ),
        (
            Fake::default(),
            (compact, "{}"),
            r#"{"code":1802,"message":"missing required parameters, error: collectionName is empty"}"#,
        ),
        (
            Fake::default(),
            (follow, r#"{"jobID":"1"}"#),
            r#"{"code":1801,"message":"can only accept json format request, error: bad request: parse body failed: json: cannot unmarshal string into Go struct field GetCompactionStateReq.jobID of type int64"}"#,
        ),
    ];
    for (fake, (path, body), expected) in rows {
        let (_, app) = app(fake);
        let answer = call(&app, "POST", path, body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, expected), "{path} {body}");
    }
}

#[tokio::test]
async fn a_failure_below_the_status_is_500() {
    for (verb, path) in [
        ("POST", COMPACTION),
        ("GET", COMPACTION_STATE),
        ("GET", COMPACTION_PLANS),
        ("POST", "/v2/vectordb/collections/compact?collectionName=n"),
        ("POST", V2_STATE),
    ] {
        let (_, app) = app(Fake { failure: Some("the store is gone"), ..Fake::default() });
        let answer = call(&app, verb, path, "").await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (500, r#"{"error_code":1,"reason":"the store is gone"}"#),
            "{path}"
        );
    }
}

#[tokio::test]
async fn other_verbs_and_paths_are_404() {
    let (_, app) = app(Fake::default());
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
    let component = |name, state| Component { name, state };
    let well = vec![component("rootcoord", ComponentState::Healthy), component("datacoord", ComponentState::Healthy)];
    let starting =
        vec![component("rootcoord", ComponentState::Healthy), component("datacoord", ComponentState::Initializing)];
    let sick = vec![component("datacoord", ComponentState::Abnormal)];
    let rows = [
        (well.clone(), HEALTHZ, 200, "OK"),
        (well.clone(), READYZ, 200, "ready"),
        (well.clone(), HEALTH, 200, r#"{"status":"ok"}"#),
        (starting.clone(), HEALTHZ, 500, "component datacoord state is Initializing"),
        (starting.clone(), READYZ, 503, "component datacoord state is Initializing"),
        // Both say the same: writes are refused here.
        (sick.clone(), HEALTHZ, 500, "component datacoord state is Abnormal"),
        (sick, READYZ, 503, "component datacoord state is Abnormal"),
    ];
    for (components, path, status, body) in rows {
        let (_, app) = app(Fake { components, ..Fake::default() });
        let answer = call(&app, "GET", path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{path}");
        let head = call(&app, "HEAD", path, "").await;
        assert_eq!((head.status, head.body.as_str()), (status, ""), "{path}");
    }
    let (_, app) = app(Fake { components: starting, ..Fake::default() });
    let request = axum::http::Request::get(HEALTHZ).header(header::CONTENT_TYPE, "application/json");
    let answer = send(&app, request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 500);
    assert!(answer.content_type.starts_with("text/plain"), "{}", answer.content_type);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&answer.body).unwrap(),
        serde_json::json!({
            "state": "component datacoord state is Initializing",
            "detail": [{"name": "rootcoord", "code": 1}, {"name": "datacoord", "code": 0}]
        })
    );
}

/// A store that is away is no reason to restart the process, and no secret either.
#[tokio::test]
async fn a_degraded_process_is_well_and_says_what_waits() {
    let component = |state| vec![Component { name: "rootcoord", state }];
    let fake = |state, condition, reason: &str| {
        let reasons = vec![reason.to_owned()];
        app(Fake { components: component(state), condition, reasons, ..Fake::default() }).1
    };
    let degraded = fake(ComponentState::Healthy, "degraded", "store degraded: bucket b does not work");
    let answer = call(&degraded, "GET", HEALTHZ, "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "OK\nstore degraded: bucket b does not work"));
    let answer = call(&degraded, "GET", READYZ, "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ready"));
    let request = axum::http::Request::get(HEALTHZ).header(header::CONTENT_TYPE, "application/json");
    let answer = send(&degraded, request.body(Body::empty()).unwrap()).await;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&answer.body).unwrap(),
        serde_json::json!({
            "state": "OK", "detail": [{"name": "rootcoord", "code": 1}],
            "condition": "degraded", "reasons": ["store degraded: bucket b does not work"]
        })
    );
    let failed = fake(ComponentState::Abnormal, "failed", "log failed: disk full");
    let text = "component rootcoord state is Abnormal\nlog failed: disk full";
    for (path, status) in [(HEALTHZ, 500), (READYZ, 503)] {
        let answer = call(&failed, "GET", path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (status, text), "{path}");
    }
}

#[tokio::test]
async fn metrics_count_the_requests() {
    let (_, app) = app(Fake::default());
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
    let (fake, app) = app(Fake::default());
    let request = |origin: &str| {
        axum::http::Request::post(COMPACTION)
            .header(header::HOST, "here:9091")
            .header(header::ORIGIN, origin)
            .body(Body::from(r#"{"collection_name": "book"}"#))
            .unwrap()
    };
    let answer = app.clone().oneshot(request("https://elsewhere.example")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(fake.asked.lock().unwrap().is_empty());
    let answer = app.oneshot(request("http://here:9091")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_ends_its_request() {
    let (_, app) = app(Fake::default());
    let never = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::convert::Infallible>>());
    let answer = app.oneshot(axum::http::Request::post(COMPACTION).body(never).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
}

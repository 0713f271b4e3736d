//! The routes behind the page over a whole process: forms, limits, rights, events, and the files of the page.

use axum::{
    Router,
    body::{Body, BodyDataStream},
    http::{Request, Response, StatusCode, header},
};
use futures::StreamExt as _;
use rstest::rstest;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{assets::ASSETS, events::MOST_WAITING};
use crate::{
    http::{
        paths,
        tests::{app, read},
    },
    kit::within,
    standalone::tests::World,
};

const ROOT: &str = "Bearer root:Milvus";
const READER: &str = "Bearer reader:password1";

struct Page {
    router: Router,
    world: World,
}

impl Page {
    async fn over(world: World) -> Self {
        Self { router: app(&world), world }
    }

    async fn new() -> Self {
        Self::over(World::new().await).await
    }

    /// With a user without roles.
    async fn with_users() -> Self {
        let world = World::with(|config| config.access.enabled = true).await;
        world.standalone.accounts().create_user("reader", "cGFzc3dvcmQx").await.unwrap();
        Self::over(world).await
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Status and body.
    async fn get_as(&self, authorization: &str, path: &str) -> (u16, Value) {
        let request = Request::get(path).header(header::AUTHORIZATION, authorization).body(Body::empty()).unwrap();
        json_of(self.send(request).await).await
    }

    async fn post_as(&self, authorization: &str, path: &str, body: Value) -> (u16, Value) {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
            .body(Body::from(body.to_string()))
            .unwrap();
        json_of(self.send(request).await).await
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.get_as("", path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post_as("", path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// An open event stream, or the refusal.
    async fn listen_as(&self, authorization: &str) -> Result<Events, (u16, Value)> {
        let request =
            Request::get(paths::API_EVENTS).header(header::AUTHORIZATION, authorization).body(Body::empty()).unwrap();
        let response = self.send(request).await;
        if response.status() != StatusCode::OK {
            return Err(json_of(response).await);
        }
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Ok(Events { body: response.into_body().into_data_stream(), read: String::new() })
    }
}

async fn json_of(response: Response<Body>) -> (u16, Value) {
    let answer = read(response).await;
    let body = serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body));
    (answer.status, body)
}

struct Events {
    body: BodyDataStream,
    read: String,
}

impl Events {
    /// The next event by its name; none: the stream is over. Comments are passed over.
    async fn next(&mut self) -> Option<(String, Value)> {
        within("an event", async {
            loop {
                if let Some((event, rest)) = self.read.split_once("\n\n") {
                    let (event, rest) = (event.to_owned(), rest.to_owned());
                    self.read = rest;
                    let member = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                    if let (Some(name), Some(data)) = (member("event:"), member("data:")) {
                        return Some((name.to_owned(), serde_json::from_str(data).unwrap()));
                    }
                    continue;
                }
                self.read += std::str::from_utf8(&self.body.next().await?.unwrap()).unwrap();
            }
        })
        .await
    }

    /// The next event of this name.
    async fn until(&mut self, name: &str) -> Value {
        loop {
            let (found, data) = self.next().await.unwrap_or_else(|| panic!("the stream ended before {name}"));
            if found == name {
                return data;
            }
        }
    }
}

#[tokio::test]
async fn the_files_of_the_page_need_no_login_and_let_nothing_else_in() {
    let page = Page::with_users().await;
    for asset in &ASSETS {
        let response = page.send(Request::get(asset.path).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK, "{}", asset.path);
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        let rules: Vec<&str> = policy.split(';').map(str::trim).collect();
        for rule in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
            assert!(rules.contains(&rule), "{rule} is not in {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
    let unknown = page.send(Request::get("/page/other.js").body(Body::empty()).unwrap()).await;
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
}

/// No file names another host, and each file that one of them names is there.
#[test]
fn the_files_are_whole_and_short() {
    let mut named = vec![paths::PAGE.to_owned()];
    for asset in &ASSETS {
        let text = asset.text().replace("http://www.w3.org/2000/svg", "");
        for foreign in ["http://", "https://", "src=\"//", "@import", "style=\""] {
            assert!(!text.contains(foreign), "{} has {foreign}", asset.path);
        }
        assert!(text.lines().count() < 400, "{} is long", asset.path);
        assert!(text.lines().count() > 10, "{} is empty", asset.path);
        for (_, rest) in
            text.match_indices("\"/page/").chain(text.match_indices("\"./")).map(|(at, m)| (m, &text[at + m.len()..]))
        {
            named.push(format!("/page/{}", rest.split('"').next().unwrap()));
        }
    }
    named.sort();
    named.dedup();
    let mut served: Vec<&str> = ASSETS.iter().map(|asset| asset.path).collect();
    assert_eq!(served, paths::PAGE_FILES, "each needs no login");
    served.sort_unstable();
    assert_eq!(named, served, "each file is named by another one");
}

#[tokio::test]
async fn a_collection_is_looked_at_compacted_and_looked_at_again() {
    let page = Page::new().await;
    assert_eq!(page.get(paths::API_OVERVIEW).await["verdict"]["code"], "empty");
    let cell = page.world.collection("books").await;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(page.world.segment(&cell, n * 10..n * 10 + 10).await.to_string());
    }
    let overview = page.get(paths::API_OVERVIEW).await;
    assert_eq!(overview["collections"][0]["collection"]["collection_name"], "books");
    assert_eq!(overview["collections"][0]["sum"]["segments"], 3);
    assert_eq!(overview["may_control"], true);

    let of = format!("collection_id={}", cell.id);
    let first = page.get(&format!("{}?{of}&page_size=2", paths::API_SEGMENTS)).await;
    let id = |segment: &Value| segment["segment_id"].as_str().unwrap().to_owned();
    let mut found: Vec<String> = first["segments"].as_array().unwrap().iter().map(id).collect();
    let token = first["next_page_token"].as_str().unwrap();
    let second = page.get(&format!("{}?{of}&page_size=2&page_token={token}", paths::API_SEGMENTS)).await;
    found.extend(second["segments"].as_array().unwrap().iter().map(id));
    assert_eq!((found, &second["total_segments"], &second["next_page_token"]), (ids.clone(), &json!(3), &json!("")));

    let explained = page.get(&format!("{}?segment_id={}", paths::API_EXPLAIN, ids[0])).await;
    assert_eq!(explained["explanation"]["automatic"]["code"], "auto_off");
    let counts = page.get(&format!("{}?{of}", paths::API_EXPLAIN)).await;
    assert_eq!(counts["counts"], json!([{"code": "auto_off", "segments": 3, "bytes": counts["counts"][0]["bytes"]}]));

    let body = json!({"collection_id": cell.id.to_string()});
    let draft = page.post(paths::API_PLAN, body.clone()).await;
    assert_eq!((&draft["plans"], &draft["segments"], &draft["rows"]), (&json!(1), &json!(3), &json!(30)));
    assert_eq!(page.world.coordinator.jobs().len(), 0, "a dry run changes nothing");
    let job = page.post(paths::API_COMPACT, body).await["job_id"].as_str().unwrap().to_owned();
    page.world.ended(crate::model::JobId(job.parse().unwrap())).await;

    let details = page.get(&format!("{}?job_id={job}", paths::API_JOB)).await;
    assert_eq!((&details["job"]["state"], &details["total_plans"]), (&json!("JOB_STATE_COMPLETED"), &json!(1)));
    assert_eq!(details["plans"][0]["sources"], json!(ids));
    let output = details["plans"][0]["targets"][0].as_str().unwrap();
    let lineage = page.get(&format!("{}?segment_id={output}", paths::API_LINEAGE)).await;
    assert_eq!((&lineage["total_segments"], &lineage["is_complete"]), (&json!(4), &json!(true)));
    let jobs = page.get(&format!("{}?{of}&page_size=1", paths::API_JOBS)).await;
    assert_eq!(jobs["jobs"][0]["job_id"], json!(job));
    let garbage = page.get(paths::API_GARBAGE).await;
    assert_eq!(garbage["pinned"]["segments"], 3);
    assert_eq!(garbage["items"][0]["pins"][0]["kind"], "tolerance");
}

#[tokio::test]
async fn orders_are_given_and_taken_back() {
    let page = Page::new().await;
    let cell = page.world.collection("books").await;
    for n in 0..2 {
        page.world.segment(&cell, n * 10..n * 10 + 10).await;
    }
    let paused = page.post(paths::API_PAUSE, json!({"everything": true})).await;
    assert_eq!(paused["pauses"][0]["by"], "the page");
    assert_eq!(page.get(paths::API_OVERVIEW).await["verdict"]["code"], "paused");
    let job = page.post(paths::API_COMPACT, json!({"collection_id": cell.id.0})).await["job_id"].clone();
    let cancelled = page.post(paths::API_CANCEL, json!({"job_id": job})).await;
    assert_eq!(cancelled["cancelled"].as_array().unwrap().len(), 1);
    assert_eq!(page.post(paths::API_RESUME, json!({"everything": true})).await["pauses"], json!([]));
    let of = json!({"collection_id": cell.id.to_string()});
    assert_eq!(page.post(paths::API_PAUSE, of).await["pauses"][0]["scope"]["collection"]["collection_name"], "books");
    assert_eq!(page.post(paths::API_THROTTLE, json!({"mb_per_second": 3})).await["mb_per_second"], 3.0);
    assert_eq!(page.post(paths::API_THROTTLE, json!({"mb_per_second": null})).await["mb_per_second"], 0.0);
}

#[rstest]
#[case::page_of_segments("/api/v2/segments?collection_id=1&page_size=2001", 400, "page_size: 2001, expected 0 to 2000")]
#[case::page_of_jobs("/api/v2/jobs?page_size=101", 400, "page_size: 101, expected 0 to 100")]
#[case::no_id("/api/v2/lineage?segment_id=x", 400, "\"x\" is no id")]
#[case::unknown_member("/api/v2/job?id=7", 400, "unknown field `id`")]
#[case::no_such_job("/api/v2/job?job_id=7", 404, "7")]
#[case::no_such_segment("/api/v2/explain?segment_id=9007199254740993", 404, "9007199254740993")]
#[case::no_collection("/api/v2/segments", 400, "collection_id is 0")]
#[tokio::test]
async fn a_wrong_question_is_refused_by_name(#[case] path: &str, #[case] status: u16, #[case] reason: &str) {
    let (found, body) = Page::new().await.get_as("", path).await;
    let message = body["message"].as_str().unwrap_or_default();
    assert!(found == status && message.contains(reason), "{found} {body}");
}

#[rstest]
#[case::no_scope("/api/v2/pause", "{}", "expected one of everything: true, collection_id and job_id")]
#[case::two_scopes("/api/v2/resume", r#"{"everything": true, "job_id": 1}"#, "expected one of everything: true")]
#[case::no_target("/api/v2/cancel", r#"{"job_id": 1, "plan_id": 2}"#, "expected one of job_id and plan_id")]
#[case::no_limit("/api/v2/throttle", "{}", "missing field `mb_per_second`")]
#[case::wrong_limit("/api/v2/throttle", r#"{"mb_per_second": -1}"#, "mb_per_second: -1, expected 0, or up to 1048576")]
#[case::unknown_member("/api/v2/compact", r#"{"collection": 1}"#, "unknown field `collection`")]
#[case::broken("/api/v2/compact", "{", "the body: EOF while parsing")]
#[tokio::test]
async fn a_wrong_order_is_refused_by_name(#[case] path: &str, #[case] body: &str, #[case] reason: &str) {
    let page = Page::new().await;
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    let (status, answer) = json_of(page.send(request.body(Body::from(body.to_owned())).unwrap()).await).await;
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(status == 400 && message.contains(reason), "{status} {answer}");
}

/// Each order may be given by the page of this server alone: no form of another site sends JSON, and no script of one has
/// its origin.
#[tokio::test]
async fn another_site_can_order_nothing() {
    let page = Page::new().await;
    for path in [
        paths::API_COMPACT,
        paths::API_CANCEL,
        paths::API_PAUSE,
        paths::API_RESUME,
        paths::API_THROTTLE,
        paths::API_PLAN,
    ] {
        let request = |kind: &str, origin: &str| {
            Request::post(path)
                .header(header::HOST, "here:9091")
                .header(header::ORIGIN, origin)
                .header(header::CONTENT_TYPE, kind)
                .body(Body::from(r#"{"everything": true}"#))
                .unwrap()
        };
        let form = page.send(request("text/plain", "http://here:9091")).await;
        assert_eq!(form.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
        let foreign = page.send(request("application/json", "http://elsewhere.example")).await;
        assert_eq!(foreign.status(), StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(page.world.coordinator.pauses(), crate::model::Pauses::default());
}

/// A site that lets its own name lead here has the right origin. Its name is not ours.
#[tokio::test]
async fn a_site_with_our_address_reads_and_orders_nothing() {
    let page = Page::new().await;
    let ask = async |method: &str, path: &str, host: &str, origin: bool| {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
        if origin {
            request = request.header(header::ORIGIN, format!("http://{host}"));
        }
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from("{}")).unwrap();
        page.send(request).await.status()
    };
    const EVIL: &str = "rebound.example:9091";
    for path in paths::PAGE_ROUTES {
        assert_eq!(ask("GET", path, EVIL, false).await, StatusCode::FORBIDDEN, "{path}");
    }
    for path in [paths::API_PAUSE, paths::V2_QUERY, paths::COMPACTION] {
        assert_eq!(ask("POST", path, EVIL, true).await, StatusCode::FORBIDDEN, "{path}");
        assert_ne!(ask("POST", path, "here:9091", true).await, StatusCode::FORBIDDEN, "{path}");
    }
    // Clients that are no browser use what names they like.
    assert_ne!(ask("POST", paths::V2_QUERY, EVIL, false).await, StatusCode::FORBIDDEN);
    assert_eq!(ask("GET", paths::METRICS, EVIL, false).await, StatusCode::OK);
}

#[tokio::test]
async fn rights_are_those_of_the_calls() {
    let page = Page::with_users().await;
    let cell = page.world.collection("books").await;
    for path in paths::PAGE_ROUTES.into_iter().filter(|path| *path != paths::PAGE) {
        let (status, body) = page.get_as("", path).await;
        assert_eq!((status, &body["code"]), (401, &json!(1800)), "{path}");
    }
    let of = json!({"collection_id": cell.id.to_string()});
    let orders = [
        (paths::API_PAUSE, json!({"everything": true})),
        (paths::API_RESUME, json!({"everything": true})),
        (paths::API_CANCEL, json!({"job_id": 1})),
        (paths::API_THROTTLE, json!({"mb_per_second": 1})),
        (paths::API_COMPACT, of.clone()),
        (paths::API_PLAN, of),
    ];
    for (path, body) in orders {
        let (status, answer) = page.post_as(READER, path, body.clone()).await;
        assert_eq!((status, &answer["code"]), (403, &json!("PERMISSION_DENIED")), "{path}");
        let (status, answer) = page.post_as(ROOT, path, body).await;
        assert!(status == 200 || status == 404, "{path}: {answer}");
    }
    assert_eq!(page.get_as(READER, paths::API_GARBAGE).await.0, 403);
    assert_eq!(page.get_as(ROOT, paths::API_GARBAGE).await.0, 200);
    // The page hides the buttons that its user may not press.
    let (_, seen) = page.get_as(READER, paths::API_OVERVIEW).await;
    let buttons = (&seen["user"], &seen["may_control"], &seen["collections"][0]["may_compact"]);
    assert_eq!(buttons, (&json!("reader"), &json!(false), &json!(false)));
    let (_, seen) = page.get_as(ROOT, paths::API_OVERVIEW).await;
    let buttons = (&seen["user"], &seen["may_control"], &seen["collections"][0]["may_compact"]);
    assert_eq!(buttons, (&json!("root"), &json!(true), &json!(true)));
}

#[tokio::test]
async fn the_events_tell_of_a_compaction_from_its_start_to_its_end() {
    let page = Page::new().await;
    let cell = page.world.collection("books").await;
    for n in 0..2 {
        page.world.segment(&cell, n * 10..n * 10 + 10).await;
    }
    let mut events = page.listen_as("").await.unwrap();
    let (first, overview) = events.next().await.unwrap();
    assert_eq!((first.as_str(), &overview["sum"]["segments"]), ("overview", &json!(2)));
    let job = page.world.compact(&cell).await;
    let mut phases = Vec::new();
    while phases.last() != Some(&json!("PLAN_PHASE_ENDED")) {
        let plan = events.until("plan").await;
        assert_eq!(plan["plan"]["job_id"], json!(job.to_string()));
        phases.push(plan["phase"].clone());
    }
    // Not the one that was due: the end of the plan brings it soon.
    let after = events.until("overview").await;
    assert_eq!((&after["sum"]["segments"], &after["sum"]["dropped_segments"]), (&json!(1), &json!(2)));
    page.world.coordinator.end_watches();
    while events.next().await.is_some() {}
}

#[tokio::test]
async fn a_long_queue_is_told_in_part() {
    let page = Page::new().await;
    page.world.coordinator.pause(crate::coordinator::control::PauseScope::Everything, "ops").await.unwrap();
    let plans = MOST_WAITING + 5;
    for n in 0..plans {
        let cell = page.world.collection(&format!("c{n}")).await;
        for part in 0..2 {
            page.world.segment(&cell, part * 10..part * 10 + 10).await;
        }
        page.world.compact(&cell).await;
    }
    let mut events = page.listen_as("").await.unwrap();
    let overview = events.until("overview").await;
    assert_eq!(overview["backlog"]["queued_plans"], plans);
    let mut told = 0;
    while let Some((name, _)) = events.next().await {
        // The next overview comes when all plans have been told of.
        if name == "overview" {
            break;
        }
        told += 1;
    }
    assert_eq!(told, MOST_WAITING);
}

#[tokio::test]
async fn no_more_streams_are_open_than_may_be() {
    let page = Page::new().await;
    let first = page.listen_as("").await.unwrap();
    let _second = page.listen_as("").await.unwrap();
    let (status, body) = page.listen_as("").await.err().unwrap();
    assert_eq!((status, &body["code"]), (429, &json!("RESOURCE_EXHAUSTED")), "{body}");
    drop(first);
    assert!(page.listen_as("").await.is_ok(), "the place of a closed stream is free");
}

#[tokio::test]
async fn a_stream_ends_with_the_login_of_its_caller() {
    let page = Page::with_users().await;
    let mut events = page.listen_as(READER).await.unwrap();
    events.until("overview").await;
    page.world.standalone.accounts().delete_user("reader").await.unwrap();
    let end = events.until("end").await;
    assert!(end["message"].as_str().is_some_and(|text| !text.is_empty()), "{end}");
    assert!(events.next().await.is_none());
}

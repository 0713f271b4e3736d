//! The client against a small server of S3's protocol in this process, which can be without its bucket, silent or gone.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::*;
use crate::{
    config::{Secret, StorageConfig, StorageKind},
    error::{Classify, ErrorKind},
    storage::SegmentStore,
};

const BUCKET: &str = "a-bucket";

/// A server with its objects and its faults.
#[derive(Debug, Default)]
struct Server {
    /// Objects by path; none: there is no bucket.
    objects: Mutex<Option<HashMap<String, (Bytes, u64)>>>,
    versions: AtomicU64,
    /// Never answers.
    hangs: bool,
    /// Refuses conditional writes, as older servers do.
    has_no_conditions: bool,
    asked: Mutex<Vec<String>>,
}

fn refusal(status: StatusCode, code: &str) -> Response {
    (status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>")).into_response()
}

async fn serve(State(server): State<Arc<Server>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    server.asked.lock().push(format!("{} {}", head.method, head.uri.path()));
    if server.hangs {
        std::future::pending::<()>().await;
    }
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = head.uri.path().to_owned();
    let mut held = server.objects.lock();
    if path == format!("/{BUCKET}/") && head.method == Method::PUT {
        held.get_or_insert_default();
        return StatusCode::OK.into_response();
    }
    let Some(objects) = held.as_mut() else { return refusal(StatusCode::NOT_FOUND, "NoSuchBucket") };
    match head.method {
        Method::GET => match objects.get(&path) {
            Some((bytes, version)) => {
                let modified = "Tue, 14 Nov 2023 22:13:20 GMT".to_owned();
                ([("etag", format!("\"{version}\"")), ("last-modified", modified)], bytes.clone()).into_response()
            }
            None => refusal(StatusCode::NOT_FOUND, "NoSuchKey"),
        },
        Method::PUT => {
            let condition = |name: &str| head.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
            let (matching, none) = (condition("if-match"), condition("if-none-match"));
            if server.has_no_conditions && (matching.is_some() || none.is_some()) {
                return refusal(StatusCode::NOT_IMPLEMENTED, "NotImplemented");
            }
            let stored = objects.get(&path).map(|(_, version)| format!("\"{version}\""));
            if none.is_some() && stored.is_some() || matching.is_some() && matching != stored {
                return refusal(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
            }
            let version = server.versions.fetch_add(1, Ordering::SeqCst);
            objects.insert(path, (body, version));
            let mut headers = HeaderMap::new();
            headers.insert("etag", format!("\"{version}\"").parse().unwrap());
            (StatusCode::OK, headers).into_response()
        }
        _ => refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    }
}

/// The server at a free port, and settings that lead there.
async fn at(server: Server) -> (Arc<Server>, S3Config) {
    let server = Arc::new(server);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let router = Router::new().fallback(serve).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (server, config(endpoint))
}

fn config(endpoint: String) -> S3Config {
    S3Config {
        endpoint,
        bucket: BUCKET.to_owned(),
        root_path: "files".to_owned(),
        access_key: Secret::new("key"),
        secret_key: Secret::new("hidden"),
        request_timeout: Duration::from_secs(30),
        create_bucket: true,
        ..S3Config::default()
    }
}

fn store(config: &S3Config) -> SegmentStore {
    let config = StorageConfig {
        kind: StorageKind::S3(config.clone()),
        max_attempts: 2,
        retry_backoff: Duration::ZERO,
        ..StorageConfig::default()
    };
    SegmentStore::open(&config, std::path::Path::new("unused")).unwrap()
}

/// The text names the bucket, the server and the keys of both.
fn names_the_place(error: &StorageError, config: &S3Config, store: &SegmentStore) {
    for part in [BUCKET, &config.endpoint, "minio.bucketName", "minio.address"] {
        assert!(store.place().contains(part) || error.to_string().contains(part), "{error} at {}", store.place());
    }
    assert!(!error.to_string().contains("hidden"), "{error}");
}

#[tokio::test]
async fn a_bucket_that_is_missing_is_named_and_never_taken_for_an_object() {
    let (server, config) = at(Server::default()).await;
    let config = S3Config { create_bucket: false, ..config };
    let store = store(&config);
    let error = store.mark_or_make().await.unwrap_err();
    assert!(matches!(error, StorageError::NoBucket { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Transient, "it may be back");
    names_the_place(&error, &config, &store);
    assert!(error.to_string().contains("minio.createBucket"), "{error}");
    assert!(server.asked.lock().iter().all(|asked| !asked.starts_with("PUT")), "it is not to be made");
    assert!(store.outage().is_some());
}

#[tokio::test]
async fn a_bucket_that_is_missing_is_made_at_the_start_only() {
    let (server, config) = at(Server::default()).await;
    let store = store(&config);
    assert!(matches!(store.mark().await, Err(StorageError::NoBucket { .. })));
    assert_eq!(store.mark_or_make().await.unwrap(), None);
    assert!(server.asked.lock().contains(&format!("PUT /{BUCKET}/")));
    assert!(store.outage().is_none(), "the store works");
    let mark = Bytes::from_static(b"mine");
    assert_eq!(store.swap_mark(None, mark.clone()).await.unwrap(), Swapped::Done);
    assert_eq!(store.mark_or_make().await.unwrap(), Some(mark));
}

#[tokio::test]
async fn of_many_swaps_of_one_object_in_a_bucket_one_is_done() {
    let (_, config) = at(Server { objects: Mutex::new(Some(HashMap::new())), ..Server::default() }).await;
    let store = store(&config);
    let mut before = None;
    for round in 0..3 {
        let swaps = (0..6).map(|n| {
            let (store, expected, next) = (store.clone(), before.clone(), Bytes::from(format!("{round}/{n}")));
            async move { (store.swap_mark(expected, next.clone()).await.unwrap(), next) }
        });
        let swapped = futures::future::join_all(swaps).await;
        let done: Vec<&Bytes> = swapped.iter().filter(|(s, _)| *s == Swapped::Done).map(|(_, next)| next).collect();
        let [winner] = done.as_slice() else { panic!("{swapped:?}") };
        assert!(swapped.iter().all(|(s, _)| *s == Swapped::Done || *s == Swapped::Instead(Some((*winner).clone()))));
        before = Some((*winner).clone());
    }
}

#[tokio::test]
async fn a_bucket_without_conditional_writes_is_written_all_the_same() {
    let server = Server { objects: Mutex::new(Some(HashMap::new())), has_no_conditions: true, ..Server::default() };
    let (_, config) = at(server).await;
    let store = store(&config);
    let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    assert_eq!(store.swap_mark(None, one.clone()).await.unwrap(), Swapped::Done);
    assert_eq!(store.swap_mark(Some(one.clone()), two.clone()).await.unwrap(), Swapped::Done);
    assert_eq!(store.swap_mark(Some(one.clone()), one).await.unwrap(), Swapped::Instead(Some(two)));
}

#[tokio::test]
async fn a_server_that_is_gone_is_named_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(listener.local_addr().unwrap().to_string());
    drop(listener);
    let store = store(&config);
    let error = store.mark().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.to_string().contains("refused"), "the cause is said: {error}");
    names_the_place(&error, &config, &store);
    let outage = store.outage().unwrap();
    assert_eq!(outage.error, error.to_string());
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_after_the_configured_time() {
    let (_, config) = at(Server { hangs: true, ..Server::default() }).await;
    let config = S3Config { request_timeout: Duration::from_millis(50), ..config };
    let store = store(&config);
    let error = store.mark().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.to_string().contains("no answer within 0.05 s (minio.requestTimeoutMs)"), "{error}");
    assert_eq!(store.counters().get.retries.load(Ordering::Relaxed), 1, "and was tried again");
}

#[tokio::test]
async fn a_process_that_stops_waits_for_no_server() {
    let (_, config) = at(Server { hangs: true, ..Server::default() }).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let store = store(&config).for_run(Default::default(), stop.clone());
    let (asked, listed) = (store.clone(), store.list(""));
    let asking = tokio::spawn(async move { asked.mark().await.unwrap_err() });
    let listing = tokio::spawn(async move { listed.collect::<Vec<_>>().await.pop().unwrap().unwrap_err() });
    stop.cancel();
    for error in [asking.await.unwrap(), listing.await.unwrap()] {
        assert!(matches!(error, StorageError::Stopping { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }
}

#[test]
fn names_are_below_the_root_and_secrets_stay_out_of_errors() {
    let config = S3Config { root_path: "/files/".to_owned(), ..config("localhost:9000".to_owned()) };
    let bucket = Bucket::s3(&config).unwrap();
    assert_eq!(bucket.path("delta_log/1/2/3/4").as_ref(), "files/delta_log/1/2/3/4");
    assert!(!format!("{bucket:?}").contains("hidden"));
    let error = Bucket::s3(&S3Config::default()).unwrap_err().to_string();
    assert_eq!(error, "storage settings: bucket name is empty");
}

/// Of a signed URL: its host, and the path of an object.
async fn signed(config: &S3Config) -> (String, String) {
    let creator = Bucket::s3(config).unwrap().creator.unwrap();
    let url = creator.store.signed_url(Method::PUT, &Path::from("files/a"), SIGNED_FOR).await.unwrap();
    (url.host_str().unwrap().to_owned(), url.path().to_owned())
}

#[tokio::test]
async fn a_bucket_is_in_the_path_or_with_a_virtual_host_in_the_name() {
    let in_path = config("s3.example:9000".to_owned());
    let in_name = S3Config { virtual_host: true, ..in_path.clone() };
    let parts = |host: &str, path: &str| (host.to_owned(), path.to_owned());
    assert_eq!(signed(&in_path).await, parts("s3.example", "/a-bucket/files/a"));
    assert_eq!(signed(&in_name).await, parts("a-bucket.s3.example", "/files/a"));
}

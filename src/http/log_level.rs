//! The level of the log while the process runs: `GET` and `PUT /log/level`, as Milvus has them on this port.
//!
//! Beside the levels of Milvus the directives of `log.level` may be put. Changing it needs the rights of an administrator.

use axum::{
    body::Bytes,
    extract::{Extension, Query, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{guard::refused, shared::RouteState};
use crate::{
    access::Caller,
    telemetry::{LogLevel, log_level},
};

const FORM: &str = "application/x-www-form-urlencoded";

/// `GET`: the level as JSON. `PUT`: another one, as the member `level` of JSON or of a form.
pub(super) async fn answer(
    State(shared): State<RouteState>,
    Extension(caller): Extension<Caller>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(level) = log_level() else { return error(StatusCode::NOT_FOUND, "this process has no log of its own") };
    match method {
        Method::GET => show(level),
        Method::PUT => {
            if let Err(refusal) = shared.standalone.gatekeeper().permit_admin(&caller) {
                return refused(&refusal);
            }
            put(level, &caller, wanted(&uri, &headers, &body))
        }
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "Only GET and PUT are supported."),
    }
}

fn show(level: &LogLevel) -> Response {
    json_text(StatusCode::OK, &json!({"level": level.get()}))
}

fn put(level: &LogLevel, caller: &Caller, wanted: Result<String, String>) -> Response {
    let before = level.get();
    // Milvus has levels that nothing here is logged at.
    let wanted = wanted.map(|wanted| match wanted.as_str() {
        "dpanic" | "panic" | "fatal" => "error".to_owned(),
        _ => wanted,
    });
    match wanted.and_then(|wanted| level.set(&wanted).map_err(|error| error.to_string())) {
        Ok(()) => {
            tracing::warn!(%before, now = level.get(), user = caller.name(), "the level of the log was changed");
            show(level)
        }
        Err(text) => error(StatusCode::BAD_REQUEST, &text),
    }
}

/// The level that a request asks for.
fn wanted(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<String, String> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let text = if kind.starts_with(FORM) {
        let pairs = [body, uri.query().unwrap_or_default().as_bytes()];
        pairs.iter().find_map(|pairs| form_member(pairs, "level"))
    } else {
        let body: Value = serde_json::from_slice(body).map_err(|error| format!("malformed request body: {error}"))?;
        body.get("level").and_then(Value::as_str).map(str::to_owned)
    };
    text.filter(|text| !text.is_empty()).ok_or_else(|| "must specify logging level".to_owned())
}

/// A member of a form: its text has the shape of a query.
fn form_member(pairs: &[u8], name: &str) -> Option<String> {
    let uri = format!("/?{}", std::str::from_utf8(pairs).ok()?).parse::<Uri>().ok()?;
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&uri).ok()?;
    pairs.into_iter().find_map(|(member, value)| (member == name).then_some(value))
}

fn error(status: StatusCode, text: &str) -> Response {
    json_text(status, &json!({"error": text}))
}

/// JSON, labelled as text as in Milvus.
fn json_text(status: StatusCode, answer: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{answer}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::http::tests::read;

    /// Answers read off Milvus 2.3.5, and ours about levels that it does not have.
    #[rstest]
    #[case::json("application/json", "", r#"{"level":"debug"}"#, 200, r#"{"level":"debug"}"#)]
    #[case::form(FORM, "", "level=debug", 200, r#"{"level":"debug"}"#)]
    #[case::query(FORM, "level=warn", "", 200, r#"{"level":"warn"}"#)]
    #[case::directives("", "", r#"{"level":"datacoord=debug,info"}"#, 200, r#"{"level":"datacoord=debug,info"}"#)]
    #[case::milvus_only(FORM, "", "level=fatal", 200, r#"{"level":"error"}"#)]
    #[case::nothing(FORM, "", r#"{"level":"bogus"}"#, 400, r#"{"error":"must specify logging level"}"#)]
    #[case::no_json("", "", "level=debug", 400, "malformed request body")]
    #[case::no_level(FORM, "", "level=loud", 400, r#"\"loud\" is none of off, error"#)]
    #[tokio::test]
    async fn a_level_is_put_as_in_milvus(
        #[case] kind: &str,
        #[case] query: &str,
        #[case] body: &str,
        #[case] status: u16,
        #[case] expected: &str,
    ) {
        let level = LogLevel::new("info", |_| Ok(()));
        let uri: Uri = format!("/log/level?{query}").parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        let answer = read(put(&level, &Caller::nobody(), wanted(&uri, &headers, body.as_bytes()))).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(expected) && answer.body.ends_with('\n'), "{}", answer.body);
        if status != 200 {
            assert_eq!(level.get(), "info");
        }
    }
}

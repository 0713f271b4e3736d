//! Health, readiness and metrics.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{answer, shared::RouteState};
use crate::{
    coordinator::{Ailment, HealthReport},
    wire::{
        proto::common::StateCode,
        system::{self, ROLES},
    },
};

const PLAIN: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];

/// `GET /api/v1/health`: the process answers.
pub(super) async fn alive() -> Response {
    answer::json(StatusCode::OK, &json!({"status": "ok"}))
}

/// `GET /healthz`: whether a restart would help. 200 and `OK`, or 500 and the first component that is not well. The reasons
/// follow, a line each. A degraded process is well, because a restart would not help it. With the request header
/// `Content-Type: application/json` the body is JSON, labelled text/plain all the same, as in Milvus, with members more
/// while a part is not well: the condition, the parts and the reasons.
pub(super) async fn healthz(State(shared): State<RouteState>, headers: HeaderMap) -> Response {
    health_answer(&shared.standalone.health(), wants_json(&headers, header::CONTENT_TYPE))
}

fn wants_json(headers: &HeaderMap, name: header::HeaderName) -> bool {
    headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.starts_with("application/json"))
}

pub(super) fn health_answer(health: &HealthReport, wants_json: bool) -> Response {
    let (status, state) = match unwell(health) {
        None => (StatusCode::OK, "OK".to_owned()),
        Some(text) => (StatusCode::INTERNAL_SERVER_ERROR, text),
    };
    let body = if wants_json {
        let code = component_state(health) as i32;
        let detail: Vec<_> = ROLES.iter().map(|name| json!({"name": name, "code": code})).collect();
        let mut answer = json!({"state": state, "detail": detail});
        // Without a reason the answer is Milvus' own.
        if !health.ailments.is_empty() {
            describe(health, &mut answer);
        }
        answer.to_string()
    } else {
        lines(state, &health.reasons())
    };
    (status, PLAIN, body).into_response()
}

/// `GET /readyz`: whether calls may be sent here; 503 once the process has failed. The reasons follow, a line each. With the
/// request header `Content-Type` or `Accept: application/json` the body is JSON.
pub(super) async fn readyz(State(shared): State<RouteState>, headers: HeaderMap) -> Response {
    let wants_json = wants_json(&headers, header::CONTENT_TYPE) || wants_json(&headers, header::ACCEPT);
    ready_answer(&shared.standalone.health(), wants_json)
}

pub(super) fn ready_answer(health: &HealthReport, wants_json: bool) -> Response {
    let (status, state) = match unwell(health) {
        None => (StatusCode::OK, "ready".to_owned()),
        Some(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
    };
    if wants_json {
        let mut answer = json!({"ready": status == StatusCode::OK});
        describe(health, &mut answer);
        return answer::json(status, &answer).into_response();
    }
    (status, PLAIN, lines(state, &health.reasons())).into_response()
}

/// Adds the parts that are not well, and why.
fn describe(health: &HealthReport, answer: &mut Value) {
    let part = |ill: &Ailment| json!({"part": ill.part, "condition": ill.condition.as_str(), "reason": ill.reason});
    answer["condition"] = json!(health.condition().as_str());
    answer["parts"] = health.ailments.iter().map(part).collect();
    answer["reasons"] = json!(health.reasons());
}

fn component_state(health: &HealthReport) -> StateCode {
    system::component_state(health.takes_calls())
}

/// The first component that is not well. One process fills every role, so that is the first of all, if any.
fn unwell(health: &HealthReport) -> Option<String> {
    let state = component_state(health);
    (state != StateCode::Healthy).then(|| format!("component {} state is {}", ROLES[0], state.as_str_name()))
}

fn lines(first: String, more: &[String]) -> String {
    more.iter().fold(first, |text, line| text + "\n" + line)
}

/// `GET /metrics`, in the text format of Prometheus.
pub(super) async fn metrics(State(shared): State<RouteState>) -> Response {
    (shared.refresh)();
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], shared.metrics.render()).into_response()
}

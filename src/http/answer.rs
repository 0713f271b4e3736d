//! Answers: the JSON of Milvus' messages, with its member names, members that are zero left out.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    error::cut,
    wire::proto::{
        common,
        milvus::{
            CompactionMergeInfo, GetCompactionPlansResponse, GetCompactionStateResponse, ManualCompactionResponse,
        },
    },
};

/// `ErrorCode.IllegalArgument`: the request could not be read.
const ILLEGAL_ARGUMENT: i32 = 5;

/// Milvus' content type.
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// A body with Milvus' content type.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => (status, [(header::CONTENT_TYPE, JSON)], text).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

/// 400: the request could not be read.
pub(super) fn bad_request(reason: String) -> Response {
    json(StatusCode::BAD_REQUEST, &Plain { error_code: ILLEGAL_ARGUMENT, reason: cut(reason) })
}

/// 413: the request is too large. No setting changes the limit.
pub(super) fn too_large(limit: usize) -> Response {
    let reason = format!("bad request: the body is larger than {limit} bytes");
    json(StatusCode::PAYLOAD_TOO_LARGE, &Plain { error_code: ILLEGAL_ARGUMENT, reason })
}

#[derive(Serialize)]
struct Plain {
    error_code: i32,
    reason: String,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `common.Status`; all zero is `{}`.
#[derive(Serialize, Default)]
pub(super) struct Status {
    #[serde(skip_serializing_if = "is_zero")]
    error_code: i32,
    #[serde(skip_serializing_if = "is_zero")]
    reason: String,
    #[serde(skip_serializing_if = "is_zero")]
    code: i32,
    #[serde(skip_serializing_if = "is_zero")]
    retriable: bool,
    #[serde(skip_serializing_if = "is_zero")]
    detail: String,
}

impl From<Option<common::Status>> for Status {
    fn from(status: Option<common::Status>) -> Self {
        let status = status.unwrap_or_default();
        Self {
            error_code: status.error_code,
            reason: status.reason,
            code: status.code,
            retriable: status.retriable,
            detail: status.detail,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Started {
    status: Status,
    #[serde(rename = "compactionID", skip_serializing_if = "is_zero")]
    compaction_id: i64,
    #[serde(rename = "compactionPlanCount", skip_serializing_if = "is_zero")]
    plan_count: i32,
}

impl From<ManualCompactionResponse> for Started {
    fn from(answer: ManualCompactionResponse) -> Self {
        Self {
            status: answer.status.into(),
            compaction_id: answer.compaction_id,
            plan_count: answer.compaction_plan_count,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateAnswer {
    status: Status,
    #[serde(skip_serializing_if = "is_zero")]
    state: i32,
    #[serde(skip_serializing_if = "is_zero")]
    executing_plan_no: i64,
    #[serde(skip_serializing_if = "is_zero")]
    timeout_plan_no: i64,
    #[serde(skip_serializing_if = "is_zero")]
    completed_plan_no: i64,
    #[serde(skip_serializing_if = "is_zero")]
    failed_plan_no: i64,
}

impl From<GetCompactionStateResponse> for StateAnswer {
    fn from(answer: GetCompactionStateResponse) -> Self {
        Self {
            status: answer.status.into(),
            state: answer.state,
            executing_plan_no: answer.executing_plan_no,
            timeout_plan_no: answer.timeout_plan_no,
            completed_plan_no: answer.completed_plan_no,
            failed_plan_no: answer.failed_plan_no,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Plans {
    status: Status,
    #[serde(skip_serializing_if = "is_zero")]
    state: i32,
    #[serde(rename = "mergeInfos", skip_serializing_if = "Vec::is_empty")]
    merge_infos: Vec<MergeInfo>,
}

impl From<GetCompactionPlansResponse> for Plans {
    fn from(answer: GetCompactionPlansResponse) -> Self {
        Self {
            status: answer.status.into(),
            state: answer.state,
            merge_infos: answer.merge_infos.into_iter().map(MergeInfo::from).collect(),
        }
    }
}

/// One plan. The first two members are those of 2.3.5; the others are known to later releases.
#[derive(Serialize)]
struct MergeInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<i64>,
    #[serde(skip_serializing_if = "is_zero")]
    target: i64,
    #[serde(skip_serializing_if = "is_zero")]
    plan_id: i64,
    #[serde(skip_serializing_if = "is_zero")]
    trigger_id: i64,
    #[serde(skip_serializing_if = "is_zero")]
    collection_id: i64,
    #[serde(skip_serializing_if = "is_zero")]
    partition_id: i64,
    #[serde(skip_serializing_if = "is_zero")]
    channel: String,
    #[serde(rename = "type", skip_serializing_if = "is_zero")]
    kind: i32,
    #[serde(skip_serializing_if = "is_zero")]
    state: i32,
    #[serde(skip_serializing_if = "is_zero")]
    failure_reason: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<i64>,
}

impl From<CompactionMergeInfo> for MergeInfo {
    fn from(info: CompactionMergeInfo) -> Self {
        Self {
            sources: info.sources,
            target: info.target,
            plan_id: info.plan_id,
            trigger_id: info.trigger_id,
            collection_id: info.collection_id,
            partition_id: info.partition_id,
            channel: info.channel,
            kind: info.r#type,
            state: info.state,
            failure_reason: info.failure_reason,
            targets: info.targets,
        }
    }
}

/// An answer of the newer style: always HTTP 200, the code says whether it failed.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum V2<T> {
    Data { code: i32, data: T },
    Error { code: i32, message: String },
}

impl<T> V2<T> {
    pub(super) fn error(code: i32, message: impl Into<String>) -> Self {
        Self::Error { code, message: cut(message.into()) }
    }

    /// The data, unless the status says that there is none.
    fn of(status: Option<common::Status>, data: T) -> Self {
        let status = status.unwrap_or_default();
        match (status.code, status.error_code) {
            (0, 0) => Self::Data { code: 0, data },
            // Old code paths set only the old code; the newer style has only the new one.
            (0, _) => Self::error(65_535, status.reason),
            (code, _) => Self::error(code, status.reason),
        }
    }
}

#[derive(Serialize)]
pub(super) struct StartedV2 {
    #[serde(rename = "compactionID")]
    compaction_id: i64,
}

impl StartedV2 {
    pub(super) fn of(answer: ManualCompactionResponse) -> V2<Self> {
        V2::of(answer.status, Self { compaction_id: answer.compaction_id })
    }
}

#[derive(Serialize)]
pub(super) struct StateV2 {
    #[serde(rename = "compactionID")]
    compaction_id: i64,
    state: &'static str,
    #[serde(rename = "executingPlanNumber")]
    executing: i64,
    #[serde(rename = "timeoutPlanNumber")]
    timeout: i64,
    #[serde(rename = "completedPlanNumber")]
    completed: i64,
}

impl StateV2 {
    pub(super) fn of(compaction_id: i64, answer: GetCompactionStateResponse) -> V2<Self> {
        let state = match answer.state {
            1 => "Executing",
            2 => "Completed",
            _ => "UndefiedState",
        };
        let data = Self {
            compaction_id,
            state,
            executing: answer.executing_plan_no,
            timeout: answer.timeout_plan_no,
            completed: answer.completed_plan_no,
        };
        V2::of(answer.status, data)
    }
}

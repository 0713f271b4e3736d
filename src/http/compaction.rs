//! The compaction routes of both styles.

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{StatusCode, Uri},
    response::Response,
};

use super::{
    MAX_BODY_BYTES, Shared,
    answer::{self, Plans, Started, StartedV2, StateV2, V2},
    request::{Kind, Message, Values},
};
use crate::wire::proto::milvus::{GetCompactionPlansRequest, GetCompactionStateRequest, ManualCompactionRequest};

/// Milvus' codes for a body that can't be read, and for one without a required member (newer style only).
const NOT_JSON: i32 = 1801;
const MISSING_PARAMETER: i32 = 1802;

const MANUAL: Message = Message {
    name: "ManualCompactionRequest",
    members: &[
        ("collectionID", Kind::Int),
        ("timetravel", Kind::Uint),
        ("majorCompaction", Kind::Flag),
        ("collection_name", Kind::Text),
        ("db_name", Kind::Text),
        ("partition_id", Kind::Int),
        ("channel", Kind::Text),
        ("segment_ids", Kind::Ints),
        ("l0Compaction", Kind::Flag),
        ("target_size", Kind::Int),
    ],
};

const STATE: Message = Message { name: "GetCompactionStateRequest", members: &[("compactionID", Kind::Int)] };

const PLANS: Message = Message {
    name: "GetCompactionPlansRequest",
    members: &[
        ("compactionID", Kind::Int),
        ("db_name", Kind::Text),
        ("collection_name", Kind::Text),
        ("collection_id", Kind::Int),
    ],
};

const MANUAL_V2: Message = Message {
    name: "CompactReq",
    members: &[("dbName", Kind::Text), ("collectionName", Kind::Text), ("isClustering", Kind::Flag)],
};

const STATE_V2: Message = Message { name: "GetCompactionStateReq", members: &[("jobID", Kind::Int)] };

type Body = Result<Bytes, BytesRejection>;

/// Reads the members of a request, or says why not.
fn read(message: &Message, uri: &Uri, body: Body) -> Result<Values, Box<Response>> {
    let body = body.map_err(|_| Box::new(answer::too_large(MAX_BODY_BYTES)))?;
    message.read(uri, &body).map_err(|reason| Box::new(answer::bad_request(reason)))
}

/// `POST /api/v1/compaction`
pub(super) async fn start(State(shared): State<Shared>, uri: Uri, body: Body) -> Response {
    let mut values = match read(&MANUAL, &uri, body) {
        Ok(values) => values,
        Err(response) => return *response,
    };
    let request = ManualCompactionRequest {
        collection_id: values.int("collectionID"),
        timetravel: values.uint("timetravel"),
        major_compaction: values.flag("majorCompaction"),
        collection_name: values.text("collection_name"),
        db_name: values.text("db_name"),
        partition_id: values.int("partition_id"),
        channel: values.text("channel"),
        segment_ids: values.ints("segment_ids"),
        l0_compaction: values.flag("l0Compaction"),
        target_size: values.int("target_size"),
    };
    match shared.backend.manual_compaction(request).await {
        Ok(started) => answer::json(StatusCode::OK, &Started::from(started)),
        Err(status) => answer::failure(&status),
    }
}

/// `GET /api/v1/compaction/state`
pub(super) async fn state(State(shared): State<Shared>, uri: Uri, body: Body) -> Response {
    let values = match read(&STATE, &uri, body) {
        Ok(values) => values,
        Err(response) => return *response,
    };
    let request = GetCompactionStateRequest { compaction_id: values.int("compactionID") };
    match shared.backend.compaction_state(request).await {
        Ok(state) => answer::json(StatusCode::OK, &answer::State::from(state)),
        Err(status) => answer::failure(&status),
    }
}

/// `GET /api/v1/compaction/plans`
pub(super) async fn plans(State(shared): State<Shared>, uri: Uri, body: Body) -> Response {
    let mut values = match read(&PLANS, &uri, body) {
        Ok(values) => values,
        Err(response) => return *response,
    };
    let request = GetCompactionPlansRequest {
        compaction_id: values.int("compactionID"),
        db_name: values.text("db_name"),
        collection_name: values.text("collection_name"),
        collection_id: values.int("collection_id"),
    };
    match shared.backend.compaction_plans(request).await {
        Ok(plans) => answer::json(StatusCode::OK, &Plans::from(plans)),
        Err(status) => answer::failure(&status),
    }
}

/// Like [`read`]; the newer style answers 200 with a code whatever is wrong with the body.
fn read_v2(message: &Message, uri: &Uri, body: Body) -> Result<Values, Box<Response>> {
    let body = body.map_err(|_| Box::new(answer::too_large(MAX_BODY_BYTES)))?;
    message.read(uri, &body).map_err(|reason| {
        let text = format!("can only accept json format request, error: {reason}");
        Box::new(answer::json(StatusCode::OK, &V2::<()>::error(NOT_JSON, text)))
    })
}

/// `POST /v2/vectordb/collections/compact`
pub(super) async fn start_v2(State(shared): State<Shared>, uri: Uri, body: Body) -> Response {
    let mut values = match read_v2(&MANUAL_V2, &uri, body) {
        Ok(values) => values,
        Err(response) => return *response,
    };
    let collection_name = values.text("collectionName");
    if collection_name.is_empty() {
        let text = "missing required parameters, error: collectionName is empty";
        return answer::json(StatusCode::OK, &V2::<()>::error(MISSING_PARAMETER, text));
    }
    let request = ManualCompactionRequest {
        collection_name,
        db_name: values.text("dbName"),
        major_compaction: values.flag("isClustering"),
        ..Default::default()
    };
    match shared.backend.manual_compaction(request).await {
        Ok(started) => {
            let data = StartedV2 { compaction_id: started.compaction_id };
            answer::json(StatusCode::OK, &V2::of(started.status, data))
        }
        Err(status) => answer::failure(&status),
    }
}

/// `POST /v2/vectordb/collections/get_compaction_state`
pub(super) async fn state_v2(State(shared): State<Shared>, uri: Uri, body: Body) -> Response {
    let values = match read_v2(&STATE_V2, &uri, body) {
        Ok(values) => values,
        Err(response) => return *response,
    };
    let compaction_id = values.int("jobID");
    match shared.backend.compaction_state(GetCompactionStateRequest { compaction_id }).await {
        Ok(state) => {
            let data = StateV2 {
                compaction_id,
                state: match state.state {
                    1 => "Executing",
                    2 => "Completed",
                    _ => "UndefiedState",
                },
                executing: state.executing_plan_no,
                timeout: state.timeout_plan_no,
                completed: state.completed_plan_no,
            };
            answer::json(StatusCode::OK, &V2::of(state.status, data))
        }
        Err(status) => answer::failure(&status),
    }
}

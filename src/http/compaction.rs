//! The compaction routes of both styles.

use axum::{
    extract::{Extension, State},
    http::{StatusCode, Uri},
    response::Response,
};

use super::{
    answer::{self, Plans, Started, StartedV2, StateV2, V2},
    bounds::MAX_BODY_BYTES,
    guard::permit_compaction,
    request::{MemberKind, Message, ReceivedBody, Values},
    shared::RouteState,
};
use crate::{
    access::Caller,
    coordinator::{CompactionOptions, Triggered},
    model::JobId,
    standalone::{CollectionName, Standalone, StandaloneError},
    wire::{
        compaction,
        proto::{
            common,
            milvus::{GetCompactionPlansResponse, GetCompactionStateResponse, ManualCompactionResponse},
        },
        status,
    },
};

/// Milvus' codes for a body that can't be read, and for one without a required member (newer style only).
const NOT_JSON: i32 = 1801;
const MISSING_PARAMETER: i32 = 1802;

pub(super) const MANUAL: Message = Message {
    name: "ManualCompactionRequest",
    members: &[
        ("collectionID", MemberKind::Int),
        ("timetravel", MemberKind::Uint),
        ("majorCompaction", MemberKind::Flag),
        ("collection_name", MemberKind::Text),
        ("db_name", MemberKind::Text),
        ("partition_id", MemberKind::Int),
        ("channel", MemberKind::Text),
        ("segment_ids", MemberKind::Ints),
        ("l0Compaction", MemberKind::Flag),
        ("target_size", MemberKind::Int),
    ],
};

const STATE: Message = Message { name: "GetCompactionStateRequest", members: &[("compactionID", MemberKind::Int)] };

pub(super) const PLANS: Message = Message {
    name: "GetCompactionPlansRequest",
    members: &[
        ("compactionID", MemberKind::Int),
        ("db_name", MemberKind::Text),
        ("collection_name", MemberKind::Text),
        ("collection_id", MemberKind::Int),
    ],
};

pub(super) const MANUAL_V2: Message = Message {
    name: "CompactReq",
    members: &[("dbName", MemberKind::Text), ("collectionName", MemberKind::Text), ("isClustering", MemberKind::Flag)],
};

const STATE_V2: Message = Message { name: "GetCompactionStateReq", members: &[("jobID", MemberKind::Int)] };

/// A collection as a request names it: by name or, if that is empty, by id.
#[derive(Debug, PartialEq)]
pub(super) struct CompactionTarget {
    pub(super) database: String,
    pub(super) name: String,
    pub(super) id: i64,
}

impl CompactionTarget {
    fn name(&self) -> CollectionName<'_> {
        CollectionName::new(&self.database, &self.name)
    }

    /// Database, name and id.
    fn parts(&self) -> (&str, &str, i64) {
        (&self.database, &self.name, self.id)
    }
}

fn refused(error: StandaloneError) -> Option<common::Status> {
    Some(status::of_core(&error, error.request()))
}

async fn trigger(
    standalone: &Standalone,
    target: &CompactionTarget,
    options: CompactionOptions,
) -> Result<Triggered, StandaloneError> {
    let cell = standalone.compaction_target(target.name(), target.id)?;
    Ok(standalone.coordinator().manual_compaction(&cell, options.parse()?).await?)
}

/// Starts a compaction.
async fn manual(
    standalone: &Standalone,
    target: &CompactionTarget,
    options: CompactionOptions,
) -> ManualCompactionResponse {
    match trigger(standalone, target, options).await {
        Ok(triggered) => compaction::started_response(triggered.job, triggered.plans),
        Err(error) => ManualCompactionResponse { status: refused(error), ..Default::default() },
    }
}

fn job_state(standalone: &Standalone, job: i64) -> GetCompactionStateResponse {
    match standalone.coordinator().job_counts(JobId(job)) {
        Ok(counts) => compaction::state_response(&counts),
        Err(error) => GetCompactionStateResponse { status: refused(error.into()), ..Default::default() },
    }
}

/// Plans of a job or, if none is named, of all jobs of a collection.
fn job_plans(standalone: &Standalone, job: i64, target: &CompactionTarget) -> GetCompactionPlansResponse {
    match standalone.compaction_plans(JobId(job), target.name(), target.id) {
        Ok(plans) => compaction::plans_response(&plans),
        Err(error) => GetCompactionPlansResponse { status: refused(error), ..Default::default() },
    }
}

/// The target and the options of a `ManualCompactionRequest`.
pub(super) fn options(mut values: Values) -> (CompactionTarget, CompactionOptions) {
    let target = CompactionTarget {
        database: values.text("db_name"),
        name: values.text("collection_name"),
        id: values.int("collectionID"),
    };
    let options = CompactionOptions {
        partition_id: values.int("partition_id"),
        channel: values.text("channel"),
        segment_ids: values.ints("segment_ids"),
        timetravel: values.uint("timetravel"),
        is_clustering: values.flag("majorCompaction"),
        is_l0: values.flag("l0Compaction"),
        target_size_mb: values.int("target_size"),
        ..CompactionOptions::default()
    };
    (target, options)
}

/// The target and the options of a `CompactReq` of the newer style.
pub(super) fn options_v2(mut values: Values) -> (CompactionTarget, CompactionOptions) {
    let target = CompactionTarget { database: values.text("dbName"), name: values.text("collectionName"), id: 0 };
    let options = CompactionOptions { is_clustering: values.flag("isClustering"), ..CompactionOptions::default() };
    (target, options)
}

/// The job and the collection of a `GetCompactionPlansRequest`.
pub(super) fn plans_of(mut values: Values) -> (i64, CompactionTarget) {
    let target = CompactionTarget {
        database: values.text("db_name"),
        name: values.text("collection_name"),
        id: values.int("collection_id"),
    };
    (values.int("compactionID"), target)
}

/// Reads the members of a request, or says why not.
fn read(message: &Message, uri: &Uri, body: ReceivedBody) -> Result<Values, Box<Response>> {
    let body = body.map_err(|_| Box::new(answer::too_large(MAX_BODY_BYTES)))?;
    message.read(uri, &body).map_err(|reason| Box::new(answer::bad_request(reason)))
}

/// `POST /api/v1/compaction`
pub(super) async fn start(
    State(shared): State<RouteState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    body: ReceivedBody,
) -> Response {
    let values = match read(&MANUAL, &uri, body) {
        Ok(values) => values,
        Err(response) => return *response,
    };
    let (target, options) = options(values);
    if let Err(refused) = permit_compaction(&shared.standalone, &caller, target.parts()) {
        return *refused;
    }
    answer::json(StatusCode::OK, &Started::from(manual(&shared.standalone, &target, options).await))
}

/// `GET /api/v1/compaction/state`
pub(super) async fn state(State(shared): State<RouteState>, uri: Uri, body: ReceivedBody) -> Response {
    let values = match read(&STATE, &uri, body) {
        Ok(values) => values,
        Err(response) => return *response,
    };
    answer::json(StatusCode::OK, &answer::StateAnswer::from(job_state(&shared.standalone, values.int("compactionID"))))
}

/// `GET /api/v1/compaction/plans`
pub(super) async fn plans(State(shared): State<RouteState>, uri: Uri, body: ReceivedBody) -> Response {
    let values = match read(&PLANS, &uri, body) {
        Ok(values) => values,
        Err(response) => return *response,
    };
    let (job, target) = plans_of(values);
    answer::json(StatusCode::OK, &Plans::from(job_plans(&shared.standalone, job, &target)))
}

/// Like [`read`]; the newer style answers 200 and a code for every body that can't be read.
fn read_v2(message: &Message, uri: &Uri, body: ReceivedBody) -> Result<Values, Box<Response>> {
    let body = body.map_err(|_| Box::new(answer::too_large(MAX_BODY_BYTES)))?;
    message.read(uri, &body).map_err(|reason| {
        let text = format!("can only accept json format request, error: {reason}");
        Box::new(answer::json(StatusCode::OK, &V2::<()>::error(NOT_JSON, text)))
    })
}

/// `POST /v2/vectordb/collections/compact`
pub(super) async fn start_v2(
    State(shared): State<RouteState>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    body: ReceivedBody,
) -> Response {
    let values = match read_v2(&MANUAL_V2, &uri, body) {
        Ok(values) => values,
        Err(response) => return *response,
    };
    let (target, options) = options_v2(values);
    if target.name.is_empty() {
        let text = "missing required parameters, error: collectionName is empty";
        return answer::json(StatusCode::OK, &V2::<()>::error(MISSING_PARAMETER, text));
    }
    if let Err(refused) = permit_compaction(&shared.standalone, &caller, target.parts()) {
        return *refused;
    }
    let started = manual(&shared.standalone, &target, options).await;
    answer::json(StatusCode::OK, &StartedV2::of(started))
}

/// `POST /v2/vectordb/collections/get_compaction_state`
pub(super) async fn state_v2(State(shared): State<RouteState>, uri: Uri, body: ReceivedBody) -> Response {
    let values = match read_v2(&STATE_V2, &uri, body) {
        Ok(values) => values,
        Err(response) => return *response,
    };
    let job = values.int("jobID");
    answer::json(StatusCode::OK, &StateV2::of(job, job_state(&shared.standalone, job)))
}

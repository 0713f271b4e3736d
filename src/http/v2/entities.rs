//! Rows: insert, upsert, delete, query and get.

use axum::response::Response;
use futures::FutureExt as _;
use serde_json::json;

use super::{
    answer::{BAD_KEY, BAD_ROWS, Done, Fault},
    call::{RestCall, Target},
    columns::columns,
    members::{Members, shown, text_of},
    params::pair,
    rows::{JsonKeys, JsonRows},
};
use crate::{
    http::request::ReceivedBody,
    json::{JsonScalar, Value},
    model::{CollectionSchema, DataType, Field, Privilege},
    wire::proto::{
        common::ConsistencyLevel,
        milvus::{DeleteRequest, InsertRequest, MutationResult, QueryRequest, QueryResults, UpsertRequest},
        schema::FieldData,
    },
};

/// Rows of a query or a search that gives no limit.
pub(super) const DEFAULT_LIMIT: i64 = 100;
/// All fields: the answer of a query without output fields.
const ALL_FIELDS: &str = "*";
const COUNT: &str = "count(*)";

/// The rows of a write, and where they go.
struct Writing {
    target: Target,
    partition: String,
    num_rows: u32,
    columns: Vec<FieldData>,
}

impl Writing {
    fn read(call: &RestCall, members: &Members<'_>, privilege: Privilege) -> Result<Self, Fault> {
        let target = call.target(members)?;
        let meta = call.definition(&target, privilege)?;
        let (num_rows, columns) = data(members, &meta.schema)?;
        Ok(Self { target, partition: members.text("partitionName")?, num_rows, columns })
    }
}

/// The columns that a write carries.
fn data(members: &Members<'_>, schema: &CollectionSchema) -> Result<(u32, Vec<FieldData>), Fault> {
    let bad = |why: String| Fault::Coded(BAD_ROWS, format!("fail to deal the insert data, error: {why}"));
    let rows = members.list("data")?.ok_or_else(|| members.missing("data"))?;
    match columns(schema, rows).map_err(bad)? {
        (0, _) => Err(bad("missing required parameters".to_owned())),
        columns => Ok(columns),
    }
}

/// The answer to a write: counts and keys have the name of the call.
fn written(call: &RestCall, result: &MutationResult, count: i64, names: [&str; 2]) -> Result<Response, Fault> {
    let no_keys = || bad_key("unsupported primary key data type");
    let keys = JsonKeys { keys: result.i_ds.as_ref().ok_or_else(no_keys)?, allows_int64: call.allows_int64 };
    Ok(Done::of_rows(json!({names[0]: count, names[1]: keys})).answer())
}

fn bad_key(why: &str) -> Fault {
    Fault::Coded(BAD_KEY, format!("please check the primary key and its' type can only in [int, string], error: {why}"))
}

pub(in crate::http) async fn insert(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("CollectionDataReq", &body)?;
    let Writing { target, partition, num_rows, columns } = Writing::read(&call, &members, Privilege::Insert)?;
    let request = InsertRequest {
        db_name: target.database,
        collection_name: target.name,
        partition_name: partition,
        fields_data: columns,
        num_rows,
        ..Default::default()
    };
    let (result, _) = call.ask("Insert", request, |service, request| service.insert(request).boxed()).await?;
    written(&call, &result, result.insert_cnt, ["insertCount", "insertIds"])
}

pub(in crate::http) async fn upsert(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("CollectionDataReq", &body)?;
    members.refuse(&["partialUpdate", "fieldOps"])?;
    let Writing { target, partition, num_rows, columns } = Writing::read(&call, &members, Privilege::Upsert)?;
    let request = UpsertRequest {
        db_name: target.database,
        collection_name: target.name,
        partition_name: partition,
        fields_data: columns,
        num_rows,
        ..Default::default()
    };
    let (result, _) = call.ask("Upsert", request, |service, request| service.upsert(request).boxed()).await?;
    written(&call, &result, result.upsert_cnt, ["upsertCount", "upsertIds"])
}

pub(in crate::http) async fn delete(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("CollectionFilterReq", &body)?;
    members.refuse(&["exprParams"])?;
    let target = call.target(&members)?;
    let request = DeleteRequest {
        db_name: target.database,
        collection_name: target.name,
        partition_name: members.text("partitionName")?,
        expr: members.required("filter")?,
        ..Default::default()
    };
    let (result, _) = call.ask("Delete", request, |service, request| service.delete(request).boxed()).await?;
    Ok(Done::of_rows(json!({"deleteCount": result.delete_cnt})).answer())
}

/// The level, and whether the collection's own counts.
pub(super) fn consistency(members: &Members<'_>) -> Result<(i32, bool), Fault> {
    match members.text("consistencyLevel")?.as_str() {
        "" => Ok((ConsistencyLevel::Bounded.into(), true)),
        name => ConsistencyLevel::from_str_name(name).map(|level| (level.into(), false)).ok_or_else(|| {
            let name = shown(name);
            Fault::invalid(format!(
                "consistencyLevel can only be [Strong, Session, Bounded, Eventually, Customized], default: Bounded, \
                 err:parameter:'{name}' is incorrect, please check it: invalid parameter"
            ))
        }),
    }
}

pub(in crate::http) async fn query(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("QueryReqV2", &body)?;
    members.refuse(&["exprParams", "orderByFields"])?;
    let Target { database, name } = call.target(&members)?;
    let output_fields = members.texts("outputFields")?.unwrap_or_else(|| vec![ALL_FIELDS.to_owned()]);
    let is_count = matches!(output_fields.as_slice(), [only] if only.trim().eq_ignore_ascii_case(COUNT));
    let mut query_params = Vec::new();
    if let Some(offset) = members.int("offset")?.filter(|offset| *offset > 0) {
        query_params.push(pair("offset", offset.to_string()));
    }
    let limit = members.int("limit")?.unwrap_or(DEFAULT_LIMIT);
    if limit > 0 && !is_count {
        query_params.push(pair("limit", limit.to_string()));
    }
    let (consistency_level, use_default_consistency) = consistency(&members)?;
    let request = QueryRequest {
        db_name: database,
        collection_name: name,
        expr: members.text("filter")?,
        output_fields,
        partition_names: members.texts("partitionNames")?.unwrap_or_default(),
        query_params,
        consistency_level,
        use_default_consistency,
        ..Default::default()
    };
    queried(&call, request).await
}

pub(in crate::http) async fn get(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("CollectionIDReq", &body)?;
    let id = members.value("id").ok_or_else(|| members.missing("id"))?;
    let target = call.target(&members)?;
    let meta = call.definition(&target, Privilege::Query)?;
    let key = meta.schema.primary_key();
    let (consistency_level, use_default_consistency) = consistency(&members)?;
    let request = QueryRequest {
        db_name: target.database,
        collection_name: target.name,
        expr: key_filter(key, id)?,
        output_fields: members.texts("outputFields")?.unwrap_or_else(|| vec![ALL_FIELDS.to_owned()]),
        partition_names: members.texts("partitionNames")?.unwrap_or_default(),
        consistency_level,
        use_default_consistency,
        ..Default::default()
    };
    queried(&call, request).await
}

async fn queried(call: &RestCall, request: QueryRequest) -> Result<Response, Fault> {
    let (results, memory) = call.ask("Query", request, |service, request| service.query(request).boxed()).await?;
    let QueryResults { fields_data, .. } = &results;
    let rows = JsonRows { fields: fields_data, keys: None, scores: &[], allows_int64: call.allows_int64 };
    Done::of_rows(rows).held_answer(memory)
}

/// The filter for a key, or for each key of a list.
fn key_filter(key: &Field, id: Value<'_>) -> Result<String, Fault> {
    let literal = |value: Value<'_>| match (key.data_type, value.scalar()) {
        (DataType::Int64, Some(JsonScalar::Number(_) | JsonScalar::Text(_))) => {
            let text = text_of(value);
            text.parse::<i64>().map(|key| key.to_string()).map_err(|e| bad_key(&format!("{}: {e}", shown(&text))))
        }
        // As a string of JSON, whose escapes are those of expressions.
        (DataType::VarChar, Some(JsonScalar::Text(text))) => Ok(quoted(&text)),
        _ => Err(bad_key(&format!("{} is no {}", shown(&text_of(value)), key.data_type.name()))),
    };
    let keys: Vec<String> = match id.elements() {
        Some(list) => list.map(literal).collect::<Result<_, _>>()?,
        None => vec![literal(id)?],
    };
    Ok(format!("{} in [{}]", key.name, keys.join(", ")))
}

/// A text as an expression writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

//! Indexes: list, describe, create and drop.

use axum::response::Response;
use futures::FutureExt as _;
use serde_json::json;

use super::{
    answer::{Done, Fault},
    call::{RestCall, Target},
    params::{extra_params, metric, pairs, param},
};
use crate::{
    http::request::ReceivedBody,
    wire::proto::milvus::{CreateIndexRequest, DescribeIndexRequest, DropIndexRequest, IndexDescription},
};

/// Milvus' code for an index that is not there.
const NO_INDEX: i32 = 700;

async fn described(call: &RestCall, target: Target, index: String) -> Result<Vec<IndexDescription>, Fault> {
    let Target { database, name } = target;
    let request =
        DescribeIndexRequest { db_name: database, collection_name: name, index_name: index, ..Default::default() };
    let (found, _) =
        call.ask("DescribeIndex", request, |service, request| service.describe_index(request).boxed()).await?;
    Ok(found.index_descriptions)
}

/// Names; a collection without an index has none.
pub(in crate::http) async fn list(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let target = call.target(&call.members("CollectionNameReq", &body)?)?;
    let found = match described(&call, target, String::new()).await {
        Err(Fault::Coded(NO_INDEX, _)) => Vec::new(),
        found => found?,
    };
    Ok(Done::new(found.into_iter().map(|index| index.index_name).collect::<Vec<_>>()).answer())
}

pub(in crate::http) async fn describe(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("IndexReq", &body)?;
    let found = described(&call, call.target(&members)?, members.required("indexName")?).await?;
    let described = found.iter().map(|index| {
        json!({
            "indexName": index.index_name,
            "fieldName": index.field_name,
            "indexType": param(index, "index_type"),
            "metricType": metric(index),
            "totalRows": index.total_rows,
            "indexedRows": index.indexed_rows,
            "pendingRows": index.pending_index_rows,
            "indexState": index.state().as_str_name(),
            "failReason": index.index_state_fail_reason,
            "indexParams": pairs(&index.params),
        })
    });
    Ok(Done::new(described.collect::<Vec<_>>()).answer())
}

pub(in crate::http) async fn create(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("IndexParamReq", &body)?;
    let Target { database, name } = call.target(&members)?;
    let indexes = members.objects("indexParams", "IndexParam")?;
    if indexes.is_empty() {
        return Err(members.missing("indexParams"));
    }
    for index in indexes {
        let request = CreateIndexRequest {
            db_name: database.clone(),
            collection_name: name.clone(),
            field_name: index.required("fieldName")?,
            index_name: index.text("indexName")?,
            extra_params: extra_params(&index)?,
            ..Default::default()
        };
        call.ask("CreateIndex", request, |service, request| service.create_index(request).boxed()).await?;
    }
    Ok(Done::new(json!({})).answer())
}

pub(in crate::http) async fn drop_one(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("IndexReq", &body)?;
    let Target { database, name } = call.target(&members)?;
    let request = DropIndexRequest {
        db_name: database,
        collection_name: name,
        index_name: members.required("indexName")?,
        ..Default::default()
    };
    call.ask("DropIndex", request, |service, request| service.drop_index(request).boxed()).await?;
    Ok(Done::new(json!({})).answer())
}

//! Connecting, versions, health, databases, timestamps.

use std::collections::BTreeMap;

use super::{
    call_error::{invalid, rejected},
    load::NODE,
    *,
};
use crate::{
    model::Database,
    wire::{
        status,
        system::{ROLES, component_state},
    },
};

/// The server's version for clients: the release whose behaviour we keep, then our own.
const VERSION: &str = concat!("2.3.5-datacoord-", env!("CARGO_PKG_VERSION"));

impl MilvusApi {
    /// A client connects to a database, and learns here that there is none of the name.
    pub(super) async fn do_connect(&self, request: Request<ConnectRequest>) -> Outcome<ConnectResponse> {
        self.standalone.database(CallContext::of(&request).database(""))?;
        let identifier = self.standalone.timestamp().await?;
        Ok(ConnectResponse {
            server_info: Some(common::ServerInfo {
                build_tags: VERSION.to_owned(),
                build_time: String::new(),
                git_commit: String::new(),
                go_version: String::new(),
                deploy_mode: "STANDALONE".to_owned(),
                reserved: Default::default(),
            }),
            identifier: identifier.0 as i64,
            ..Default::default()
        })
    }

    pub(super) async fn do_get_version(&self, _request: Request<GetVersionRequest>) -> Outcome<GetVersionResponse> {
        Ok(GetVersionResponse { version: VERSION.to_owned(), ..Default::default() })
    }

    pub(super) async fn do_check_health(&self, _request: Request<CheckHealthRequest>) -> Outcome<CheckHealthResponse> {
        let health = self.standalone.health();
        Ok(CheckHealthResponse { is_healthy: health.takes_calls(), reasons: health.reasons(), ..Default::default() })
    }

    pub(super) async fn do_alloc_timestamp(
        &self,
        _request: Request<AllocTimestampRequest>,
    ) -> Outcome<AllocTimestampResponse> {
        Ok(AllocTimestampResponse { timestamp: self.standalone.timestamp().await?.0, ..Default::default() })
    }

    /// Only `system_info` is known: one node that is this process.
    pub(super) async fn do_get_metrics(&self, request: Request<GetMetricsRequest>) -> Outcome<GetMetricsResponse> {
        let request = request.into_inner().request;
        let asked: serde_json::Value = crate::json::tree(request.as_bytes())
            .map_err(|e| rejected(format!("failed to decode the request: {e}")))?;
        let Some(kind) = asked.get("metric_type") else { return Err(rejected("metric_type not found in request")) };
        let kind = kind.as_str().ok_or_else(|| rejected("metric_type is no text"))?;
        if kind != "system_info" {
            return Err(CallError(status::metric_not_found(kind)));
        }
        let nodes: Vec<_> = NODES.iter().map(|role| node_info(role)).collect();
        Ok(GetMetricsResponse {
            response: serde_json::json!({ "nodes_info": nodes }).to_string(),
            component_name: "datacoord".to_owned(),
            ..Default::default()
        })
    }

    pub(super) async fn do_get_component_states(
        &self,
        _request: Request<GetComponentStatesRequest>,
    ) -> Outcome<ComponentStates> {
        let code = component_state(self.standalone.health().takes_calls());
        let component = |role: &str| ComponentInfo {
            node_id: 1,
            role: role.to_owned(),
            state_code: code.into(),
            extra_info: Vec::new(),
        };
        Ok(ComponentStates {
            state: Some(component("datacoord")),
            subcomponent_states: ROLES.map(component).into(),
            ..Default::default()
        })
    }

    pub(super) async fn do_list_databases(
        &self,
        _request: Request<ListDatabasesRequest>,
    ) -> Outcome<ListDatabasesResponse> {
        let databases = self.standalone.databases();
        Ok(ListDatabasesResponse {
            created_timestamp: databases.iter().map(|d| d.created_at.0).collect(),
            db_ids: databases.iter().map(Database::number).collect(),
            db_names: databases.into_iter().map(|d| d.name).collect(),
            ..Default::default()
        })
    }

    pub(super) async fn do_create_database(&self, request: Request<CreateDatabaseRequest>) -> Outcome<()> {
        let (_, request) = self.read(request)?;
        if !request.properties.is_empty() {
            return Err(invalid("properties of a database are not supported"));
        }
        Ok(self.standalone.create_database(&request.db_name).await?)
    }

    pub(super) async fn do_drop_database(&self, request: Request<DropDatabaseRequest>) -> Outcome<()> {
        let (_, request) = self.read(request)?;
        Ok(self.standalone.drop_database(&request.db_name).await?)
    }

    pub(super) async fn do_describe_database(
        &self,
        request: Request<DescribeDatabaseRequest>,
    ) -> Outcome<DescribeDatabaseResponse> {
        let database = self.standalone.database(&request.into_inner().db_name)?;
        Ok(DescribeDatabaseResponse {
            db_id: database.number(),
            db_name: database.name,
            created_timestamp: database.created_at.0,
            ..Default::default()
        })
    }
}

/// The roles of a Milvus deployment, of which this one node has all. A client that spreads load looks for its query nodes.
const NODES: [&str; 7] = ["rootcoord", "datacoord", "datanode", "proxy", "indexnode", "querycoord", "querynode"];

/// A role as a report of the system shows it.
fn node_info(role: &str) -> serde_json::Value {
    serde_json::json!({
        "identifier": NODE,
        "connected": [],
        "infos": {
            "has_error": false, "error_reason": "", "name": role, "type": role, "id": NODE,
            "system_info": {"system_version": VERSION, "deploy_mode": "STANDALONE"},
        },
    })
}

/// Key-value pairs as a map; a key given twice keeps its last value.
pub(super) fn pairs_to_map(pairs: Vec<common::KeyValuePair>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|p| (p.key, p.value)).collect()
}

pub(super) fn pair(key: impl Into<String>, value: impl Into<String>) -> common::KeyValuePair {
    common::KeyValuePair { key: key.into(), value: value.into() }
}

//! Calls about the server and the names in it.

use super::{
    Client, ClientError,
    connection::{answered, succeeded},
};
use crate::{
    model::Timestamp,
    wire::proto::{
        datacoord::CollectionRef,
        milvus::{
            AllocTimestampRequest, CheckHealthRequest, ListDatabasesRequest, ShowCollectionsRequest,
            ShowPartitionsRequest,
        },
    },
};

/// The server's word about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerHealth {
    pub is_healthy: bool,
    /// Why it is not.
    pub reasons: Vec<String>,
}

impl Client {
    /// Whether the server is well.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn health(&self) -> Result<ServerHealth, ClientError> {
        let call = "CheckHealth";
        let answer = answered(call, self.milvus.clone().check_health(CheckHealthRequest {}).await)?;
        succeeded(call, answer.status)?;
        Ok(ServerHealth { is_healthy: answer.is_healthy, reasons: answer.reasons })
    }

    /// The server's time, milliseconds since 1970.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn time_ms(&self) -> Result<i64, ClientError> {
        let call = "AllocTimestamp";
        let answer = answered(call, self.milvus.clone().alloc_timestamp(AllocTimestampRequest::default()).await)?;
        succeeded(call, answer.status)?;
        Ok(i64::try_from(Timestamp(answer.timestamp).physical_ms()).unwrap_or(i64::MAX))
    }

    /// Names of all databases.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn databases(&self) -> Result<Vec<String>, ClientError> {
        let call = "ListDatabases";
        let answer = answered(call, self.milvus.clone().list_databases(ListDatabasesRequest::default()).await)?;
        succeeded(call, answer.status)?;
        Ok(answer.db_names)
    }

    /// The collections of a database.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn collections(&self, database: &str) -> Result<Vec<CollectionRef>, ClientError> {
        let call = "ShowCollections";
        let request = ShowCollectionsRequest { db_name: database.to_owned(), ..Default::default() };
        let answer = answered(call, self.milvus.clone().show_collections(request).await)?;
        succeeded(call, answer.status)?;
        let named = answer.collection_names.into_iter().zip(answer.collection_ids);
        let named = named.map(|(collection_name, collection_id)| CollectionRef {
            db_name: database.to_owned(),
            collection_name,
            collection_id,
        });
        Ok(named.collect())
    }

    /// Names and ids of the partitions of a collection.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn partitions(&self, collection: &CollectionRef) -> Result<Vec<(String, i64)>, ClientError> {
        let call = "ShowPartitions";
        let request = ShowPartitionsRequest {
            db_name: collection.db_name.clone(),
            collection_name: collection.collection_name.clone(),
            collection_id: collection.collection_id,
            ..Default::default()
        };
        let answer = answered(call, self.milvus.clone().show_partitions(request).await)?;
        succeeded(call, answer.status)?;
        Ok(answer.partition_names.into_iter().zip(answer.partition_i_ds).collect())
    }
}

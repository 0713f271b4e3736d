//! The connection, the checks of an answer, and asking again until something is done.

use std::{future::Future, time::Duration};

use tokio::time::Instant;
use tonic::{
    Response, Status,
    transport::{Channel, Endpoint},
};

use super::ClientError;
use crate::wire::proto::{
    common, datacoord::data_coord_client::DataCoordClient, milvus::GetVersionRequest,
    milvus::milvus_service_client::MilvusServiceClient,
};

/// Longest time of one call, and of waiting for a flush or a compaction.
const PATIENCE: Duration = Duration::from_secs(120);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two questions whether something is done.
const POLL: Duration = Duration::from_millis(50);

/// One connection for Milvus' service and our own. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) milvus: MilvusServiceClient<Channel>,
    pub(super) datacoord: DataCoordClient<Channel>,
}

impl Client {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// `Address` if the text has another form, `NoServer` if nothing accepts the connection within five seconds.
    pub async fn connect(endpoint: &str) -> Result<Self, ClientError> {
        let channel = Endpoint::from_shared(format!("http://{endpoint}"))
            .map_err(|source| ClientError::Address { endpoint: endpoint.to_owned(), source })?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(PATIENCE)
            .connect()
            .await
            .map_err(|source| ClientError::NoServer { endpoint: endpoint.to_owned(), source })?;
        Ok(Self { milvus: MilvusServiceClient::new(channel.clone()), datacoord: DataCoordClient::new(channel) })
    }

    /// Version of the server.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn version(&self) -> Result<String, ClientError> {
        let call = "GetVersion";
        let answer = answered(call, self.milvus.clone().get_version(GetVersionRequest::default()).await)?;
        succeeded(call, answer.status)?;
        Ok(answer.version)
    }
}

/// The message of an answer.
pub(super) fn answered<T>(call: &'static str, answer: Result<Response<T>, Status>) -> Result<T, ClientError> {
    match answer {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => Err(ClientError::Failed { call, source: Box::new(status) }),
    }
}

/// Requires that both codes of a status of Milvus are zero, the one of today and the one of its releases before 2.3.
pub(super) fn succeeded(call: &'static str, status: Option<common::Status>) -> Result<(), ClientError> {
    let status = status.unwrap_or_default();
    if status.code == 0 && status.error_code == 0 {
        return Ok(());
    }
    Err(ClientError::Refused { call, code: status.code, reason: status.reason })
}

/// Asks until the answer is there. `what` names it in the error.
pub(super) async fn poll<T, F: Future<Output = Result<Option<T>, ClientError>>>(
    what: &'static str,
    mut ask: impl FnMut() -> F,
) -> Result<T, ClientError> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() >= end {
            return Err(ClientError::TooLong { what, patience: PATIENCE });
        }
        // Another process has no other way to tell us.
        #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
        tokio::time::sleep(POLL).await;
    }
}

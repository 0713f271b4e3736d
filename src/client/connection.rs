//! The connection, the checks of an answer, and asking again until something is done.

use std::{error::Error, future::Future, io, time::Duration};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::client::TlsStream;
use tonic::{
    Response, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use tower::service_fn;

use super::{
    ClientError,
    login::{Authorization, Login},
};
use crate::{
    tls::{ClientTls, ConnectError},
    wire::proto::{
        common, datacoord::data_coord_client::DataCoordClient, milvus::GetVersionRequest,
        milvus::milvus_service_client::MilvusServiceClient,
    },
};

/// Longest time of one call, if the caller gives none, and of waiting for a flush or a compaction.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest answer: a list of some hundred thousand segments.
const MAX_ANSWER_BYTES: usize = 256 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two questions whether something is done.
const POLL: Duration = Duration::from_millis(50);

/// A connection whose calls carry the login.
pub(super) type Calls = InterceptedService<Channel, Authorization>;

/// How a server is reached, apart from its address.
#[derive(Debug, Clone, Default)]
pub struct Access {
    pub tls: Option<ClientTls>,
    pub login: Option<Login>,
    /// Longest time of one call; two minutes without it. A stream may take longer.
    pub patience: Option<Duration>,
}

/// One connection for Milvus' service and our own. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) milvus: MilvusServiceClient<Calls>,
    pub(super) datacoord: DataCoordClient<Calls>,
}

impl Client {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// `Address` if the text has another form, `NoServer` if nothing accepts the connection within five seconds,
    /// `Handshake` if the server and this client do not trust each other or one of them speaks no TLS.
    pub async fn connect(endpoint: &str, access: Access) -> Result<Self, ClientError> {
        let scheme = if access.tls.is_some() { "https" } else { "http" };
        let target = Endpoint::from_shared(format!("{scheme}://{endpoint}"))
            .map_err(|source| ClientError::Address { endpoint: endpoint.to_owned(), source })?
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(access.patience.unwrap_or(PATIENCE));
        let connected = match access.tls {
            None => target.connect().await,
            Some(tls) => target.connect_with_connector(service_fn(move |uri| over_tls(tls.clone(), uri))).await,
        };
        let channel = connected.map_err(|source| {
            let endpoint = endpoint.to_owned();
            if is_handshake(&source) {
                ClientError::Handshake { endpoint, source }
            } else {
                ClientError::NoServer { endpoint, source }
            }
        })?;
        let calls = InterceptedService::new(channel, Authorization(access.login));
        Ok(Self {
            milvus: MilvusServiceClient::new(calls.clone()).max_decoding_message_size(MAX_ANSWER_BYTES),
            datacoord: DataCoordClient::new(calls).max_decoding_message_size(MAX_ANSWER_BYTES),
        })
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

/// A connection to a collector of OpenTelemetry, which is opened when it is first used. Must be called in a runtime.
///
/// # Errors
/// `Address` if the text is no URL.
pub fn collector(url: &str, tls: Option<ClientTls>) -> Result<Channel, ClientError> {
    let target = Endpoint::from_shared(url.to_owned())
        .map_err(|source| ClientError::Address { endpoint: url.to_owned(), source })?
        .connect_timeout(CONNECT_TIMEOUT);
    Ok(match tls {
        None => target.connect_lazy(),
        Some(tls) => target.connect_with_connector_lazy(service_fn(move |uri| over_tls(tls.clone(), uri))),
    })
}

/// Opens a connection and makes its handshake.
async fn over_tls(tls: ClientTls, uri: Uri) -> Result<TokioIo<TlsStream<TcpStream>>, io::Error> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
    stream.set_nodelay(true)?;
    let shaken = tls.connect(host, b"h2", stream).await.map_err(|error| io::Error::other(HandshakeFailed(error)))?;
    Ok(TokioIo::new(shaken))
}

/// Marks a failure of the handshake among those of connecting.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct HandshakeFailed(#[source] ConnectError);

fn is_handshake(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<HandshakeFailed>() || inner.is_some_and(|inner| inner.is::<HandshakeFailed>()) {
            return true;
        }
        next = error.source();
    }
    false
}

/// The message of an answer.
pub(super) fn answered<T>(call: &'static str, answer: Result<Response<T>, Status>) -> Result<T, ClientError> {
    match answer {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) if was_never_sent(&status) => Err(ClientError::CutOff { call, source: Box::new(status) }),
        Err(status) => Err(ClientError::Failed { call, status: Box::new(status) }),
    }
}

/// True if the connection had ended when the call was about to be written.
fn was_never_sent(status: &Status) -> bool {
    let mut next = status.source();
    while let Some(error) = next {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        next = error.source();
    }
    false
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

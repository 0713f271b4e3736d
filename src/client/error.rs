//! How a call can fail, in words for a terminal.

use std::time::Duration;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{endpoint} is not an address")]
    Address { endpoint: String, source: tonic::transport::Error },
    #[error("no server at {endpoint}: start one with `datacoord serve`")]
    NoServer { endpoint: String, source: tonic::transport::Error },
    /// Something accepts connections there, and the handshake of TLS failed.
    #[error("TLS with {endpoint}")]
    Handshake { endpoint: String, source: tonic::transport::Error },
    /// The call failed, or the server refused it with a gRPC status.
    #[error("{call}")]
    Failed { call: &'static str, source: Box<tonic::Status> },
    /// The server ended the connection before the call was on its way, so its reason for that may be lost.
    #[error("{call}: the connection ended before the call was sent, as at a port that speaks TLS only")]
    CutOff { call: &'static str, source: Box<tonic::Status> },
    /// The server refused the call with a status of Milvus.
    #[error("{call}: code {code}: {reason}")]
    Refused { call: &'static str, code: i32, reason: String },
    #[error("{call} took {taken} of {sent} rows")]
    Incomplete { call: &'static str, taken: i64, sent: usize },
    #[error("{what} took longer than {} s", .patience.as_secs())]
    TooLong { what: &'static str, patience: Duration },
}

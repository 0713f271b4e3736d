//! How a call can fail, in words for a terminal.

use std::{error::Error, time::Duration};

use tonic::{Code, Status};

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
    #[error("{call}: {}", sentence(.status))]
    Failed { call: &'static str, status: Box<Status> },
    /// The server ended the connection before the call was on its way, so its reason for that may be lost.
    #[error("{call}: the connection ended before the call was sent, as at a port that speaks TLS only")]
    CutOff { call: &'static str, source: Box<Status> },
    /// The server refused the call with a status of Milvus.
    #[error("{call}: code {code}: {reason}")]
    Refused { call: &'static str, code: i32, reason: String },
    #[error("{call} took {taken} of {sent} rows")]
    Incomplete { call: &'static str, taken: i64, sent: usize },
    #[error("{what} took longer than {} s", .patience.as_secs())]
    TooLong { what: &'static str, patience: Duration },
}

/// Kinds of failures that a caller reacts to in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientErrorKind {
    /// The caller gave something that is no address.
    Address,
    /// No server answers there, or the connection to it broke.
    Unreachable,
    /// The server wants a login, or another one.
    NotAllowed,
    /// The server has nothing of that name or id.
    NotFound,
    /// The time that the caller gave was over.
    TooLong,
    /// The server answered with another error.
    Refused,
}

/// Milvus' codes for a collection, a partition and a database that are not there.
const NOT_FOUND: [i32; 3] = [100, 200, 800];

impl ClientError {
    pub fn kind(&self) -> ClientErrorKind {
        use ClientErrorKind as K;
        match self {
            Self::Address { .. } => K::Address,
            Self::NoServer { .. } | Self::Handshake { .. } | Self::CutOff { .. } => K::Unreachable,
            Self::Failed { status, .. } => match status.code() {
                // The timer of this client.
                Code::Cancelled if status.message() == "Timeout expired" => K::TooLong,
                // An answer has no cause on this side, so this is a broken connection, whatever its code.
                _ if status.source().is_some() => K::Unreachable,
                Code::NotFound => K::NotFound,
                Code::Unauthenticated | Code::PermissionDenied => K::NotAllowed,
                Code::DeadlineExceeded => K::TooLong,
                _ => K::Refused,
            },
            Self::Refused { code, .. } if NOT_FOUND.contains(code) => K::NotFound,
            Self::Refused { .. } | Self::Incomplete { .. } => K::Refused,
            Self::TooLong { .. } => K::TooLong,
        }
    }
}

/// The server's words. A status without any has those of its code, and one that was made on this side its causes.
fn sentence(status: &Status) -> String {
    let mut text = match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    };
    let mut cause = status.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

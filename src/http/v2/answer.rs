//! Answers: data with code 0, or a code and a message.

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use tonic::{Code, Status};

use super::super::answer::{self, JSON};
use crate::{error::cut, memory::Account, wire::proto::common};

/// Milvus' codes of this style.
pub(super) const INVALID_PARAMETER: i32 = 1100;
const NEEDS_LOGIN: i32 = 1800;
pub(super) const NOT_JSON: i32 = 1801;
pub(super) const MISSING_PARAMETER: i32 = 1802;
pub(super) const BAD_ROWS: i32 = 1804;
const BAD_RESULT: i32 = 1805;
pub(super) const BAD_KEY: i32 = 1806;
const UNEXPECTED: i32 = 65_535;

/// Why a call has no data.
#[derive(Debug)]
pub(super) enum Fault {
    /// HTTP 200 with this code and text.
    Coded(i32, String),
    /// The whole answer.
    Answered(Box<Response>),
}

impl Fault {
    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::Coded(INVALID_PARAMETER, text.into())
    }

    /// A member that means something in Milvus and nothing here.
    pub(super) fn unsupported(member: &str) -> Self {
        Self::invalid(format!("{member} is not supported"))
    }

    /// `None` for the status of a success.
    pub(super) fn of_status(status: &common::Status) -> Option<Self> {
        match (status.code, status.error_code) {
            (0, 0) => None,
            // Old code paths set only the old code; this style has only the new one.
            (0, _) => Some(Self::Coded(UNEXPECTED, status.reason.clone())),
            (code, _) => Some(Self::Coded(code, status.reason.clone())),
        }
    }
}

/// A call that was refused before it began.
impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        let (http, code) = match status.code() {
            Code::Unauthenticated => (StatusCode::UNAUTHORIZED, NEEDS_LOGIN),
            Code::PermissionDenied => (StatusCode::FORBIDDEN, UNEXPECTED),
            _ => (StatusCode::OK, UNEXPECTED),
        };
        let body = json!({"code": code, "message": cut(status.message().to_owned())});
        Self::Answered(Box::new(answer::json(http, &body)))
    }
}

impl From<Box<Response>> for Fault {
    fn from(response: Box<Response>) -> Self {
        Self::Answered(response)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match self {
            Self::Coded(code, message) => answer::json(StatusCode::OK, &json!({"code": code, "message": cut(message)})),
            Self::Answered(response) => *response,
        }
    }
}

/// A success.
#[derive(Debug, Serialize)]
pub(super) struct Done<T> {
    code: i32,
    /// A price that Milvus' cloud sets; always 0 here.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<i32>,
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    topks: Option<Vec<i64>>,
}

impl<T: Serialize> Done<T> {
    pub(super) fn new(data: T) -> Self {
        Self { code: 0, cost: None, data, topks: None }
    }

    /// Of a call about rows.
    pub(super) fn of_rows(data: T) -> Self {
        Self { cost: Some(0), ..Self::new(data) }
    }

    /// With the number of rows of each query vector.
    pub(super) fn of_search(data: T, topks: Vec<i64>) -> Self {
        Self { topks: Some(topks), ..Self::of_rows(data) }
    }

    pub(super) fn answer(self) -> Response {
        answer::json(StatusCode::OK, &self)
    }

    /// The answer whose text counts as the call's memory until it is sent.
    ///
    /// # Errors
    /// A value that JSON can't hold, or no memory for the text.
    pub(super) fn held_answer(self, memory: Option<Account>) -> Result<Response, Fault> {
        let unreadable =
            |error: serde_json::Error| Fault::Coded(BAD_RESULT, format!("fail to parse search result, error: {error}"));
        let text = serde_json::to_vec(&self).map_err(unreadable)?;
        if let Some(memory) = &memory {
            memory.grow(text.len() as u64).map_err(|full| Fault::Coded(UNEXPECTED, full.to_string()))?;
        }
        let body = Bytes::from_owner(AccountedText { text, _memory: memory });
        Ok((StatusCode::OK, [(header::CONTENT_TYPE, JSON)], Body::from(body)).into_response())
    }
}

/// A text, and the memory that it counts as.
struct AccountedText {
    text: Vec<u8>,
    _memory: Option<Account>,
}

impl AsRef<[u8]> for AccountedText {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

//! Milvus' code numbers, and an answer with one.

use std::fmt::Display;

use crate::{
    error::{Classify as _, ErrorKind, cut},
    memory::Full,
    wire::proto::common::{self, ErrorCode},
};

/// A pair of Milvus numbers: the newer `code` and the older `error_code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    pub code: i32,
    pub error_code: ErrorCode,
    pub retriable: bool,
}

impl Code {
    pub(super) const fn new(code: i32, error_code: ErrorCode) -> Self {
        Self { code, error_code, retriable: false }
    }

    const fn retriable(code: i32, error_code: ErrorCode) -> Self {
        Self { code, error_code, retriable: true }
    }

    pub const SERVICE_UNAVAILABLE: Self = Self::retriable(2, ErrorCode::UnexpectedError);
    /// SDKs answer this one by trying again, for up to 210 s.
    pub const RATE_LIMIT: Self = Self::retriable(8, ErrorCode::RateLimit);
    pub const COLLECTION_NOT_FOUND: Self = Self::new(100, ErrorCode::CollectionNotExists);
    /// Only DescribeCollection answers this, and `has_collection` of SDKs expects it.
    pub const COLLECTION_NOT_DESCRIBED: Self = Self::new(100, ErrorCode::UnexpectedError);
    pub const COLLECTION_NOT_LOADED: Self = Self::new(101, ErrorCode::UnexpectedError);
    pub const TOO_MANY_COLLECTIONS: Self = Self::new(102, ErrorCode::UnexpectedError);
    pub const PARTITION_NOT_FOUND: Self = Self::new(200, ErrorCode::MetaFailed);
    pub const INDEX_NOT_FOUND: Self = Self::new(700, ErrorCode::IndexNotExist);
    pub const DATABASE_NOT_FOUND: Self = Self::new(800, ErrorCode::UnexpectedError);
    pub const TOO_MANY_DATABASES: Self = Self::new(801, ErrorCode::UnexpectedError);
    pub const PARAMETER_INVALID: Self = Self::new(1100, ErrorCode::IllegalArgument);
    pub const ALIAS_NOT_FOUND: Self = Self::new(1600, ErrorCode::UnexpectedError);
    pub const ALIAS_CONFLICT: Self = Self::new(1601, ErrorCode::UnexpectedError);
    pub const ALIAS_TAKEN: Self = Self::new(1602, ErrorCode::UnexpectedError);
    pub const INDEX_DUPLICATE: Self = Self::new(702, ErrorCode::UnexpectedError);
    pub const DATABASE_NAME_INVALID: Self = Self::new(802, ErrorCode::UnexpectedError);
    pub const FIELD_NAME_INVALID: Self = Self::new(1701, ErrorCode::UnexpectedError);
    pub const UNEXPECTED: Self = Self::new(65535, ErrorCode::UnexpectedError);

    /// The code of a call that gets no memory. More than all requests may have never fits; clients wait for the rest and try
    /// again.
    pub fn of_memory(full: &Full) -> Self {
        if full.kind() == ErrorKind::Invalid { Self::PARAMETER_INVALID } else { Self::RATE_LIMIT }
    }

    /// The answer with this code; `detail` repeats the reason, as in Milvus. A long reason is cut, see [`cut`].
    pub fn with(self, reason: impl Display) -> common::Status {
        let reason = cut(reason.to_string());
        common::Status {
            error_code: self.error_code as i32,
            detail: reason.clone(),
            reason,
            code: self.code,
            retriable: self.retriable,
            ..Default::default()
        }
    }
}

/// Refused for a reason that has no code of its own.
pub fn unexpected(reason: impl Display) -> common::Status {
    Code::UNEXPECTED.with(reason)
}

//! The errors of definitions, and the codes they have in Milvus.

use crate::{
    error::{Classify, ErrorKind},
    wire::{proto::common, status::Code},
};

/// Why a definition is refused. Sending it again can't help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Bad or mismatched names of the collection.
    #[error("{0}")]
    Name(String),
    /// A text outside its limits of length; also a description or a parameter.
    #[error("{0}")]
    Length(String),
    /// Everything else.
    #[error("{0}")]
    Definition(String),
}

impl SchemaError {
    /// Milvus' code: names and lengths are invalid parameters, all else is an unexpected error.
    pub fn code(&self) -> Code {
        match self {
            Self::Name(_) | Self::Length(_) => Code::PARAMETER_INVALID,
            Self::Definition(_) => Code::UNEXPECTED,
        }
    }

    /// The answer for a Milvus client.
    pub fn status(&self) -> common::Status {
        self.code().with(self)
    }
}

impl Classify for SchemaError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

pub(super) fn invalid(text: String) -> SchemaError {
    SchemaError::Definition(text)
}

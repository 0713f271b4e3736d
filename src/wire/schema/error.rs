//! The errors of definitions, and the codes they have in Milvus.

use crate::{
    error::{Classify, ErrorKind},
    model::name::BadName,
    wire::{
        proto::common,
        status::{self, Code},
    },
};

/// Why a definition is refused. Sending it again can't help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaError {
    /// The name of the collection or of a field.
    Name(BadName),
    /// A mistake that Milvus calls an invalid parameter; also a text outside its limits of length.
    Parameter(String),
    /// Everything else.
    Definition(String),
}

impl SchemaError {
    /// The answer for a Milvus client.
    pub fn status(&self) -> common::Status {
        match self {
            Self::Name(bad) => status::bad_name(bad),
            Self::Parameter(text) => Code::PARAMETER_INVALID.with(text),
            Self::Definition(text) => Code::UNEXPECTED.with(text),
        }
    }
}

impl std::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.status().reason)
    }
}

impl std::error::Error for SchemaError {}

impl From<BadName> for SchemaError {
    fn from(bad: BadName) -> Self {
        Self::Name(bad)
    }
}

impl Classify for SchemaError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

pub(super) fn invalid(text: impl Into<String>) -> SchemaError {
    SchemaError::Definition(text.into())
}

//! The faults of a definition. `wire::status` words them for clients of Milvus.

use crate::model::{DataType, Metric};

/// Why a definition is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexFault {
    /// The value of `params` is no JSON object.
    #[error("params can't be read: {0}")]
    Params(String),
    #[error("a field of type {0:?} can't have an index")]
    Field(DataType),
    /// An index over scalars has another type than the one its field can have.
    #[error("index_type is {got:?}, expected {expected}")]
    ScalarType { expected: &'static str, got: String },
    #[error("index type {0:?} is not known")]
    UnknownType(String),
    #[error("AUTOINDEX takes no parameter but metric_type")]
    MoreThanAuto,
    #[error("dim is {got}, the field has {schema}")]
    Dimension { schema: String, got: String },
    /// The index is over other vectors than the field's.
    #[error("the index is over {0:?}")]
    Vectors(VectorKind),
    /// None is given, or another one.
    #[error("metric_type must be one of {0:?}")]
    Metric(&'static [Metric]),
    /// A number that is not there, or no number, or outside its range.
    #[error("{key} must be a number from {least} to {most}")]
    Range { key: &'static str, least: u32, most: u32 },
    #[error("the parameter m is missing")]
    NoParts,
    #[error("m is {0}")]
    BadParts(String),
    #[error("nbits is {0}")]
    BadBits(String),
    #[error("IVF_SQ8 has 8 bits")]
    SqBits,
    #[error("dimension {dim} can't be divided by m, which is {parts}")]
    Indivisible { dim: u32, parts: u32 },
    #[error("dimension {0} is odd")]
    OddDimension(u32),
}

/// The kinds of vectors that an index may be over, as Milvus groups them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorKind {
    Float,
    Binary,
}

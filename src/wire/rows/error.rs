//! The errors of rows, and the codes they have in Milvus.

use crate::{
    error::{Classify, ErrorKind},
    memory::Full,
    model::{DataType, Field},
    wire::{
        proto::{
            common,
            schema::{self as proto, scalar_field::Data},
        },
        status::Code,
    },
};

/// Rows that can't be accepted, or columns that can't be sent. The text names the field, the value and the limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The shape of the request: missing, unknown or repeated fields, types, counts, lengths, ranges.
    #[error("{0}")]
    Parameter(String),
    /// Errors that Milvus finds only later: vectors of the wrong length, values that are not numbers, keys that are taken.
    #[error("{0}")]
    Value(String),
    /// No memory for values that the server adds to the rows.
    #[error("{what}: {full}")]
    Memory { what: String, full: Full },
    /// A stored cell that does not decode.
    #[error("cell {row} of field {field} can't be decoded: {reason}")]
    Cell { field: String, row: usize, reason: String },
    /// A column that does not match the schema: a defect.
    #[error("column of field {field}: {reason}")]
    Column { field: String, reason: String },
}

impl RowError {
    /// Milvus' code for this error.
    pub fn code(&self) -> Code {
        match self {
            Self::Parameter(_) => Code::PARAMETER_INVALID,
            Self::Memory { full, .. } => Code::of_memory(full),
            Self::Value(_) | Self::Cell { .. } | Self::Column { .. } => Code::UNEXPECTED,
        }
    }

    /// The answer for a Milvus client.
    pub fn status(&self) -> common::Status {
        self.code().with(self)
    }
}

impl Classify for RowError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Parameter(_) | Self::Value(_) => ErrorKind::Invalid,
            Self::Memory { full, .. } => full.kind(),
            Self::Cell { .. } => ErrorKind::Corrupt,
            Self::Column { .. } => ErrorKind::Internal,
        }
    }
}

/// A column that does not match its field, and could not have come from a client.
pub(super) fn defect(field: &Field, reason: impl ToString) -> RowError {
    RowError::Column { field: field.name.clone(), reason: reason.to_string() }
}

/// Another number of columns than there are fields to give. Milvus does not tell which one is missing or unknown.
pub(super) fn other_number(needed: usize, given: usize) -> RowError {
    RowError::Parameter(format!(
        "the number of fields is less than needed: invalid parameter[expected={needed}][actual={given}]"
    ))
}

/// Milvus finds a column that is missing by the number of columns, or by its type.
pub(super) fn missing(field: &Field, needed: usize) -> RowError {
    if field.is_primary_key {
        return other_number(needed, needed.saturating_sub(1));
    }
    illegal(field, &format!("field {} is missing", field.name))
}

/// A column without values of its field's type. `why` is for the types that Milvus has no words for.
fn illegal(field: &Field, why: &str) -> RowError {
    let (what, needed) = match field.data_type {
        DataType::VarChar => ("varchar", "need string array"),
        DataType::FloatVector => ("float vector", "need float vector"),
        DataType::BinaryVector => ("binary vector", "need bytes array"),
        _ => return RowError::Parameter(why.to_owned()),
    };
    RowError::Parameter(format!(
        "{what} field '{}' is illegal, array type mismatch: invalid parameter[expected={needed}][actual=got nil]",
        field.name
    ))
}

/// Refuses a column that has another number of values than the request has rows.
pub(super) fn count(field: &Field, given: usize, rows: usize) -> Result<(), RowError> {
    if given == rows {
        return Ok(());
    }
    let name = &field.name;
    // Milvus tells the number of the request twice.
    let text = format!(
        "the num_rows ({given}) of field ({name}) is not equal to passed num_rows ({rows}): invalid \
         parameter[expected={rows}][actual={rows}]"
    );
    Err(RowError::Parameter(text))
}

/// A column whose values are of another type.
pub(super) fn mismatch(field: &Field, sent: &str) -> RowError {
    illegal(field, &format!("field {} is of type {}, the request has {sent}", field.name, field.data_type.name()))
}

/// A column that 32-bit offsets can't address.
pub(super) fn too_large(field: &Field) -> RowError {
    RowError::Parameter(format!("the values of field {} exceed {} bytes together", field.name, i32::MAX))
}

/// The name of a type that a client has sent as a number.
pub(super) fn type_name(number: i32) -> String {
    proto::DataType::try_from(number).map_or_else(|_| number.to_string(), |t| t.as_str_name().to_owned())
}

/// The name of the member of `ScalarField` that a client has sent.
pub(super) fn data_name(data: &Data) -> &'static str {
    match data {
        Data::BoolData(_) => "bool_data",
        Data::IntData(_) => "int_data",
        Data::LongData(_) => "long_data",
        Data::FloatData(_) => "float_data",
        Data::DoubleData(_) => "double_data",
        Data::StringData(_) => "string_data",
        Data::BytesData(_) => "bytes_data",
        Data::ArrayData(_) => "array_data",
        Data::JsonData(_) => "json_data",
    }
}

//! Numbers of values in columns of requests and answers.

use crate::wire::proto::schema::{FieldData, ScalarField, VectorField, field_data, scalar_field::Data, vector_field};

/// Number of values in a column of a request, with those that it marks as missing; each number of a vector counts. There
/// can't be more rows than that.
pub fn values_carried(data: &FieldData) -> usize {
    let values = match &data.field {
        Some(field_data::Field::Scalars(ScalarField { data: Some(data) })) => scalars_in(data),
        Some(field_data::Field::Vectors(VectorField { data: Some(data), .. })) => match data {
            vector_field::Data::FloatVector(a) => a.data.len(),
            vector_field::Data::BinaryVector(bytes) => bytes.len(),
            _ => 0,
        },
        _ => 0,
    };
    values.max(data.valid_data.len())
}

/// Number of values in a scalar column, or of elements in a cell of an array.
pub fn scalars_in(data: &Data) -> usize {
    match data {
        Data::BoolData(a) => a.data.len(),
        Data::IntData(a) => a.data.len(),
        Data::LongData(a) => a.data.len(),
        Data::FloatData(a) => a.data.len(),
        Data::DoubleData(a) => a.data.len(),
        Data::StringData(a) => a.data.len(),
        Data::BytesData(a) => a.data.len(),
        Data::ArrayData(a) => a.data.len(),
        Data::JsonData(a) => a.data.len(),
    }
}

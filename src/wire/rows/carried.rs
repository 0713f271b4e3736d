//! Memory that rows take beside their values: the server adds ids and keys to each of them.
//!
//! Must never: ask for more than a message of ordinary rows had while it was read.

use super::{error::RowError, values::values_carried};
use crate::{
    memory::Extra,
    wire::proto::schema::{FieldData, ScalarField, VectorField, field_data, scalar_field::Data, vector_field},
};

/// Ids that the server adds to a row, and its key in the lists of a write and in the answer.
const ROW_BYTES: u64 = 64;

/// Takes the memory of ids and keys. As long as the values of a row have as many bytes, the message had that memory: its own
/// bytes are gone once it is decoded.
pub(super) fn take_row_bytes<'a>(
    columns: impl Iterator<Item = &'a FieldData>,
    rows: usize,
    memory: &mut Extra,
) -> Result<(), RowError> {
    let arrived: u64 = columns.map(bytes_carried).sum();
    let more = (rows as u64).saturating_mul(ROW_BYTES).saturating_sub(arrived);
    memory.take(more).map_err(|full| RowError::Memory { what: format!("the keys and ids of {rows} rows"), full })
}

/// The least bytes that the values of a column take in a message.
fn bytes_carried(data: &FieldData) -> u64 {
    let each = match &data.field {
        Some(field_data::Field::Scalars(ScalarField { data: Some(Data::FloatData(_)) }))
        | Some(field_data::Field::Vectors(VectorField { data: Some(vector_field::Data::FloatVector(_)), .. })) => 4,
        Some(field_data::Field::Scalars(ScalarField { data: Some(Data::DoubleData(_)) })) => 8,
        _ => 1,
    };
    values_carried(data) as u64 * each
}

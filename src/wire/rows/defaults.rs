//! Default values in the columns of a request.
//!
//! A row has no value of its own if its column is missing or empty, as in Milvus 2.3.5, or if `valid_data` says so, as
//! newer clients do it row by row.
//!
//! Must never: make more of a small request than [`MOST_FILLED_BYTES`], or anything before there is memory for it.

use std::collections::HashMap;

use super::error::RowError;
use crate::{
    memory::Extra,
    model::{DefaultValue, Field, FieldId},
    wire::proto::schema::{self as proto, FieldData, ScalarField, field_data, scalar_field::Data},
};

/// Bytes in memory of the default values in all rows of a request. A text has a few bytes more than its letters.
pub(super) const MOST_FILLED_BYTES: usize = 64 << 20;
/// Copies of the values: as the request would have had them, and as a column of the batch.
const COPIES: u64 = 2;

/// Puts the default value wherever a row has none; the caller knows that a column of the client has this many rows. Columns
/// that can't be completed stay as they are, for the checks of columns to refuse: those of another type or of another number
/// of values.
///
/// # Errors
/// Values that are more than a request may have, or than `memory` has room for.
pub(super) fn fill(
    fields: &[&Field],
    given: &mut HashMap<FieldId, FieldData>,
    rows: usize,
    memory: &mut Extra,
) -> Result<(), RowError> {
    let mut room = DefaultsRoom { left: MOST_FILLED_BYTES, memory };
    for field in fields {
        let Some(default) = &field.default_value else { continue };
        let data = given.entry(field.id).or_insert_with(|| FieldData {
            r#type: field.data_type.number(),
            field_name: field.name.clone(),
            ..Default::default()
        });
        complete(field, default, data, rows, &mut room)?;
    }
    Ok(())
}

fn complete(
    field: &Field,
    default: &DefaultValue,
    column: &mut FieldData,
    rows: usize,
    room: &mut DefaultsRoom<'_>,
) -> Result<(), RowError> {
    let sent = match column.field.take() {
        None => None,
        Some(field_data::Field::Scalars(scalars)) => scalars.data,
        other => {
            column.field = other;
            return Ok(());
        }
    };
    let valid = std::mem::take(&mut column.valid_data);
    if !valid.is_empty() && valid.len() != rows {
        let (name, length) = (&field.name, valid.len());
        return Err(RowError::Parameter(format!(
            "the length of valid_data of field({name}) is wrong: invalid parameter[expected={rows}][actual={length}]"
        )));
    }
    let sent = sent.unwrap_or_else(|| empty(default));
    let mut places = Places { valid: &valid, rows, room, field };
    let data = match (default, sent) {
        (DefaultValue::Bool(value), Data::BoolData(a)) => {
            Data::BoolData(proto::BoolArray { data: places.spread(a.data, value, 1)? })
        }
        (DefaultValue::Int(value), Data::IntData(a)) => {
            Data::IntData(proto::IntArray { data: places.spread(a.data, value, 4)? })
        }
        (DefaultValue::Long(value), Data::LongData(a)) => {
            Data::LongData(proto::LongArray { data: places.spread(a.data, value, 8)? })
        }
        (DefaultValue::Float(value), Data::FloatData(a)) => {
            Data::FloatData(proto::FloatArray { data: places.spread(a.data, value, 4)? })
        }
        (DefaultValue::Double(value), Data::DoubleData(a)) => {
            Data::DoubleData(proto::DoubleArray { data: places.spread(a.data, value, 8)? })
        }
        (DefaultValue::Text(value), Data::StringData(a)) => {
            let each = size_of::<String>() + value.len();
            Data::StringData(proto::StringArray { data: places.spread(a.data, value, each)? })
        }
        (_, other) => other,
    };
    column.field = Some(field_data::Field::Scalars(ScalarField { data: Some(data) }));
    Ok(())
}

fn empty(default: &DefaultValue) -> Data {
    match default {
        DefaultValue::Bool(_) => Data::BoolData(proto::BoolArray::default()),
        DefaultValue::Int(_) => Data::IntData(proto::IntArray::default()),
        DefaultValue::Long(_) => Data::LongData(proto::LongArray::default()),
        DefaultValue::Float(_) => Data::FloatData(proto::FloatArray::default()),
        DefaultValue::Double(_) => Data::DoubleData(proto::DoubleArray::default()),
        DefaultValue::Text(_) => Data::StringData(proto::StringArray::default()),
    }
}

/// Room for values that are still to be filled in.
struct DefaultsRoom<'a> {
    /// Bytes of this request.
    left: usize,
    memory: &'a mut Extra,
}

impl DefaultsRoom<'_> {
    fn take(&mut self, field: &Field, rows: usize, each: usize) -> Result<(), RowError> {
        let needed = rows.saturating_mul(each);
        let Some(left) = self.left.checked_sub(needed) else {
            return Err(RowError::Parameter(format!(
                "the default values of {rows} rows of field {} need {needed} bytes, and all those of a request may have \
                 {MOST_FILLED_BYTES}: send fewer rows at a time",
                field.name
            )));
        };
        let taken = self.memory.take(needed as u64 * COPIES);
        let what = || format!("the default values of {rows} rows of field {}", field.name);
        taken.map_err(|full| RowError::Memory { what: what(), full })?;
        self.left = left;
        Ok(())
    }
}

/// The rows of a column that have a value of their own.
struct Places<'a, 'm> {
    field: &'a Field,
    /// True for each row with a value; empty: no row has one if there are no values, else all.
    valid: &'a [bool],
    rows: usize,
    room: &'a mut DefaultsRoom<'m>,
}

impl Places<'_, '_> {
    /// One value for each row. Clients send the values of the other rows alone, or something in every row. `each` is the
    /// bytes of a default value.
    fn spread<T: Clone>(&mut self, values: Vec<T>, default: &T, each: usize) -> Result<Vec<T>, RowError> {
        let own = self.valid.iter().filter(|valid| **valid).count();
        if values.is_empty() && own == 0 {
            self.room.take(self.field, self.rows, each)?;
            return Ok(vec![default.clone(); self.rows]);
        }
        if own == self.valid.len() {
            return Ok(values);
        }
        self.room.take(self.field, self.rows - own, each)?;
        if values.len() == self.rows {
            let chosen = values.into_iter().zip(self.valid);
            return Ok(chosen.map(|(value, valid)| if *valid { value } else { default.clone() }).collect());
        }
        if values.len() != own {
            return Ok(values);
        }
        let mut values = values.into_iter();
        let next = |valid: &bool| valid.then(|| values.next()).flatten().unwrap_or_else(|| default.clone());
        Ok(self.valid.iter().map(next).collect())
    }
}

//! Columns of an answer to rows of JSON.
//!
//! A text of the dynamic field becomes members of its row, a JSON field a string with its text, an array the form that
//! Milvus' Go structure has, a binary vector base64. Numbers of 64 bits are strings unless the client takes numbers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap as _, SerializeSeq as _},
};
use serde_json::value::RawValue;

use crate::{
    json,
    wire::{
        proto::schema::{FieldData, IDs, ScalarField, field_data, i_ds::IdField, scalar_field::Data, vector_field},
        rows::values::scalars_in,
    },
};

/// Rows of a query or a search.
#[derive(Debug)]
pub(super) struct JsonRows<'a> {
    pub(super) fields: &'a [FieldData],
    /// Name of the primary key and the keys, for an answer whose columns may lack them.
    pub(super) keys: Option<(&'a str, &'a IDs)>,
    /// Of a search.
    pub(super) scores: &'a [f32],
    pub(super) allows_int64: bool,
}

/// Keys of rows that were written.
#[derive(Debug)]
pub(super) struct JsonKeys<'a> {
    pub(super) keys: &'a IDs,
    pub(super) allows_int64: bool,
}

impl Serialize for JsonKeys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.keys.id_field {
            Some(IdField::IntId(keys)) if self.allows_int64 => keys.data.serialize(serializer),
            Some(IdField::IntId(keys)) => serializer.collect_seq(keys.data.iter().map(i64::to_string)),
            Some(IdField::StrId(keys)) => keys.data.serialize(serializer),
            None => serializer.collect_seq::<[&str; 0]>([]),
        }
    }
}

impl JsonRows<'_> {
    fn count(&self) -> usize {
        let keys = self.keys.and_then(|(_, keys)| keys.id_field.as_ref()).map(|keys| match keys {
            IdField::IntId(keys) => keys.data.len(),
            IdField::StrId(keys) => keys.data.len(),
        });
        keys.or_else(|| self.fields.first().map(values)).unwrap_or(0)
    }
}

impl Serialize for JsonRows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = self.count();
        let mut rows = serializer.serialize_seq(Some(count))?;
        for at in 0..count {
            rows.serialize_element(&JsonRow { rows: self, at })?;
        }
        rows.end()
    }
}

struct JsonRow<'a> {
    rows: &'a JsonRows<'a>,
    at: usize,
}

impl Serialize for JsonRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let JsonRows { fields, keys, scores, allows_int64 } = *self.rows;
        let at = self.at;
        let is_column = |name: &str| fields.iter().any(|field| !field.is_dynamic && field.field_name == name);
        let mut row = serializer.serialize_map(None)?;
        for field in fields {
            if field.is_dynamic {
                let cell = json_cell(field, at).ok_or_else(|| missing::<S>(field, at))?;
                let members = json::find(cell, &[]).and_then(json::Value::members);
                for (name, value) in members.ok_or_else(|| missing::<S>(field, at))? {
                    let name = name.decode();
                    if !is_column(&name) {
                        let value: &RawValue = serde_json::from_slice(value.raw()).map_err(S::Error::custom)?;
                        row.serialize_entry(name.as_ref(), value)?;
                    }
                }
            } else {
                let cell = Cell { field, at, allows_int64 };
                row.serialize_entry(&field.field_name, &cell)?;
            }
        }
        if let Some((name, keys)) = keys
            && !is_column(name)
        {
            match &keys.id_field {
                Some(IdField::IntId(keys)) => {
                    row.serialize_entry(name, &keys.data.get(at).map(|key| Int64(*key, allows_int64)))?;
                }
                Some(IdField::StrId(keys)) => row.serialize_entry(name, &keys.data.get(at))?,
                None => {}
            }
        }
        if let Some(score) = scores.get(at) {
            row.serialize_entry("distance", score)?;
        }
        row.end()
    }
}

struct Int64(i64, bool);

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.1 { serializer.serialize_i64(self.0) } else { serializer.collect_str(&self.0) }
    }
}

fn missing<S: Serializer>(field: &FieldData, at: usize) -> S::Error {
    S::Error::custom(format!("field {} has no value in row {at}", field.field_name))
}

fn json_cell(field: &FieldData, at: usize) -> Option<&[u8]> {
    match &field.field {
        Some(field_data::Field::Scalars(ScalarField { data: Some(Data::JsonData(cells)) })) => {
            cells.data.get(at).map(AsRef::as_ref)
        }
        _ => None,
    }
}

/// Number of rows of a column.
fn values(field: &FieldData) -> usize {
    match &field.field {
        Some(field_data::Field::Scalars(ScalarField { data: Some(data) })) => scalars_in(data),
        Some(field_data::Field::Vectors(vectors)) => {
            let dim = usize::try_from(vectors.dim).unwrap_or(0);
            match &vectors.data {
                Some(vector_field::Data::FloatVector(a)) => a.data.len().checked_div(dim).unwrap_or(0),
                Some(vector_field::Data::BinaryVector(bytes)) => bytes.len().checked_div(dim / 8).unwrap_or(0),
                _ => 0,
            }
        }
        _ => 0,
    }
}

struct Cell<'a> {
    field: &'a FieldData,
    at: usize,
    allows_int64: bool,
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (field, at) = (self.field, self.at);
        let none = || missing::<S>(field, at);
        match &field.field {
            Some(field_data::Field::Scalars(ScalarField { data: Some(data) })) => match data {
                Data::BoolData(a) => a.data.get(at).ok_or_else(none)?.serialize(serializer),
                Data::IntData(a) => a.data.get(at).ok_or_else(none)?.serialize(serializer),
                Data::LongData(a) => Int64(*a.data.get(at).ok_or_else(none)?, self.allows_int64).serialize(serializer),
                Data::FloatData(a) => a.data.get(at).ok_or_else(none)?.serialize(serializer),
                Data::DoubleData(a) => a.data.get(at).ok_or_else(none)?.serialize(serializer),
                Data::StringData(a) => a.data.get(at).ok_or_else(none)?.serialize(serializer),
                Data::JsonData(a) => {
                    serializer.serialize_str(&String::from_utf8_lossy(a.data.get(at).ok_or_else(none)?))
                }
                Data::ArrayData(a) => Array(a.data.get(at).ok_or_else(none)?).serialize(serializer),
                Data::BytesData(_) => Err(none()),
            },
            Some(field_data::Field::Vectors(vectors)) => {
                let dim = usize::try_from(vectors.dim).map_err(S::Error::custom)?;
                match &vectors.data {
                    Some(vector_field::Data::FloatVector(a)) => {
                        a.data.get(at * dim..(at + 1) * dim).ok_or_else(none)?.serialize(serializer)
                    }
                    Some(vector_field::Data::BinaryVector(bytes)) => {
                        let vector = bytes.get(at * dim / 8..(at + 1) * dim / 8).ok_or_else(none)?;
                        serializer.serialize_str(&STANDARD.encode(vector))
                    }
                    _ => Err(none()),
                }
            }
            _ => Err(none()),
        }
    }
}

/// An array as Go writes the structure that holds it.
struct Array<'a>(&'a ScalarField);

impl Serialize for Array<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Elements<'a, T> {
            #[serde(skip_serializing_if = "is_empty")]
            data: &'a [T],
        }
        fn is_empty<T>(data: &&[T]) -> bool {
            data.is_empty()
        }
        struct ArrayElements<'a>(&'a Data);
        impl Serialize for ArrayElements<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut inner = serializer.serialize_map(Some(1))?;
                match self.0 {
                    Data::BoolData(a) => inner.serialize_entry("BoolData", &Elements { data: &a.data })?,
                    Data::IntData(a) => inner.serialize_entry("IntData", &Elements { data: &a.data })?,
                    Data::LongData(a) => inner.serialize_entry("LongData", &Elements { data: &a.data })?,
                    Data::FloatData(a) => inner.serialize_entry("FloatData", &Elements { data: &a.data })?,
                    Data::DoubleData(a) => inner.serialize_entry("DoubleData", &Elements { data: &a.data })?,
                    Data::StringData(a) => inner.serialize_entry("StringData", &Elements { data: &a.data })?,
                    _ => return Err(S::Error::custom("an array has elements of no type that arrays have")),
                }
                inner.end()
            }
        }
        let mut outer = serializer.serialize_map(Some(1))?;
        outer.serialize_entry("Data", &self.0.data.as_ref().map(ArrayElements))?;
        outer.end()
    }
}

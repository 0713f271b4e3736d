//! Rows as JSON objects to columns, as inserts carry them. Scalars may be strings in the JSON, as Milvus' server allows.
//!
//! A missing or null member stands for the default value of its field. Stricter than Milvus: without one it is an error for
//! every type, where Milvus stores an empty text.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::members::{is_null, numbers, shown, text_of};
use crate::{
    json::{JsonEvent, Reader, Value},
    model::{CollectionSchema, DataType, Field},
    wire::proto::schema::{
        self as proto, FieldData, ScalarField, VectorField, field_data, scalar_field::Data, vector_field,
    },
};

/// The columns of rows, and their number.
///
/// # Errors
/// A text that names the field, the row and the value.
pub(super) fn columns<'b>(
    schema: &CollectionSchema,
    rows: impl Iterator<Item = Value<'b>>,
) -> Result<(u32, Vec<FieldData>), String> {
    let mut columns: Vec<JsonColumn<'_>> =
        schema.fields.iter().filter(|field| !field.is_dynamic).map(JsonColumn::of).collect();
    let places: HashMap<&str, usize> = columns.iter().enumerate().map(|(at, c)| (c.field.name.as_str(), at)).collect();
    let mut dynamic = schema.dynamic_field().map(|_| Vec::new());
    let mut count = 0;
    for row in rows {
        let not_an_object = || format!("row {count} is {}, expected an object", shown(&text_of(row)));
        let mut rest = ObjectText::default();
        for (key, value) in row.members().ok_or_else(not_an_object)? {
            let name = key.decode();
            match places.get(name.as_ref()).and_then(|at| columns.get_mut(*at)) {
                Some(column) => column.take(count, value)?,
                None if dynamic.is_none() => {
                    let name = shown(&name);
                    return Err(format!(
                        "has pass more field without dynamic schema, please check it: {name}, row {count}"
                    ));
                }
                None if is_null(value) => {}
                None => rest.put(key.raw(), value.raw()),
            }
        }
        for column in &mut columns {
            column.end_row(count)?;
        }
        if let Some(dynamic) = &mut dynamic {
            dynamic.push(rest.end());
        }
        count += 1;
    }
    drop(places);
    let mut fields: Vec<FieldData> = columns.into_iter().filter(JsonColumn::is_sent).map(JsonColumn::end).collect();
    if let Some(data) = dynamic {
        fields.push(FieldData {
            r#type: DataType::Json.number(),
            is_dynamic: true,
            field: Some(scalars(Data::JsonData(proto::JsonArray { data }))),
            ..Default::default()
        });
    }
    Ok((u32::try_from(count).map_err(|_| format!("there are {count} rows"))?, fields))
}

/// The text of an object.
#[derive(Default)]
struct ObjectText(Vec<u8>);

impl ObjectText {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.push(b'"');
        self.0.extend_from_slice(key);
        self.0.extend_from_slice(b"\":");
        self.0.extend_from_slice(value);
    }

    fn end(mut self) -> Bytes {
        if self.0.is_empty() {
            return Bytes::from_static(b"{}");
        }
        self.0.push(b'}');
        self.0.into()
    }
}

/// The values of a field so far.
struct JsonColumn<'s> {
    field: &'s Field,
    /// The rows that are done.
    rows: usize,
    /// Whether each of the rows has a value of its own, if the field has a default value.
    valid: Option<Vec<bool>>,
    cells: JsonCells,
}

enum JsonCells {
    Bool(Vec<bool>),
    Int(Vec<i32>),
    Long(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Text(Vec<String>),
    Json(Vec<Bytes>),
    Array(Vec<ScalarField>),
    Floats(Vec<f32>),
    Bits(Vec<u8>),
}

impl JsonCells {
    fn of(data_type: DataType) -> Self {
        match data_type {
            DataType::Bool => Self::Bool(Vec::new()),
            DataType::Int8 | DataType::Int16 | DataType::Int32 => Self::Int(Vec::new()),
            DataType::Int64 => Self::Long(Vec::new()),
            DataType::Float => Self::Float(Vec::new()),
            DataType::Double => Self::Double(Vec::new()),
            DataType::VarChar => Self::Text(Vec::new()),
            DataType::Json => Self::Json(Vec::new()),
            DataType::Array => Self::Array(Vec::new()),
            DataType::FloatVector => Self::Floats(Vec::new()),
            DataType::BinaryVector => Self::Bits(Vec::new()),
        }
    }
}

impl<'s> JsonColumn<'s> {
    fn of(field: &'s Field) -> Self {
        Self {
            field,
            rows: 0,
            valid: field.default_value.as_ref().map(|_| Vec::new()),
            cells: JsonCells::of(field.data_type),
        }
    }

    /// Of equal keys of a row the first counts.
    fn take(&mut self, row: usize, value: Value<'_>) -> Result<(), String> {
        if self.rows > row || is_null(value) {
            return Ok(());
        }
        let (field, text) = (self.field, text_of(value));
        let wrong = || {
            let (expected, name) = (field.data_type.name(), &field.name);
            format!("invalid parameter[expected={expected}][actual={}]: field {name}, row {row}", shown(&text))
        };
        match &mut self.cells {
            JsonCells::Bool(cells) => cells.push(flag(&text).ok_or_else(wrong)?),
            JsonCells::Int(cells) => cells.push(small(field.data_type, &text).ok_or_else(wrong)?),
            JsonCells::Long(cells) => cells.push(text.parse().map_err(|_| wrong())?),
            JsonCells::Float(cells) => cells.push(text.parse().ok().filter(|n: &f32| n.is_finite()).ok_or_else(wrong)?),
            JsonCells::Double(cells) => {
                cells.push(text.parse().ok().filter(|n: &f64| n.is_finite()).ok_or_else(wrong)?)
            }
            JsonCells::Text(cells) => cells.push(text.into_owned()),
            JsonCells::Json(cells) => cells.push(text.into_owned().into_bytes().into()),
            JsonCells::Array(cells) => cells.push(array(field, text.as_bytes()).ok_or_else(wrong)?),
            JsonCells::Floats(cells) => {
                let before = cells.len();
                if !numbers(text.as_bytes(), |number| cells.push(number)) {
                    return Err(wrong());
                }
                check_length(field, row, cells.len() - before, field.dim)?;
            }
            JsonCells::Bits(cells) => {
                let before = cells.len();
                bits(value, &text, cells).ok_or_else(wrong)?;
                check_length(field, row, cells.len() - before, field.dim.map(|dim| dim / 8))?;
            }
        }
        self.done(row, true);
        Ok(())
    }

    fn done(&mut self, row: usize, valid: bool) {
        self.rows = row + 1;
        if let Some(rows) = &mut self.valid {
            rows.push(valid);
        }
    }

    fn is_generated(&self) -> bool {
        self.field.is_primary_key && self.field.auto_id
    }

    /// After the members of a row.
    fn end_row(&mut self, row: usize) -> Result<(), String> {
        if self.rows > row || self.is_generated() {
            return Ok(());
        }
        if self.valid.is_some() {
            self.done(row, false);
            return Ok(());
        }
        let (expected, name) = (self.field.data_type.name(), &self.field.name);
        Err(format!("invalid parameter[expected={expected}][actual=]: missing field: {name}, row {row}"))
    }

    fn is_sent(&self) -> bool {
        self.rows > 0 || !self.is_generated()
    }

    fn end(self) -> FieldData {
        let dim = i64::from(self.field.dim.unwrap_or(0));
        let vectors = |data| field_data::Field::Vectors(VectorField { dim, data: Some(data) });
        let data = match self.cells {
            JsonCells::Bool(data) => scalars(Data::BoolData(proto::BoolArray { data })),
            JsonCells::Int(data) => scalars(Data::IntData(proto::IntArray { data })),
            JsonCells::Long(data) => scalars(Data::LongData(proto::LongArray { data })),
            JsonCells::Float(data) => scalars(Data::FloatData(proto::FloatArray { data })),
            JsonCells::Double(data) => scalars(Data::DoubleData(proto::DoubleArray { data })),
            JsonCells::Text(data) => scalars(Data::StringData(proto::StringArray { data })),
            JsonCells::Json(data) => scalars(Data::JsonData(proto::JsonArray { data })),
            JsonCells::Array(data) => {
                let element_type = self.field.element_type.map_or(0, DataType::number);
                scalars(Data::ArrayData(proto::ArrayArray { data, element_type }))
            }
            JsonCells::Floats(data) => vectors(vector_field::Data::FloatVector(proto::FloatArray { data })),
            JsonCells::Bits(data) => vectors(vector_field::Data::BinaryVector(data.into())),
        };
        FieldData {
            r#type: self.field.data_type.number(),
            field_name: self.field.name.clone(),
            field: Some(data),
            valid_data: self.valid.unwrap_or_default(),
            ..Default::default()
        }
    }
}

fn scalars(data: Data) -> field_data::Field {
    field_data::Field::Scalars(ScalarField { data: Some(data) })
}

fn check_length(field: &Field, row: usize, got: usize, expected: Option<u32>) -> Result<(), String> {
    let expected = expected.unwrap_or(0) as usize;
    if got == expected {
        return Ok(());
    }
    let (name, unit) = (&field.name, if field.data_type == DataType::BinaryVector { "bytes" } else { "numbers" });
    Err(format!("the vector of field {name} in row {row} has {got} {unit}, expected {expected}"))
}

/// A flag in the spellings that Milvus reads.
fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn small(data_type: DataType, text: &str) -> Option<i32> {
    match data_type {
        DataType::Int8 => text.parse::<i8>().ok().map(i32::from),
        DataType::Int16 => text.parse::<i16>().ok().map(i32::from),
        _ => text.parse().ok(),
    }
}

/// The bytes of a binary vector: base64, or a list of numbers.
pub(super) fn bits(value: Value<'_>, text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    if value.raw().first() == Some(&b'[') {
        return numbers(text.as_bytes(), |byte| bytes.push(byte)).then_some(());
    }
    STANDARD.decode_vec(text, bytes).ok()
}

/// The cell of an array. Its elements have their own types in JSON.
fn array(field: &Field, list: &[u8]) -> Option<ScalarField> {
    macro_rules! listed {
        ($variant:ident, $message:ident) => {{
            let mut data = Vec::new();
            numbers(list, |number| data.push(number)).then(|| Data::$variant(proto::$message { data }))?
        }};
    }
    let data = match field.element_type? {
        DataType::Bool => {
            let flags = elements(list, |event| if let JsonEvent::Bool(flag) = event { Some(flag) } else { None });
            Data::BoolData(proto::BoolArray { data: flags? })
        }
        DataType::VarChar => {
            let texts = elements(list, |event| match event {
                JsonEvent::Text(text) => Some(text.decode().into_owned()),
                _ => None,
            });
            Data::StringData(proto::StringArray { data: texts? })
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 => listed!(IntData, IntArray),
        DataType::Int64 => listed!(LongData, LongArray),
        DataType::Float => listed!(FloatData, FloatArray),
        DataType::Double => listed!(DoubleData, DoubleArray),
        DataType::Json | DataType::Array | DataType::FloatVector | DataType::BinaryVector => return None,
    };
    Some(ScalarField { data: Some(data) })
}

fn elements<T>(list: &[u8], read: impl Fn(JsonEvent<'_>) -> Option<T>) -> Option<Vec<T>> {
    let mut reader = Reader::new(list);
    if reader.event().ok()?? != JsonEvent::ArrayStart {
        return None;
    }
    let mut elements = Vec::new();
    loop {
        match reader.event().ok()?? {
            JsonEvent::End => return Some(elements),
            event => elements.push(read(event)?),
        }
    }
}

//! Converts `fields_data` of Insert and Upsert to a record batch and checks it by the rules of Milvus 2.3.5.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int64Type,
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};
use prost::Message;

use super::{defaults, error::RowError};
use crate::{
    config::LimitsConfig,
    json,
    model::{CollectionSchema, DataType, Field},
    wire::{
        proto::{
            milvus,
            schema::{self as proto, FieldData, ScalarField, field_data, scalar_field::Data, vector_field},
        },
        schema::DYNAMIC_FIELD,
    },
};

#[cfg(target_endian = "big")]
compile_error!("vectors are stored little-endian and taken over from requests as they lie in memory");

/// Rows of an Insert: every stored column except RowID and Timestamp, ascending by field id; without the primary key if the
/// collection generates it. Takes `fields_data` out of the request.
pub fn insert_batch(
    schema: &CollectionSchema,
    request: &mut milvus::InsertRequest,
    limits: &LimitsConfig,
) -> Result<RecordBatch, RowError> {
    batch(schema, std::mem::take(&mut request.fields_data), request.num_rows, limits, Keys::OfInserts)
}

/// Rows of an Upsert, like [`insert_batch`]. The client must give the keys, each only once. If the collection generates
/// keys, the column of the key has those of the rows to replace, as in releases after 2.3; 2.3.5 refuses them.
pub fn upsert_batch(
    schema: &CollectionSchema,
    request: &mut milvus::UpsertRequest,
    limits: &LimitsConfig,
) -> Result<RecordBatch, RowError> {
    let key = schema.primary_key();
    if request.partial_update {
        return Err(RowError::Parameter("partial_update is not supported".to_owned()));
    }
    let rows = batch(schema, std::mem::take(&mut request.fields_data), request.num_rows, limits, Keys::OfUpserts)?;
    if rows.column_by_name(&key.column_name()).is_none() {
        return Err(RowError::Parameter(format!(
            "upsert can not assign primary field data when auto id enabled {}: invalid parameter",
            key.name
        )));
    }
    check_distinct(key, &rows)?;
    Ok(rows)
}

/// All rows of a request have the same timestamp, so of two rows with one key neither could replace the other.
fn check_distinct(key: &Field, rows: &RecordBatch) -> Result<(), RowError> {
    let defect = |reason: &str| RowError::Column { field: key.name.clone(), reason: reason.to_owned() };
    let keys = rows.column_by_name(&key.column_name()).ok_or_else(|| defect("is missing"))?;
    let twice = if let Some(keys) = keys.as_primitive_opt::<Int64Type>() {
        first_repeated(keys.values().iter()).map(|(rows, key)| (rows, key.to_string()))
    } else if let Some(keys) = keys.as_string_opt::<i32>() {
        first_repeated(keys.iter().flatten()).map(|(rows, key)| (rows, shown(key)))
    } else {
        return Err(defect("is of no type that keys have"));
    };
    match twice {
        None => Ok(()),
        Some(((first, second), value)) => Err(RowError::Parameter(format!(
            "duplicate primary keys are not allowed in the same batch: field {}, value {value}, rows {first} and {second}",
            key.name
        ))),
    }
}

/// The first value that occurs twice, with its two rows. The map's hash has a random secret, so a client can't choose values
/// that make this slow.
fn first_repeated<K: Eq + Hash + Copy>(mut values: impl Iterator<Item = K>) -> Option<((usize, usize), K)> {
    let mut seen = HashMap::new();
    let mut row = 0;
    values.find_map(|value| {
        let before = seen.insert(value, row);
        row += 1;
        before.map(|first| ((first, row - 1), value))
    })
}

/// A value for an error's text; only the beginning of a long one.
fn shown(text: &str) -> String {
    const MOST: usize = 100;
    let mut beginning: String = text.chars().take(MOST).collect();
    if beginning.len() < text.len() {
        beginning.push_str(&format!("… ({} bytes)", text.len()));
    }
    beginning
}

/// Number of values in a column of a request, with those that it marks as missing; each number of a vector counts. There
/// can't be more rows than that.
pub fn values_carried(data: &FieldData) -> usize {
    let values = match &data.field {
        Some(field_data::Field::Scalars(ScalarField { data: Some(data) })) => match data {
            Data::BoolData(a) => a.data.len(),
            Data::IntData(a) => a.data.len(),
            Data::LongData(a) => a.data.len(),
            Data::FloatData(a) => a.data.len(),
            Data::DoubleData(a) => a.data.len(),
            Data::StringData(a) => a.data.len(),
            Data::BytesData(a) => a.data.len(),
            Data::ArrayData(a) => a.data.len(),
            Data::JsonData(a) => a.data.len(),
        },
        Some(field_data::Field::Vectors(proto::VectorField { data: Some(data), .. })) => match data {
            vector_field::Data::FloatVector(a) => a.data.len(),
            vector_field::Data::BinaryVector(bytes) => bytes.len(),
            _ => 0,
        },
        _ => 0,
    };
    values.max(data.valid_data.len())
}

/// When the key of a collection that generates keys is a column of the client.
#[derive(Clone, Copy, PartialEq)]
enum Keys {
    /// Never.
    OfInserts,
    /// If the client gives it.
    OfUpserts,
}

fn batch(
    schema: &CollectionSchema,
    fields: Vec<FieldData>,
    num_rows: u32,
    limits: &LimitsConfig,
    keys: Keys,
) -> Result<RecordBatch, RowError> {
    if num_rows == 0 {
        return Err(RowError::Parameter(
            "num_rows should be greater than 0: invalid parameter[expected=invalid num_rows][actual=0]".to_owned(),
        ));
    }
    if schema.primary_key().default_value.is_some() {
        return Err(RowError::Parameter("primary key can't be with default value: invalid parameter".to_owned()));
    }
    let rows = num_rows as usize;
    let key = &schema.primary_key().name;
    let is_keyed = keys == Keys::OfUpserts && fields.iter().any(|data| !data.is_dynamic && data.field_name == *key);
    let wanted = wanted(schema, is_keyed);
    let mut given = HashMap::with_capacity(fields.len());
    for data in fields {
        let field = resolve(&wanted, &data)?;
        if given.insert(field.id, data).is_some() {
            return Err(RowError::Parameter(format!("duplicated field {} found: invalid parameter", field.name)));
        }
    }
    if given.values().any(|data| values_carried(data) >= rows) {
        defaults::fill(&wanted, &mut given, rows)?;
    }
    let mut columns = Vec::with_capacity(wanted.len());
    for field in &wanted {
        columns.push(match given.remove(&field.id) {
            Some(data) => column(schema, field, data, rows, limits)?,
            // A client leaves the dynamic field out when no row has a key outside the schema. Another column has confirmed
            // the client's number of rows, so the number alone does not decide a size.
            None if field.is_dynamic && !columns.is_empty() => binary(field, std::iter::repeat_n(&b"{}"[..], rows))?,
            None => return Err(missing(field, wanted.len())),
        });
    }
    let arrow = wanted.iter().map(|f| ArrowField::new(f.column_name(), f.arrow_type(), false)).collect::<Vec<_>>();
    RecordBatch::try_new(Arc::new(ArrowSchema::new(arrow)), columns)
        .map_err(|e| RowError::Column { field: schema.name.clone(), reason: e.to_string() })
}

/// The fields that a client gives, ascending by id. `is_keyed`: a generated key is one of them.
fn wanted(schema: &CollectionSchema, is_keyed: bool) -> Vec<&Field> {
    let mut wanted: Vec<&Field> =
        schema.fields.iter().filter(|f| is_keyed || !(f.is_primary_key && f.auto_id)).collect();
    wanted.sort_by_key(|f| f.id);
    wanted
}

/// Another number of columns than there are fields to give. Milvus does not tell which one is missing or unknown.
fn other_number(needed: usize, given: usize) -> RowError {
    RowError::Parameter(format!(
        "the number of fields is less than needed: invalid parameter[expected={needed}][actual={given}]"
    ))
}

/// Milvus finds a column that is missing by the number of columns, or by its type.
fn missing(field: &Field, needed: usize) -> RowError {
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

/// Finds the field of a client's column. pymilvus 2.3 sends the dynamic field without a name.
fn resolve<'a>(wanted: &[&'a Field], data: &FieldData) -> Result<&'a Field, RowError> {
    let name = if data.is_dynamic { DYNAMIC_FIELD } else { data.field_name.as_str() };
    // Neither an unknown field nor a key that the server makes is one that a client gives.
    let given = wanted.iter().copied().find(|field| field.name == name);
    given.ok_or_else(|| other_number(wanted.len(), wanted.len() + 1))
}

fn column(
    schema: &CollectionSchema,
    field: &Field,
    data: FieldData,
    rows: usize,
    limits: &LimitsConfig,
) -> Result<ArrayRef, RowError> {
    if data.r#type != field.data_type.number() {
        let sent = type_name(data.r#type);
        return Err(mismatch(field, &format!("type {sent}")));
    }
    if data.valid_data.contains(&false) {
        return Err(RowError::Parameter(format!("null values are not supported: field {}", field.name)));
    }
    match data.field {
        Some(field_data::Field::Scalars(ScalarField { data: Some(data) })) => {
            scalars(schema, field, data, rows, limits)
        }
        Some(field_data::Field::Vectors(proto::VectorField { data: Some(data), .. })) => vectors(field, data, rows),
        _ => Err(mismatch(field, "no data")),
    }
}

fn scalars(
    schema: &CollectionSchema,
    field: &Field,
    data: Data,
    rows: usize,
    limits: &LimitsConfig,
) -> Result<ArrayRef, RowError> {
    Ok(match (field.data_type, data) {
        (DataType::Bool, Data::BoolData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(BooleanArray::from(a.data))
        }
        (DataType::Int8, Data::IntData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(Int8Array::from(narrow::<i8>(&a.data)?))
        }
        (DataType::Int16, Data::IntData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(Int16Array::from(narrow::<i16>(&a.data)?))
        }
        (DataType::Int32, Data::IntData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(Int32Array::from(a.data))
        }
        (DataType::Int64, Data::LongData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(Int64Array::from(a.data))
        }
        (DataType::Float, Data::FloatData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(Float32Array::from(a.data))
        }
        (DataType::Double, Data::DoubleData(a)) => {
            count(field, a.data.len(), rows)?;
            Arc::new(Float64Array::from(a.data))
        }
        (DataType::VarChar, Data::StringData(a)) => {
            count(field, a.data.len(), rows)?;
            strings(field, &a.data)?
        }
        (DataType::Json, Data::JsonData(a)) => {
            count(field, a.data.len(), rows)?;
            for (row, text) in a.data.iter().enumerate() {
                check_json(schema, field, row, text, limits)?;
            }
            binary(field, a.data.iter().map(AsRef::as_ref))?
        }
        (DataType::Array, Data::ArrayData(a)) => {
            count(field, a.data.len(), rows)?;
            arrays(field, a.data)?
        }
        (_, other) => return Err(mismatch(field, data_name(&other))),
    })
}

fn vectors(field: &Field, data: vector_field::Data, rows: usize) -> Result<ArrayRef, RowError> {
    let dim = field.dim.unwrap_or(0).max(1) as usize;
    let buffer = match (field.data_type, data) {
        (DataType::FloatVector, vector_field::Data::FloatVector(a)) => {
            let length = a.data.len();
            if length % dim != 0 {
                let text = format!("the length({length}) of float data should divide the dim({dim})");
                return Err(RowError::Value(text));
            }
            count(field, length / dim, rows)?;
            finite(&a.data)?;
            Buffer::from_vec(a.data)
        }
        (DataType::BinaryVector, vector_field::Data::BinaryVector(bytes)) => {
            let bits = bytes.len() * 8;
            if bits % dim != 0 {
                let text = format!("the num({bits}) of all bits should divide the dim({dim})");
                return Err(RowError::Value(text));
            }
            count(field, bits / dim, rows)?;
            Buffer::from(bytes)
        }
        _ => return Err(mismatch(field, "another kind of vector")),
    };
    let width = i32::try_from(field.vector_bytes()).map_err(|_| too_large(field))?;
    let array = FixedSizeBinaryArray::try_new(width, buffer, None);
    Ok(Arc::new(array.map_err(|e| RowError::Column { field: field.name.clone(), reason: e.to_string() })?))
}

fn finite(values: &[f32]) -> Result<(), RowError> {
    // The loop over a chunk has no exit, so it compiles to vector instructions.
    const CHUNK: usize = 4096;
    let is_bad = |chunk: &[f32]| chunk.iter().fold(false, |bad, v| bad | !v.is_finite());
    let Some(bad) = values.chunks(CHUNK).position(is_bad) else { return Ok(()) };
    let value = match values.iter().skip(bad * CHUNK).copied().find(|v| !v.is_finite()).unwrap_or(f32::NAN) {
        f32::INFINITY => "+Inf".to_owned(),
        f32::NEG_INFINITY => "-Inf".to_owned(),
        other => other.to_string(),
    };
    Err(RowError::Value(format!("value '{value}' is not a number or infinity")))
}

fn narrow<T: TryFrom<i32> + IntegerRange>(values: &[i32]) -> Result<Vec<T>, RowError> {
    let convert = |(row, value): (usize, &i32)| T::try_from(*value).map_err(|_| out_of_range::<T>(row, *value));
    values.iter().enumerate().map(convert).collect()
}

/// Range of a narrow integer, for messages.
trait IntegerRange {
    const RANGE: (i32, i32);
}

impl IntegerRange for i8 {
    const RANGE: (i32, i32) = (i8::MIN as i32, i8::MAX as i32);
}

impl IntegerRange for i16 {
    const RANGE: (i32, i32) = (i16::MIN as i32, i16::MAX as i32);
}

fn out_of_range<T: IntegerRange>(row: usize, value: i32) -> RowError {
    let (min, max) = T::RANGE;
    RowError::Parameter(format!(
        "the {row}th element ({value}) out of range: [{min}, {max}]: invalid parameter[expected=integer doesn't \
         overflow][actual=out of range]"
    ))
}

fn strings(field: &Field, values: &[String]) -> Result<ArrayRef, RowError> {
    check_lengths(field, values)?;
    let (offsets, bytes) = concatenate(field, values.iter().map(String::as_bytes))?;
    let array = StringArray::try_new(offsets, bytes, None);
    Ok(Arc::new(array.map_err(|e| RowError::Column { field: field.name.clone(), reason: e.to_string() })?))
}

fn check_lengths(field: &Field, values: &[String]) -> Result<(), RowError> {
    let max = field.max_length.unwrap_or(0) as usize;
    match values.iter().enumerate().find(|(_, text)| text.len() > max) {
        None => Ok(()),
        Some((row, text)) => {
            let length = text.len();
            let text = format!(
                "the length ({length}) of {row}th string exceeds max length ({max}): invalid parameter[expected=valid \
                 length string][actual=string length exceeds max length]"
            );
            Err(RowError::Parameter(text))
        }
    }
}

fn binary<'a>(field: &Field, values: impl Iterator<Item = &'a [u8]> + Clone) -> Result<ArrayRef, RowError> {
    let (offsets, bytes) = concatenate(field, values)?;
    let array = BinaryArray::try_new(offsets, bytes, None);
    Ok(Arc::new(array.map_err(|e| RowError::Column { field: field.name.clone(), reason: e.to_string() })?))
}

/// Offsets have 32 bits in this format, and arrow panics beyond them, so the sum is checked first.
fn concatenate<'a>(
    field: &Field,
    values: impl Iterator<Item = &'a [u8]> + Clone,
) -> Result<(OffsetBuffer<i32>, Buffer), RowError> {
    let total: usize = values.clone().map(<[u8]>::len).sum();
    if i32::try_from(total).is_err() {
        return Err(too_large(field));
    }
    let offsets = OffsetBuffer::from_lengths(values.clone().map(<[u8]>::len));
    let mut bytes = Vec::with_capacity(total);
    values.for_each(|value| bytes.extend_from_slice(value));
    Ok((offsets, Buffer::from_vec(bytes)))
}

/// Checks JSON values. The dynamic field must hold objects whose keys are not those of fields. Values are stored as they
/// were sent, so all accepted text must be readable: [`json`] decides both.
fn check_json(
    schema: &CollectionSchema,
    field: &Field,
    row: usize,
    bytes: &[u8],
    limits: &LimitsConfig,
) -> Result<(), RowError> {
    let (name, length, max) = (&field.name, bytes.len(), limits.max_json_bytes);
    if length > max {
        let text = format!(
            "the length ({length}) of json field ({name}) exceeds max length ({max}, common.JSONMaxLength): row {row}"
        );
        return Err(RowError::Parameter(text));
    }
    let invalid = |why: String| RowError::Parameter(format!("row {row} of json field ({name}) is invalid: {why}"));
    let text = std::str::from_utf8(bytes).map_err(|e| invalid(e.to_string()))?;
    if !field.is_dynamic {
        return json::check(text).map_err(|e| invalid(e.to_string()));
    }
    let mut taken = None;
    json::check_object(text, |key| {
        if schema.field(&key).is_some() {
            taken = Some(key.into_owned());
        }
    })
    .map_err(|e| invalid(e.to_string()))?;
    match taken {
        None => Ok(()),
        Some(key) if key == DYNAMIC_FIELD => Err(RowError::Value(format!("cannot set json key to: {key}"))),
        Some(key) => {
            let text = format!("dynamic field name cannot include the static field name: {key}: row {row}");
            Err(RowError::Value(text))
        }
    }
}

/// Encodes each cell as one `ScalarField` message of the element's type.
fn arrays(field: &Field, cells: Vec<ScalarField>) -> Result<ArrayRef, RowError> {
    let mut ends = Vec::with_capacity(cells.len());
    let mut bytes = Vec::new();
    for (row, cell) in cells.into_iter().enumerate() {
        let cell = ScalarField { data: Some(check_cell(field, row, cell.data)?) };
        cell.encode(&mut bytes).map_err(|e| RowError::Column { field: field.name.clone(), reason: e.to_string() })?;
        ends.push(i32::try_from(bytes.len()).map_err(|_| too_large(field))?);
    }
    let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let array = BinaryArray::try_new(offsets, Buffer::from_vec(bytes), None);
    Ok(Arc::new(array.map_err(|e| RowError::Column { field: field.name.clone(), reason: e.to_string() })?))
}

/// A cell without data is an empty array; the schema gives its type.
fn check_cell(field: &Field, row: usize, data: Option<Data>) -> Result<Data, RowError> {
    let element = field.element_type.unwrap_or(DataType::Int64);
    let data = data.unwrap_or_else(|| empty_cell(element));
    let length = match (element, &data) {
        (DataType::Bool, Data::BoolData(a)) => a.data.len(),
        (DataType::Int8, Data::IntData(a)) => narrow::<i8>(&a.data)?.len(),
        (DataType::Int16, Data::IntData(a)) => narrow::<i16>(&a.data)?.len(),
        (DataType::Int32, Data::IntData(a)) => a.data.len(),
        (DataType::Int64, Data::LongData(a)) => a.data.len(),
        (DataType::Float, Data::FloatData(a)) => a.data.len(),
        (DataType::Double, Data::DoubleData(a)) => a.data.len(),
        (DataType::VarChar, Data::StringData(a)) => {
            check_lengths(field, &a.data)?;
            a.data.len()
        }
        _ => {
            let (name, sent) = (&field.name, data_name(&data));
            let text = format!("row {row} of field {name} should be an array of {}, not {sent}", element.name());
            return Err(RowError::Parameter(text));
        }
    };
    let max = field.max_capacity.unwrap_or(0) as usize;
    if length > max {
        let text = format!(
            "the length ({length}) of {row}th array exceeds max capacity ({max}): invalid parameter[expected=valid \
             length array][actual=array length exceeds max capacity]"
        );
        return Err(RowError::Parameter(text));
    }
    Ok(data)
}

fn empty_cell(element: DataType) -> Data {
    match element {
        DataType::Bool => Data::BoolData(proto::BoolArray::default()),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => Data::IntData(proto::IntArray::default()),
        DataType::Float => Data::FloatData(proto::FloatArray::default()),
        DataType::Double => Data::DoubleData(proto::DoubleArray::default()),
        DataType::VarChar => Data::StringData(proto::StringArray::default()),
        _ => Data::LongData(proto::LongArray::default()),
    }
}

fn count(field: &Field, given: usize, rows: usize) -> Result<(), RowError> {
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

fn mismatch(field: &Field, sent: &str) -> RowError {
    illegal(field, &format!("field {} is of type {}, the request has {sent}", field.name, field.data_type.name()))
}

fn too_large(field: &Field) -> RowError {
    RowError::Parameter(format!("the values of field {} exceed {} bytes together", field.name, i32::MAX))
}

fn type_name(number: i32) -> String {
    proto::DataType::try_from(number).map_or_else(|_| number.to_string(), |t| t.as_str_name().to_owned())
}

fn data_name(data: &Data) -> &'static str {
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

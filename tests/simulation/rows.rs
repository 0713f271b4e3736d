//! The rows that clients write: each has a version that no other row has, and everything else follows from it.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};
use datacoord::{
    model::{CollectionSchema, DataType, Field, FieldId, PrimaryKey},
    query::QueryVectors,
    standalone::{AskedEffort, Rows, SearchAnswer, SearchRequest},
};

use crate::{kit::model, oracle::KEYS};

pub const KEY: FieldId = FieldId(100);
pub const VERSION: FieldId = FieldId(101);
const VECTOR: FieldId = FieldId(102);
const TEXT: FieldId = FieldId(103);
pub const VECTOR_NAME: &str = "vector";

pub const ALL: [FieldId; 4] = [KEY, VERSION, VECTOR, TEXT];
const DIM: u32 = 2;

/// A key of a table, before it is written in the table's type.
pub type Key = u32;
pub type Version = i64;

pub fn schema(name: &str, strings: bool) -> CollectionSchema {
    let key = if strings { DataType::VarChar } else { DataType::Int64 };
    let version = Field { is_clustering_key: true, ..model::field(VERSION.0, "v", DataType::Int64) };
    let text = Field { max_length: Some(400), ..model::field(TEXT.0, "text", DataType::VarChar) };
    model::schema(name, vec![model::key(KEY.0, "id", key), version, model::vector(VECTOR.0, VECTOR_NAME, DIM), text])
}

/// A key as an expression writes it.
pub fn literal(key: Key, strings: bool) -> String {
    if strings { format!("\"{}\"", text_key(key)) } else { int_key(key).to_string() }
}

fn text_key(key: Key) -> String {
    format!("key-{key:04}")
}

fn int_key(key: Key) -> i64 {
    i64::from(key) * 7 - 100
}

pub fn key_of(key: &PrimaryKey) -> Option<Key> {
    match key {
        PrimaryKey::Int(int) => Key::try_from((int + 100) / 7).ok(),
        PrimaryKey::Str(text) => text.strip_prefix("key-").and_then(|number| number.parse().ok()),
    }
}

fn vector(version: Version) -> Vec<u8> {
    [version as f32; DIM as usize].map(f32::to_le_bytes).concat()
}

fn text(version: Version) -> String {
    format!("text of {version} {}", "x".repeat((version * 37 % 240) as usize))
}

/// Rows as an edge hands them over.
pub fn batch(schema: &CollectionSchema, rows: &[(Key, Version)]) -> RecordBatch {
    let fields: Vec<ArrowField> =
        schema.fields.iter().map(|f| ArrowField::new(f.column_name(), f.arrow_type(), false)).collect();
    let keys: ArrayRef = match schema.primary_key().data_type {
        DataType::VarChar => Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, _)| text_key(*key)))),
        _ => Arc::new(Int64Array::from_iter_values(rows.iter().map(|(key, _)| int_key(*key)))),
    };
    let columns: Vec<ArrayRef> = vec![
        keys,
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, version)| *version))),
        Arc::new(FixedSizeBinaryArray::try_from_iter(rows.iter().map(|(_, version)| vector(*version))).unwrap()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, version)| text(*version)))),
    ];
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).unwrap()
}

/// Keys of a column.
pub fn keys(column: &dyn Array) -> Vec<Key> {
    match column.as_string_opt::<i32>() {
        Some(texts) => texts.iter().map(|text| key_of(&PrimaryKey::Str(text.unwrap().into())).unwrap()).collect(),
        None => column
            .as_primitive::<arrow_array::types::Int64Type>()
            .values()
            .iter()
            .map(|int| key_of(&PrimaryKey::Int(*int)).unwrap())
            .collect(),
    }
}

/// Rows of an answer with the columns [`ALL`]. An error says which row is not as it was written.
pub fn read(answer: &RecordBatch) -> Result<Vec<(Key, Version)>, String> {
    let versions = answer.column(1).as_primitive::<arrow_array::types::Int64Type>();
    let (vectors, texts) = (answer.column(2).as_fixed_size_binary(), answer.column(3).as_string::<i32>());
    let mut rows = Vec::new();
    for (at, key) in keys(answer.column(0)).into_iter().enumerate() {
        let version = versions.value(at);
        if vectors.value(at) != vector(version) || texts.value(at) != text(version) {
            return Err(format!("key {key} has version {version} and other columns of another row"));
        }
        rows.push((key, version));
    }
    Ok(rows)
}

/// The index that a load needs: squared distances.
pub fn index() -> Vec<(String, String)> {
    [("index_type", "FLAT"), ("metric_type", "L2")].map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
}

/// A search for all rows, those first whose version is nearest to this one.
pub fn search(rows: Rows, near: Version) -> SearchRequest {
    SearchRequest {
        rows,
        field: VECTOR,
        metric: String::new(),
        queries: QueryVectors::new(vector(near), DIM as usize * size_of::<f32>()),
        limit: u64::from(KEYS),
        offset: 0,
        range: None,
        group: None,
        page: None,
        asked: AskedEffort::default(),
        fields: ALL.to_vec(),
    }
}

/// Rows of the answer to [`search`]. An error says which row is not as it was written, or not in its place.
pub fn read_found(answer: &SearchAnswer, near: Version) -> Result<Vec<(Key, Version)>, String> {
    let rows = read(&answer.rows)?;
    if answer.counts != [rows.len()] || answer.scores.len() != rows.len() {
        return Err(format!(
            "{} rows have {} scores and the counts {:?}",
            rows.len(),
            answer.scores.len(),
            answer.counts
        ));
    }
    for ((key, version), score) in rows.iter().zip(&answer.scores) {
        let expected = f64::from(DIM) * ((version - near) as f64).powi(2);
        // Single precision has 24 bits.
        if (f64::from(*score) - expected).abs() > expected * 1e-6 {
            return Err(format!("key {key} of version {version} has the score {score}, expected {expected}"));
        }
    }
    let places: Vec<(f32, Key)> = answer.scores.iter().copied().zip(rows.iter().map(|(key, _)| *key)).collect();
    // The order of the keys is that of the numbers that they are made of.
    match places.windows(2).find(|pair| pair[0].0.total_cmp(&pair[1].0).then(pair[0].1.cmp(&pair[1].1)).is_ge()) {
        Some(pair) => Err(format!("rows are out of order: score and key {pair:?}")),
        None => Ok(rows),
    }
}

//! The rows of the demo, and the model that says which of them must be left.

use std::collections::BTreeMap;

use crate::wire::proto::{
    common::KeyValuePair,
    schema::{
        CollectionSchema, DataType, FieldData, FieldSchema, FloatArray, LongArray, ScalarField, StringArray,
        VectorField, field_data::Field, scalar_field, vector_field,
    },
};

pub(super) const DIM: usize = 8;
/// The field of vectors.
pub(super) const VECTOR: &str = "vector";

/// Counts of the rows written so far, and the live edition of each key.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) live: BTreeMap<i64, u32>,
    pub(super) inserted: u64,
    pub(super) deleted: u64,
    pub(super) upserted: u64,
}

/// One row as it is written and read back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Book {
    pub(super) id: i64,
    pub(super) title: String,
    pub(super) vector: Vec<f32>,
}

impl Books {
    /// Rows of new keys, first edition.
    pub(super) fn insert(&mut self, keys: &[i64]) -> Vec<Book> {
        self.inserted += keys.len() as u64;
        self.live.extend(keys.iter().map(|key| (*key, 1)));
        keys.iter().map(|key| row(*key, 1)).collect()
    }

    /// Takes keys away: they must not be seen again until they are written again.
    pub(super) fn delete(&mut self, keys: &[i64]) {
        self.deleted += keys.len() as u64;
        for key in keys {
            self.live.remove(key);
        }
    }

    /// Rows of the second edition of these keys, live or deleted.
    pub(super) fn upsert(&mut self, keys: &[i64]) -> Vec<Book> {
        self.upserted += keys.len() as u64;
        self.live.extend(keys.iter().map(|key| (*key, 2)));
        keys.iter().map(|key| row(*key, 2)).collect()
    }
}

/// The row of a key: different for every key and edition, the same in every run.
pub(super) fn row(id: i64, edition: u32) -> Book {
    let vector = (0..DIM).map(|axis| ((id * 31 + axis as i64 * 7) % 1000) as f32 / 1000.0 + edition as f32).collect();
    Book { id, title: format!("book {id}, edition {edition}"), vector }
}

pub(super) fn schema(name: &str, description: &str) -> CollectionSchema {
    let param = |key: &str, value: String| vec![KeyValuePair { key: key.to_owned(), value }];
    let field = |name: &str, data_type: DataType| FieldSchema {
        name: name.to_owned(),
        data_type: data_type.into(),
        ..FieldSchema::default()
    };
    CollectionSchema {
        name: name.to_owned(),
        description: description.to_owned(),
        fields: vec![
            FieldSchema { is_primary_key: true, ..field("id", DataType::Int64) },
            FieldSchema { type_params: param("max_length", "200".to_owned()), ..field("title", DataType::VarChar) },
            FieldSchema { type_params: param("dim", DIM.to_string()), ..field(VECTOR, DataType::FloatVector) },
        ],
        ..CollectionSchema::default()
    }
}

/// The columns of an insert.
pub(super) fn columns(books: Vec<Book>) -> Vec<FieldData> {
    let (mut ids, mut titles, mut floats) = (Vec::new(), Vec::new(), Vec::new());
    for book in books {
        ids.push(book.id);
        titles.push(book.title);
        floats.extend(book.vector);
    }
    let column = |name: &str, data_type: DataType, field: Field| FieldData {
        r#type: data_type.into(),
        field_name: name.to_owned(),
        field: Some(field),
        ..FieldData::default()
    };
    let scalar = |data| Field::Scalars(ScalarField { data: Some(data) });
    let vector = vector_field::Data::FloatVector(FloatArray { data: floats });
    vec![
        column("id", DataType::Int64, scalar(scalar_field::Data::LongData(LongArray { data: ids }))),
        column("title", DataType::VarChar, scalar(scalar_field::Data::StringData(StringArray { data: titles }))),
        column(VECTOR, DataType::FloatVector, Field::Vectors(VectorField { dim: DIM as i64, data: Some(vector) })),
    ]
}

/// The rows of an answer; none unless it has all three columns, in any order.
pub(super) fn from_columns(columns: &[FieldData]) -> Option<Vec<Book>> {
    let ids = longs(columns, "id")?;
    let titles = match &named(columns, "title")?.field {
        Some(Field::Scalars(ScalarField { data: Some(scalar_field::Data::StringData(titles)) })) => &titles.data,
        _ => return None,
    };
    let floats = match &named(columns, VECTOR)?.field {
        Some(Field::Vectors(VectorField { data: Some(vector_field::Data::FloatVector(floats)), .. })) => &floats.data,
        _ => return None,
    };
    if titles.len() != ids.len() || floats.len() != ids.len() * DIM {
        return None;
    }
    let rows = ids.iter().zip(titles).zip(floats.chunks(DIM));
    Some(rows.map(|((id, title), vector)| Book { id: *id, title: title.clone(), vector: vector.to_vec() }).collect())
}

/// The int64 column of this name.
pub(super) fn longs<'a>(columns: &'a [FieldData], name: &str) -> Option<&'a [i64]> {
    match &named(columns, name)?.field {
        Some(Field::Scalars(ScalarField { data: Some(scalar_field::Data::LongData(longs)) })) => Some(&longs.data),
        _ => None,
    }
}

fn named<'a>(columns: &'a [FieldData], name: &str) -> Option<&'a FieldData> {
    columns.iter().find(|column| column.field_name == name)
}

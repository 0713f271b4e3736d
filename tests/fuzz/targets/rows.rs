//! Rows of Insert and Upsert, and vectors of Search, against a collection with a field of every type.

use std::sync::LazyLock;

use arrow_array::RecordBatch;
use datacoord::{
    config::LimitsConfig,
    model::{CollectionSchema, FieldId},
    wire::{
        proto::{
            common::{PlaceholderGroup, PlaceholderValue},
            milvus::{InsertRequest, SearchRequest, UpsertRequest, search_request::SearchInput},
            schema::FieldData,
        },
        rows::{answer, insert, queries, values},
    },
};
use prost::Message as _;

use super::schema;
use crate::kit::pools;

static SCHEMA: LazyLock<CollectionSchema> = LazyLock::new(schema::every_type);

/// Most query vectors of a search.
const MOST_QUERIES: u64 = 16_384;

/// Whether it is an insert, an upsert or a search; the rest is the message.
pub(super) fn run(input: &[u8]) {
    let Some((kind, message)) = input.split_first() else { return };
    if kind & 2 == 2 {
        return search(message);
    }
    let limits = LimitsConfig::default();
    let (rows, stated) = if kind & 1 == 1 {
        let Ok(mut request) = UpsertRequest::decode(message) else { return };
        let _: usize = request.fields_data.iter().map(values::values_carried).fold(0, usize::wrapping_add);
        (insert::upsert_batch(&SCHEMA, &mut request, &limits, &mut pools::ample()), request.num_rows)
    } else {
        let Ok(mut request) = InsertRequest::decode(message) else { return };
        let _: usize = request.fields_data.iter().map(values::values_carried).fold(0, usize::wrapping_add);
        (insert::insert_batch(&SCHEMA, &mut request, &limits, &mut pools::ample()), request.num_rows)
    };
    let Ok(rows) = rows else { return };
    assert_eq!(rows.num_rows(), stated as usize);
    let mut request = InsertRequest { num_rows: stated, fields_data: answered(&rows), ..Default::default() };
    let again = insert::insert_batch(&SCHEMA, &mut request, &limits, &mut pools::ample())
        .expect("accepted rows are accepted again");
    assert!(is_same(&again, &rows), "{again:?}, {rows:?}");
}

/// Vectors that are taken are whole, and as many as the message says.
fn search(message: &[u8]) {
    let Ok(request) = SearchRequest::decode(message) else { return };
    let Some(SearchInput::PlaceholderGroup(group)) = &request.search_input else { return };
    for field in SCHEMA.fields.iter().filter(|field| field.data_type.is_vector()) {
        if let Ok(vectors) = queries::query_vectors(group, request.nq, field, MOST_QUERIES) {
            let count = vectors.len() / field.vector_bytes();
            assert_eq!(vectors.len(), count * field.vector_bytes());
            assert!(count > 0 && count as u64 <= MOST_QUERIES && (request.nq == 0 || request.nq == count as i64));
        }
    }
}

/// Cells of arrays may be spelled in several ways, so bytes are compared without them.
fn is_same(a: &RecordBatch, b: &RecordBatch) -> bool {
    a.schema() == b.schema()
        && a.columns().iter().zip(b.columns()).zip(a.schema().fields()).all(|((a, b), field)| {
            let is_array = ["109", "110"].contains(&field.name().as_str());
            is_array || a.to_data() == b.to_data()
        })
}

/// The rows as a query answers them.
fn answered(rows: &RecordBatch) -> Vec<FieldData> {
    let fields = rows.schema().fields().clone();
    let field_of = |name: &str| {
        let id = FieldId(name.parse().expect("columns are named by ids"));
        SCHEMA.fields.iter().find(|field| field.id == id).expect("a field of the schema")
    };
    let columns = fields.iter().zip(rows.columns());
    columns.map(|(named, column)| answer::field_data(field_of(named.name()), column).expect("valid rows")).collect()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let rows = schema::rows();
    let fields_data = answered(&rows);
    let insert = InsertRequest { num_rows: 3, fields_data: fields_data.clone(), ..Default::default() };
    let upsert = UpsertRequest { num_rows: 3, fields_data: fields_data.clone(), ..Default::default() };
    let mut seeds = vec![[&[0], &insert.encode_to_vec()[..]].concat(), [&[1], &upsert.encode_to_vec()[..]].concat()];
    for field in SCHEMA.fields.iter().filter(|field| field.data_type.is_vector()) {
        let values = vec![vec![1; field.vector_bytes()].into(); 2];
        let value =
            PlaceholderValue { tag: "$0".into(), r#type: field.data_type.number(), values, ..Default::default() };
        let group = PlaceholderGroup { placeholders: vec![value] }.encode_to_vec();
        let search_input = Some(SearchInput::PlaceholderGroup(group.into()));
        let request = SearchRequest { nq: 2, search_input, ..Default::default() };
        seeds.push([&[2], &request.encode_to_vec()[..]].concat());
    }
    // A row has no value of its own for fields that have a default value.
    let mut left_out = fields_data.clone();
    left_out.iter_mut().filter(|column| ["i8", "d", "s"].contains(&column.field_name.as_str())).for_each(|column| {
        column.field = None;
        column.valid_data = vec![false; 3];
    });
    let insert = InsertRequest { num_rows: 3, fields_data: left_out, ..Default::default() };
    seeds.push([&[0], &insert.encode_to_vec()[..]].concat());
    // The columns of two rows, in which a change of a number gets far.
    for data in schema::cells() {
        let mut fields_data = fields_data.clone();
        let cell = datacoord::wire::proto::schema::ScalarField { data: Some(data) };
        fields_data.iter_mut().for_each(|column| replace_cells(column, &cell));
        let request = InsertRequest { num_rows: 3, fields_data, ..Default::default() };
        seeds.push([&[0], &request.encode_to_vec()[..]].concat());
    }
    seeds
}

/// Puts the cell into all rows of an array column.
fn replace_cells(column: &mut FieldData, cell: &datacoord::wire::proto::schema::ScalarField) {
    use datacoord::wire::proto::schema::{field_data::Field, scalar_field::Data};
    let Some(Field::Scalars(scalars)) = &mut column.field else { return };
    let Some(Data::ArrayData(cells)) = &mut scalars.data else { return };
    cells.data.iter_mut().for_each(|old| *old = cell.clone());
}

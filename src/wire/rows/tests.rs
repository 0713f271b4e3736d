use arrow_array::types::{Int8Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray};
use arrow_schema::DataType as Arrow;
use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use rstest::rstest;

use super::{answer, insert::*, *};
use crate::{
    config::LimitsConfig,
    error::{Classify, ErrorKind},
    kit::{model, pools},
    memory::Extra,
    model::{CollectionSchema, DataType, DefaultValue, Field},
    wire::proto::{
        milvus,
        schema::{self as proto, FieldData, ScalarField, field_data, i_ds, scalar_field::Data, vector_field},
    },
};

/// Vectors of 8 dimensions, texts of up to 8 bytes.
fn field(id: i64, name: &str, data_type: DataType) -> Field {
    Field {
        dim: data_type.is_vector().then_some(8),
        max_length: (data_type == DataType::VarChar).then_some(8),
        ..model::field(id, name, data_type)
    }
}

fn array_field(id: i64, name: &str, element: DataType) -> Field {
    Field {
        element_type: Some(element),
        max_capacity: Some(4),
        max_length: (element == DataType::VarChar).then_some(8),
        ..field(id, name, DataType::Array)
    }
}

const ELEMENTS: [DataType; 8] = [
    DataType::Bool,
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::Float,
    DataType::Double,
    DataType::VarChar,
];

/// Every field type, arrays of every element type, and the dynamic field.
fn every_type() -> CollectionSchema {
    let mut fields = vec![
        model::key(100, "id", DataType::Int64),
        field(101, "flag", DataType::Bool),
        field(102, "i8", DataType::Int8),
        field(103, "i16", DataType::Int16),
        field(104, "i32", DataType::Int32),
        field(105, "f", DataType::Float),
        field(106, "d", DataType::Double),
        field(107, "name", DataType::VarChar),
        field(108, "doc", DataType::Json),
        field(109, "bits", DataType::BinaryVector),
        field(110, "vec", DataType::FloatVector),
    ];
    for (i, element) in ELEMENTS.into_iter().enumerate() {
        fields.push(array_field(111 + i as i64, &format!("array_{}", element.name()), element));
    }
    fields.push(model::dynamic(119));
    model::schema("books", fields)
}

fn scalar(data: Data) -> field_data::Field {
    field_data::Field::Scalars(ScalarField { data: Some(data) })
}

fn vector(data: vector_field::Data) -> field_data::Field {
    field_data::Field::Vectors(proto::VectorField { dim: 8, data: Some(data) })
}

fn given(field: &Field, data: field_data::Field) -> FieldData {
    FieldData {
        r#type: field.data_type.number(),
        field_name: field.name.clone(),
        is_dynamic: field.is_dynamic,
        field: Some(data),
        ..Default::default()
    }
}

fn cell(element: DataType, n: &[i32]) -> ScalarField {
    let data = match element {
        DataType::Bool => Data::BoolData(proto::BoolArray { data: n.iter().map(|v| v % 2 == 0).collect() }),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => Data::IntData(proto::IntArray { data: n.to_vec() }),
        DataType::Int64 => Data::LongData(proto::LongArray { data: n.iter().map(|v| i64::from(*v)).collect() }),
        DataType::Float => Data::FloatData(proto::FloatArray { data: n.iter().map(|v| *v as f32).collect() }),
        DataType::Double => Data::DoubleData(proto::DoubleArray { data: n.iter().map(|v| f64::from(*v)).collect() }),
        _ => Data::StringData(proto::StringArray { data: n.iter().map(|v| v.to_string()).collect() }),
    };
    ScalarField { data: Some(data) }
}

fn json(texts: &[&str]) -> field_data::Field {
    let data = texts.iter().map(|t| Bytes::copy_from_slice(t.as_bytes())).collect();
    scalar(Data::JsonData(proto::JsonArray { data }))
}

/// One row of a value made from two random numbers.
fn row(field: &Field, rows: &[(i64, i8)]) -> field_data::Field {
    let ints = || rows.iter().map(|(_, small)| i32::from(*small)).collect();
    let text = |(n, _): &(i64, i8)| format!("{{\"k{n}\":[{n},\"é\"]}}");
    match field.data_type {
        DataType::Bool => scalar(Data::BoolData(proto::BoolArray { data: rows.iter().map(|r| r.0 > 0).collect() })),
        DataType::Int8 | DataType::Int16 => scalar(Data::IntData(proto::IntArray { data: ints() })),
        DataType::Int32 => scalar(Data::IntData(proto::IntArray { data: rows.iter().map(|r| r.0 as i32).collect() })),
        DataType::Int64 => scalar(Data::LongData(proto::LongArray { data: rows.iter().map(|r| r.0).collect() })),
        DataType::Float => {
            scalar(Data::FloatData(proto::FloatArray { data: rows.iter().map(|r| r.0 as f32).collect() }))
        }
        DataType::Double => {
            scalar(Data::DoubleData(proto::DoubleArray { data: rows.iter().map(|r| r.0 as f64).collect() }))
        }
        DataType::VarChar => {
            let data = rows.iter().map(|r| "é".repeat(r.1.unsigned_abs() as usize % 5)).collect();
            scalar(Data::StringData(proto::StringArray { data }))
        }
        DataType::Json => {
            let texts: Vec<String> = rows.iter().map(text).collect();
            json(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        }
        DataType::BinaryVector => {
            let data: Vec<u8> = rows.iter().map(|r| r.1 as u8).collect();
            vector(vector_field::Data::BinaryVector(data.into()))
        }
        DataType::FloatVector => {
            let data = rows.iter().flat_map(|r| (0..8).map(|i| r.0 as f32 / (i as f32 + 1.0))).collect();
            vector(vector_field::Data::FloatVector(proto::FloatArray { data }))
        }
        DataType::Array => {
            let element = field.element_type.unwrap();
            let cells = rows.iter().map(|r| cell(element, &vec![i32::from(r.1); r.1.unsigned_abs() as usize % 5]));
            scalar(Data::ArrayData(proto::ArrayArray { data: cells.collect(), element_type: element.number() }))
        }
    }
}

fn batch_of(schema: &CollectionSchema, fields_data: Vec<FieldData>, num_rows: usize) -> Result<RecordBatch, RowError> {
    let mut request = milvus::InsertRequest { fields_data, num_rows: num_rows as u32, ..Default::default() };
    insert_batch(schema, &mut request, &LimitsConfig::default(), &mut pools::ample())
}

/// The values that a client would read back.
fn answered(schema: &CollectionSchema, batch: &RecordBatch) -> Vec<FieldData> {
    let column = |field: &Field| batch.column_by_name(&field.column_name()).unwrap().clone();
    schema.fields.iter().map(|f| answer::field_data(f, &column(f)).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Rows of every type come back as they were sent, with the field's id.
    #[test]
    fn round_trip(rows in vec(any::<(i64, i8)>(), 1..40), order in any::<proptest::sample::Index>()) {
        let schema = every_type();
        let mut sent: Vec<FieldData> = schema.fields.iter().map(|f| given(f, row(f, &rows))).collect();
        let mut shuffled = sent.clone();
        shuffled.rotate_left(order.index(sent.len()));
        let batch = batch_of(&schema, shuffled, rows.len()).unwrap();
        let types: Vec<_> = schema.arrow_schema().fields().iter().skip(2).cloned().collect();
        prop_assert_eq!(batch.schema().fields().iter().cloned().collect::<Vec<_>>(), types);
        for (data, field) in sent.iter_mut().zip(&schema.fields) {
            data.field_id = field.id.0;
        }
        prop_assert_eq!(&answered(&schema, &batch), &sent);

        // A slice is answered like the rows it has.
        let half = rows.len() / 2;
        let rest = batch.slice(half, rows.len() - half);
        let expected: Vec<FieldData> = schema.fields.iter().map(|f| {
            FieldData { field_id: f.id.0, ..given(f, row(f, &rows[half..])) }
        }).collect();
        prop_assert_eq!(answered(&schema, &rest), expected);
    }
}

/// SDKs raise on a `FieldData` without its member, also for no rows.
#[test]
fn no_rows_still_have_their_member() {
    let schema = every_type();
    let empty = RecordBatch::new_empty(schema.arrow_schema());
    for (data, field) in answered(&schema, &empty).iter().zip(&schema.fields) {
        let expected = FieldData { field_id: field.id.0, ..given(field, row(field, &[])) };
        assert_eq!(*data, expected);
    }
}

/// Cells as in real files of Milvus.
#[rstest]
#[case(DataType::Int64, Some(Data::LongData(proto::LongArray { data: vec![] })), "1a00")]
#[case(DataType::Int64, Some(Data::LongData(proto::LongArray { data: vec![-1, 0] })), "1a0d0a0bffffffffffffffffff0100")]
#[case(DataType::VarChar, Some(Data::StringData(proto::StringArray { data: vec!["a".into()] })), "32030a0161")]
#[case::no_data(DataType::Int64, None, "1a00")]
#[case::no_data(DataType::VarChar, None, "3200")]
#[case::no_data(DataType::Bool, None, "0a00")]
#[case::no_data(DataType::Int8, None, "1200")]
#[case::no_data(DataType::Float, None, "2200")]
#[case::no_data(DataType::Double, None, "2a00")]
fn array_cells(#[case] element: DataType, #[case] data: Option<Data>, #[case] hex: &str) {
    let schema = schema_of(array_field(101, "x", element));
    let array = proto::ArrayArray { data: vec![ScalarField { data }], element_type: element.number() };
    let batch = batch_of(&schema, with_key(&schema, scalar(Data::ArrayData(array)), 1), 1).unwrap();
    assert_eq!(hex::encode(batch.column(1).as_binary::<i32>().value(0)), hex);
}

/// A schema of a key and one more field.
fn schema_of(other: Field) -> CollectionSchema {
    model::schema("books", vec![model::key(100, "id", DataType::Int64), other])
}

fn keys(n: usize) -> field_data::Field {
    scalar(Data::LongData(proto::LongArray { data: (0..n as i64).collect() }))
}

fn with_key(schema: &CollectionSchema, data: field_data::Field, rows: usize) -> Vec<FieldData> {
    vec![given(&schema.fields[0], keys(rows)), given(&schema.fields[1], data)]
}

fn floats(n: usize) -> field_data::Field {
    vector(vector_field::Data::FloatVector(proto::FloatArray { data: vec![1.5; n] }))
}

fn float_at(at: usize, value: f32) -> field_data::Field {
    let mut data = vec![1.5; 16];
    data[at] = value;
    vector(vector_field::Data::FloatVector(proto::FloatArray { data }))
}

fn texts(list: &[&str]) -> field_data::Field {
    scalar(Data::StringData(proto::StringArray { data: list.iter().map(|t| (*t).to_owned()).collect() }))
}

fn ints(list: &[i32]) -> field_data::Field {
    scalar(Data::IntData(proto::IntArray { data: list.to_vec() }))
}

fn array(cells: Vec<ScalarField>) -> field_data::Field {
    scalar(Data::ArrayData(proto::ArrayArray { data: cells, element_type: 0 }))
}

fn long_json() -> String {
    format!("\"{}\"", "x".repeat(65_535))
}

/// Two rows whose second column is wrong: code and beginning of the text, which names field, row, value and limit.
#[rstest]
#[case::float_dim(
    field(101, "x", DataType::FloatVector),
    floats(10),
    65535,
    "the length(10) of float data should divide the dim(8)"
)]
#[case::float_rows(
    field(101, "x", DataType::FloatVector),
    floats(24),
    1100,
    "the num_rows (3) of field (x) is not equal to passed num_rows (2): invalid parameter[expected=2][actual=2]"
)]
#[case::nan(
    field(101, "x", DataType::FloatVector),
    float_at(9, f32::NAN),
    65535,
    "value 'NaN' is not a number or infinity"
)]
#[case::infinity(
    field(101, "x", DataType::FloatVector),
    float_at(0, f32::INFINITY),
    65535,
    "value '+Inf' is not a number or infinity"
)]
#[case::binary_rows(field(101, "x", DataType::BinaryVector), vector(vector_field::Data::BinaryVector(Bytes::from_static(&[1]))), 1100, "the num_rows (1)")]
#[case::binary_dim(Field { dim: Some(16), ..field(101, "x", DataType::BinaryVector) }, vector(vector_field::Data::BinaryVector(Bytes::from_static(&[1, 2, 3]))), 65535, "the num(24) of all bits should divide the dim(16)")]
#[case::other_vector(
    field(101, "x", DataType::FloatVector),
    vector(vector_field::Data::BinaryVector(Bytes::new())),
    1100,
    "float vector field 'x' is illegal, array type mismatch: invalid parameter[expected=need float vector][actual=got nil]"
)]
#[case::too_long(field(101, "x", DataType::VarChar), texts(&["ok", "ninechars"]), 1100, "the length (9) of 1th string exceeds max length (8): invalid parameter[expected=valid length string][actual=string length exceeds max length]")]
#[case::bytes_not_letters(field(101, "x", DataType::VarChar), texts(&["éééé", "ééééé"]), 1100, "the length (10) of 1th string")]
#[case::too_few(field(101, "x", DataType::VarChar), texts(&["one"]), 1100, "the num_rows (1) of field (x)")]
#[case::other_kind(field(101, "x", DataType::VarChar), ints(&[1, 2]), 1100, "varchar field 'x' is illegal, array type mismatch: invalid parameter[expected=need string array][actual=got nil]")]
#[case::int8_high(field(101, "x", DataType::Int8), ints(&[127, 128]), 1100, "the 1th element (128) out of range: [-128, 127]: invalid parameter[expected=integer doesn't overflow][actual=out of range]")]
#[case::int8_low(field(101, "x", DataType::Int8), ints(&[-129, 0]), 1100, "the 0th element (-129)")]
#[case::int16(field(101, "x", DataType::Int16), ints(&[0, 32768]), 1100, "the 1th element (32768) out of range: [-32768, 32767]")]
#[case::json_syntax(field(101, "x", DataType::Json), json(&["{}", "{\"a\":}"]), 1100, "row 1 of json field (x) is invalid")]
#[case::json_trailing(field(101, "x", DataType::Json), json(&["{}", "{} {}"]), 1100, "row 1 of json field (x) is invalid")]
#[case::json_empty(field(101, "x", DataType::Json), json(&["{}", ""]), 1100, "row 1 of json field (x) is invalid")]
#[case::json_number(field(101, "x", DataType::Json), json(&["{}", "{\"a\":[0,-1e400]}"]), 1100, "row 1 of json field (x) is invalid: number -1e400 does not fit a double at byte 8, near $.a[1]")]
#[case::json_depth(field(101, "x", DataType::Json), json(&["{}", &"[".repeat(1025)]), 1100, "row 1 of json field (x) is invalid: nested deeper than 1024 levels at byte 1024, near $[0]")]
#[case::json_size(field(101, "x", DataType::Json), json(&[&long_json(), "{}"]), 1100, "the length (65537) of json field (x) exceeds max length (65536, common.JSONMaxLength): row 0")]
#[case::capacity(array_field(101, "x", DataType::Int64), array(vec![cell(DataType::Int64, &[1; 4]), cell(DataType::Int64, &[1; 5])]), 1100, "the length (5) of 1th array exceeds max capacity (4): invalid parameter[expected=valid length array][actual=array length exceeds max capacity]")]
#[case::element_kind(array_field(101, "x", DataType::Int64), array(vec![cell(DataType::Int64, &[]), cell(DataType::VarChar, &[1])]), 1100, "row 1 of field x should be an array of Int64, not string_data")]
#[case::element_range(array_field(101, "x", DataType::Int8), array(vec![cell(DataType::Int8, &[200]), cell(DataType::Int8, &[])]), 1100, "the 0th element (200) out of range")]
#[case::element_length(array_field(101, "x", DataType::VarChar), array(vec![cell(DataType::VarChar, &[123456789]), cell(DataType::VarChar, &[])]), 1100, "the length (9) of 0th string")]
#[case::dynamic_kind(model::dynamic(101), json(&["{}", "[1]"]), 1100, "row 1 of json field ($meta) is invalid")]
#[case::dynamic_trailing(model::dynamic(101), json(&["{}", "{} 1"]), 1100, "row 1 of json field ($meta) is invalid")]
#[case::dynamic_meta(model::dynamic(101), json(&["{}", "{\"$meta\":1}"]), 65535, "cannot set json key to: $meta")]
#[case::dynamic_field(model::dynamic(101), json(&["{\"a\":{\"id\":1}}", "{\"a\":1,\"id\":2}"]), 65535, "dynamic field name cannot include the static field name: id: row 1")]
fn refuses_column(#[case] other: Field, #[case] data: field_data::Field, #[case] code: i32, #[case] says: &str) {
    let schema = schema_of(other);
    let error = batch_of(&schema, with_key(&schema, data, 2), 2).unwrap_err();
    assert!(error.to_string().starts_with(says), "{error}");
    assert_eq!(error.status().code, code);
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn json_that_is_not_utf_8_is_refused() {
    let schema = schema_of(field(101, "x", DataType::Json));
    let data = vec![Bytes::from_static(b"\"\xff\"")];
    let error = batch_of(&schema, with_key(&schema, scalar(Data::JsonData(proto::JsonArray { data })), 1), 1);
    assert!(error.unwrap_err().to_string().contains("row 0 of json field (x)"));
}

/// A number that is bad far behind the start is found.
#[test]
fn a_bad_number_is_found_anywhere() {
    let schema = schema_of(field(101, "x", DataType::FloatVector));
    for at in [4095, 4096, 8191, 9999] {
        let mut data = vec![0.0_f32; 10_000];
        data[at] = f32::NEG_INFINITY;
        let data = vector(vector_field::Data::FloatVector(proto::FloatArray { data }));
        let error = batch_of(&schema, with_key(&schema, data, 1250), 1250).unwrap_err();
        assert_eq!(error.to_string(), "value '-Inf' is not a number or infinity");
    }
}

/// Milvus does not tell a column of the wrong type from none.
const NIL_VECTOR: &str = "float vector field 'vec' is illegal, array type mismatch: invalid parameter[expected=need float \
                          vector][actual=got nil]";

fn two_columns() -> (CollectionSchema, Vec<FieldData>) {
    let schema = schema_of(field(101, "vec", DataType::FloatVector));
    let data = with_key(&schema, floats(16), 2);
    (schema, data)
}

#[rstest]
#[case::missing(|d: &mut Vec<FieldData>| { d.pop(); }, "float vector field 'vec' is illegal, array type mismatch: invalid parameter[expected=need float vector][actual=got nil]")]
#[case::key_missing(|d: &mut Vec<FieldData>| { d.remove(0); }, "the number of fields is less than needed: invalid parameter[expected=2][actual=1]")]
#[case::twice(|d: &mut Vec<FieldData>| d.push(d[1].clone()), "duplicated field vec found: invalid parameter")]
#[case::unknown(|d: &mut Vec<FieldData>| d[1].field_name = "other".into(), "the number of fields is less than needed: invalid parameter[expected=2][actual=3]")]
#[case::no_name(|d: &mut Vec<FieldData>| d[1].field_name = String::new(), "the number of fields is less than needed: invalid parameter[expected=2][actual=3]")]
#[case::dynamic(|d: &mut Vec<FieldData>| d.push(FieldData { is_dynamic: true, ..Default::default() }), "the number of fields is less than needed: invalid parameter[expected=2][actual=3]")]
#[case::other_type(|d: &mut Vec<FieldData>| d[1].r#type = 100, NIL_VECTOR)]
#[case::unknown_type(|d: &mut Vec<FieldData>| d[1].r#type = 999, NIL_VECTOR)]
#[case::nothing(|d: &mut Vec<FieldData>| d[1].field = None, NIL_VECTOR)]
#[case::no_member(|d: &mut Vec<FieldData>| d[1].field = Some(field_data::Field::Scalars(ScalarField::default())), NIL_VECTOR)]
#[case::scalars(|d: &mut Vec<FieldData>| d[1].field = Some(ints(&[1])), NIL_VECTOR)]
#[case::null(|d: &mut Vec<FieldData>| d[1].valid_data = vec![true, false], "null values are not supported: field vec")]
fn refuses_request(#[case] change: impl Fn(&mut Vec<FieldData>), #[case] says: &str) {
    let (schema, mut data) = two_columns();
    change(&mut data);
    let error = batch_of(&schema, data, 2).unwrap_err();
    assert!(error.to_string().starts_with(says), "{error}");
    assert_eq!((error.status().code, error.status().error_code), (1100, 5));
}

#[test]
fn no_rows_are_refused() {
    let (schema, data) = two_columns();
    let error = batch_of(&schema, data, 0).unwrap_err();
    assert_eq!(
        (error.status().code, error.to_string().as_str()),
        (1100, "num_rows should be greater than 0: invalid parameter[expected=invalid num_rows][actual=0]")
    );
}

/// Nullable fields of newer clients carry `valid_data`, which has no effect without nulls.
#[test]
fn valid_data_without_a_null_is_let_through() {
    let (schema, mut data) = two_columns();
    data[1].valid_data = vec![true, true];
    assert_eq!(batch_of(&schema, data, 2).unwrap().num_rows(), 2);
}

/// A key, a vector and a field of every type that has default values.
fn schema_with_defaults() -> CollectionSchema {
    let with = |id, name, data_type, value| Field { default_value: Some(value), ..field(id, name, data_type) };
    model::schema(
        "books",
        vec![
            with(100, "flag", DataType::Bool, DefaultValue::Bool(true)),
            model::key(101, "id", DataType::Int64),
            with(102, "i8", DataType::Int8, DefaultValue::Int(-8)),
            with(103, "i16", DataType::Int16, DefaultValue::Int(-16)),
            with(104, "i32", DataType::Int32, DefaultValue::Int(-32)),
            with(105, "n", DataType::Int64, DefaultValue::Long(i64::MIN)),
            with(106, "f", DataType::Float, DefaultValue::Float(0.5)),
            with(107, "d", DataType::Double, DefaultValue::Double(0.1)),
            with(108, "name", DataType::VarChar, DefaultValue::Text("none".into())),
            field(109, "vec", DataType::FloatVector),
        ],
    )
}

/// The values of a default, or those that stand for a column without values.
fn of_default(value: &DefaultValue, rows: usize) -> Data {
    match value {
        DefaultValue::Bool(value) => Data::BoolData(proto::BoolArray { data: vec![*value; rows] }),
        DefaultValue::Int(value) => Data::IntData(proto::IntArray { data: vec![*value; rows] }),
        DefaultValue::Long(value) => Data::LongData(proto::LongArray { data: vec![*value; rows] }),
        DefaultValue::Float(value) => Data::FloatData(proto::FloatArray { data: vec![*value; rows] }),
        DefaultValue::Double(value) => Data::DoubleData(proto::DoubleArray { data: vec![*value; rows] }),
        DefaultValue::Text(value) => Data::StringData(proto::StringArray { data: vec![value.clone(); rows] }),
    }
}

fn key_and_vector(schema: &CollectionSchema, rows: usize) -> Vec<FieldData> {
    vec![given(schema.primary_key(), keys(rows)), given(schema.field("vec").unwrap(), floats(8 * rows))]
}

/// The ways to leave a column to its default.
#[rstest]
#[case::no_column(|_: &Field, _: &DefaultValue| None)]
#[case::no_values(|f: &Field, value: &DefaultValue| Some(given(f, scalar(of_default(value, 0)))))]
#[case::no_data(|f: &Field, _: &DefaultValue| Some(FieldData { field: None, ..given(f, ints(&[])) }))]
#[case::no_kind(|f: &Field, _: &DefaultValue| Some(given(f, field_data::Field::Scalars(ScalarField::default()))))]
#[case::marked(|f: &Field, _: &DefaultValue| {
    Some(FieldData { field: None, valid_data: vec![false; 2], ..given(f, ints(&[])) })
})]
fn a_default_fills_missing_values(#[case] column: impl Fn(&Field, &DefaultValue) -> Option<FieldData>) {
    let schema = schema_with_defaults();
    let mut data = key_and_vector(&schema, 2);
    data.extend(schema.fields.iter().filter_map(|f| column(f, f.default_value.as_ref()?)));
    let batch = batch_of(&schema, data, 2).unwrap();
    for (field, column) in schema.fields.iter().zip(answered(&schema, &batch)) {
        if let Some(value) = &field.default_value {
            assert_eq!(column.field, Some(scalar(of_default(value, 2))), "{}", field.name);
        }
    }
}

/// Newer clients mark each row, and send either the values of the others or something in every row.
#[rstest]
#[case::the_others(&[7, 9], &[true, false, true], &[7, i64::MIN, 9])]
#[case::all(&[7, 8, 9], &[true, false, true], &[7, i64::MIN, 9])]
#[case::none_marked(&[7, 8, 9], &[true, true, true], &[7, 8, 9])]
#[case::unmarked(&[7, 8, 9], &[], &[7, 8, 9])]
#[case::all_marked_but_sent(&[0, 0, 0], &[false; 3], &[i64::MIN; 3])]
fn a_default_fills_single_rows(#[case] sent: &[i64], #[case] valid: &[bool], #[case] expected: &[i64]) {
    let schema = schema_with_defaults();
    let mut data = key_and_vector(&schema, 3);
    let values = scalar(Data::LongData(proto::LongArray { data: sent.to_vec() }));
    data.push(FieldData { valid_data: valid.to_vec(), ..given(schema.field("n").unwrap(), values) });
    let batch = batch_of(&schema, data, 3).unwrap();
    assert_eq!(batch.column_by_name("105").unwrap().as_primitive::<Int64Type>().values(), expected);
}

#[rstest]
#[case::too_few(&[7], &[], "the num_rows (1) of field (n) is not equal to passed num_rows (3)")]
#[case::too_many_marks(&[7], &[true; 4], "the length of valid_data of field(n) is wrong: invalid parameter[expected=3][actual=4]")]
#[case::marks_without_values(&[7], &[true, true, false], "the num_rows (1) of field (n)")]
#[case::no_values(&[], &[true; 3], "the num_rows (0) of field (n)")]
fn refuses_columns_that_a_default_cannot_complete(#[case] sent: &[i64], #[case] valid: &[bool], #[case] says: &str) {
    let schema = schema_with_defaults();
    let mut data = key_and_vector(&schema, 3);
    let values = scalar(Data::LongData(proto::LongArray { data: sent.to_vec() }));
    data.push(FieldData { valid_data: valid.to_vec(), ..given(schema.field("n").unwrap(), values) });
    let error = batch_of(&schema, data, 3).unwrap_err();
    assert!(error.to_string().starts_with(says), "{error}");
    assert_eq!(error.status().code, 1100);
}

/// Values that the server fills in take memory like those of a message, before there are any.
#[test]
fn default_values_take_memory() {
    let schema = schema_with_defaults();
    let rows = 10_000;
    let batch = |memory: &mut Extra| {
        let fields_data = key_and_vector(&schema, rows);
        let mut request = milvus::InsertRequest { fields_data, num_rows: rows as u32, ..Default::default() };
        insert_batch(&schema, &mut request, &LimitsConfig::default(), memory)
    };
    // The values of a row twice, a text with its `String`.
    let least = (rows * 2 * (1 + 3 * 4 + 8 + 4 + 8 + size_of::<String>() + "none".len())) as u64;
    let growth = pools::growth(8 << 20);
    let mut memory = growth.of_call(0);
    batch(&mut memory).unwrap();
    assert!(growth.used_bytes() >= least, "{} of {least}", growth.used_bytes());
    drop(memory);
    assert_eq!(growth.used_bytes(), 0);
    // More than all calls may have never fits. Memory that others have now is worth another try.
    let error = batch(&mut pools::growth(64 << 10).of_call(0)).unwrap_err();
    assert_eq!((error.kind(), error.status().code), (ErrorKind::Invalid, 1100), "{error}");
    assert!(error.to_string().ends_with("(some.key)"), "{error}");
    let shared = pools::growth(2 << 20);
    let mut others = [shared.of_call(0), shared.of_call(0)];
    others.iter_mut().for_each(|other| other.take(2 << 20).unwrap());
    let status = batch(&mut shared.of_call(0)).unwrap_err().status();
    assert_eq!((status.code, status.retriable), (8, true), "{status:?}");
}

#[test]
fn a_column_of_another_kind_is_not_completed() {
    let schema = schema_with_defaults();
    for (column, says) in [
        (given(schema.field("n").unwrap(), texts(&[])), "field n is of type Int64, the request has string_data"),
        (
            given(schema.field("n").unwrap(), floats(0)),
            "field n is of type Int64, the request has another kind of vector",
        ),
    ] {
        let mut data = key_and_vector(&schema, 1);
        data.push(column);
        assert_eq!(batch_of(&schema, data, 1).unwrap_err().to_string(), says);
    }
}

/// Milvus 2.3.5 stores such a schema, too.
#[test]
fn a_key_with_a_default_takes_no_rows() {
    let (mut schema, data) = two_columns();
    schema.fields[0].default_value = Some(DefaultValue::Long(5));
    let error = batch_of(&schema, data, 2).unwrap_err();
    assert_eq!(
        (error.status().code, error.to_string().as_str()),
        (1100, "primary key can't be with default value: invalid parameter")
    );
}

/// A few bytes must not become gigabytes: neither by a number of rows alone, nor by a long text.
#[test]
fn defaults_do_not_make_much_of_little() {
    let mut schema = schema_with_defaults();
    schema.fields[1].auto_id = true;
    schema.fields.retain(|f| !f.data_type.is_vector());
    let error = batch_of(&schema, Vec::new(), u32::MAX as usize).unwrap_err();
    assert_eq!(error.to_string(), "field flag is missing");

    let mut schema = schema_with_defaults();
    schema.fields[8].default_value = Some(DefaultValue::Text("x".repeat(65_535)));
    schema.fields[8].max_length = Some(65_535);
    let error = batch_of(&schema, key_and_vector(&schema, 2_000), 2_000).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the default values of 2000 rows of field name need 131118000 bytes, and all those of a request may have \
         67108864: send fewer rows at a time"
    );
    assert_eq!(batch_of(&schema, key_and_vector(&schema, 1_000), 1_000).unwrap().num_rows(), 1_000);
}

#[test]
fn a_generated_key_must_not_be_given() {
    let (mut schema, mut data) = two_columns();
    schema.fields[0].auto_id = true;
    let error = batch_of(&schema, data.clone(), 2).unwrap_err();
    assert_eq!(error.to_string(), "the number of fields is less than needed: invalid parameter[expected=1][actual=2]");
    data.remove(0);
    let batch = batch_of(&schema, data.clone(), 2).unwrap();
    assert_eq!(batch.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>(), ["101"]);

    let mut request = milvus::UpsertRequest { fields_data: data, num_rows: 2, ..Default::default() };
    let error = upsert_batch(&schema, &mut request, &LimitsConfig::default(), &mut pools::ample()).unwrap_err();
    assert_eq!(
        (error.status().code, error.to_string().as_str()),
        (1100, "upsert can not assign primary field data when auto id enabled id: invalid parameter")
    );
}

/// Milvus 2.3.5 refuses them, later releases replace the rows.
#[test]
fn an_upsert_may_name_generated_keys() {
    let (mut schema, mut data) = two_columns();
    schema.fields[0].auto_id = true;
    let upserted = |fields_data: Vec<FieldData>| {
        let mut request = milvus::UpsertRequest { fields_data, num_rows: 2, ..Default::default() };
        upsert_batch(&schema, &mut request, &LimitsConfig::default(), &mut pools::ample())
    };
    let batch = upserted(data.clone()).unwrap();
    assert_eq!(batch.column_by_name("100").unwrap().as_primitive::<Int64Type>().values(), &[0, 1]);
    data[0].field = Some(scalar(Data::LongData(proto::LongArray { data: vec![7, 7] })));
    let error = upserted(data.clone()).unwrap_err();
    assert!(error.to_string().starts_with("duplicate primary keys"), "{error}");
    data[0].field = Some(texts(&["1", "2"]));
    let error = upserted(data).unwrap_err();
    assert_eq!(error.to_string(), "field id is of type Int64, the request has string_data");
}

#[test]
fn an_upsert_of_part_of_a_row_is_refused() {
    let (schema, fields_data) = two_columns();
    let mut request = milvus::UpsertRequest { fields_data, num_rows: 2, partial_update: true, ..Default::default() };
    let error = upsert_batch(&schema, &mut request, &LimitsConfig::default(), &mut pools::ample()).unwrap_err();
    assert!(error.to_string().contains("partial_update"), "{error}");
    request.partial_update = false;
    assert_eq!(
        upsert_batch(&schema, &mut request, &LimitsConfig::default(), &mut pools::ample()).unwrap().num_rows(),
        2
    );
}

fn dynamic_schema() -> CollectionSchema {
    schema_of(model::dynamic(101))
}

/// pymilvus 2.3 sends the dynamic field without a name, later ones call it `$meta`; left out it is `{}`.
#[rstest]
#[case::unnamed(Some(""), &["{\"a\":1}", "{}"])]
#[case::named(Some("$meta"), &["{\"a\":1}", "{}"])]
#[case::left_out(None, &["{}", "{}"])]
fn dynamic_field(#[case] name: Option<&str>, #[case] expected: &[&str]) {
    let schema = dynamic_schema();
    let mut data = with_key(&schema, json(&["{\"a\":1}", "{}"]), 2);
    match name {
        Some(name) => data[1].field_name = name.to_owned(),
        None => drop(data.pop()),
    }
    let batch = batch_of(&schema, data, 2).unwrap();
    let cells: Vec<&[u8]> = batch.column(1).as_binary::<i32>().iter().flatten().collect();
    assert_eq!(cells, expected.iter().map(|t| t.as_bytes()).collect::<Vec<_>>());
}

/// Two rows of one key and one timestamp could not be told apart later: neither could replace the other.
#[rstest]
#[case::numbers(DataType::Int64, Data::LongData(proto::LongArray { data: vec![7, 8, 7] }), "7")]
#[case::texts(
    DataType::VarChar,
    Data::StringData(proto::StringArray { data: vec!["x".into(), "".into(), "x".into()] }),
    "x"
)]
fn an_upsert_with_a_key_twice_is_refused(#[case] data_type: DataType, #[case] keys: Data, #[case] value: &str) {
    let schema = CollectionSchema {
        fields: vec![Field { is_primary_key: true, ..field(100, "id", data_type) }],
        ..schema_of(field(101, "vec", DataType::FloatVector))
    };
    let keys = FieldData {
        r#type: data_type.number(),
        field_name: "id".to_owned(),
        field: Some(scalar(keys)),
        ..Default::default()
    };
    let insert = milvus::InsertRequest { fields_data: vec![keys.clone()], num_rows: 3, ..Default::default() };
    let mut upsert = milvus::UpsertRequest { fields_data: vec![keys], num_rows: 3, ..Default::default() };
    let limits = LimitsConfig::default();
    let error = upsert_batch(&schema, &mut upsert, &limits, &mut pools::ample()).unwrap_err();
    assert_eq!((error.kind(), error.code().code), (ErrorKind::Invalid, 1100));
    let text = error.to_string();
    assert!(text.starts_with("duplicate primary keys are not allowed in the same batch"), "{text}");
    assert!(text.contains("id") && text.contains(value) && text.contains("rows 0 and 2"), "{text}");
    // An insert may repeat a key, as in Milvus.
    assert_eq!(insert_batch(&schema, &mut insert.clone(), &limits, &mut pools::ample()).unwrap().num_rows(), 3);
}

#[test]
fn a_long_key_is_cut_in_the_answer() {
    let key = Field { is_primary_key: true, max_length: Some(65_535), ..field(100, "id", DataType::VarChar) };
    let schema = CollectionSchema { fields: vec![key], ..schema_of(field(101, "vec", DataType::FloatVector)) };
    let data = vec!["é".repeat(5_000); 2];
    let keys = FieldData {
        r#type: DataType::VarChar.number(),
        field_name: "id".to_owned(),
        field: Some(scalar(Data::StringData(proto::StringArray { data }))),
        ..Default::default()
    };
    let mut upsert = milvus::UpsertRequest { fields_data: vec![keys], num_rows: 2, ..Default::default() };
    let text =
        upsert_batch(&schema, &mut upsert, &LimitsConfig::default(), &mut pools::ample()).unwrap_err().to_string();
    assert!(text.len() < 400 && text.contains("10000 bytes"), "{text}");
}

/// The vectors of a request become the column without being copied.
#[test]
fn vectors_are_taken_over() {
    let schema = schema_of(field(101, "vec", DataType::FloatVector));
    let data = vec![0.5_f32; 16];
    let address = data.as_ptr() as usize;
    let floats = vector(vector_field::Data::FloatVector(proto::FloatArray { data }));
    let batch = batch_of(&schema, with_key(&schema, floats, 2), 2).unwrap();
    let column = batch.column(1).as_fixed_size_binary();
    assert_eq!(column.value_data().as_ptr() as usize, address);
    assert_eq!(*column.data_type(), Arrow::FixedSizeBinary(32));
    assert_eq!(column.value(1), 0.5_f32.to_le_bytes().repeat(8));

    let schema = schema_of(field(101, "bits", DataType::BinaryVector));
    let bytes = Bytes::from(vec![1, 2]);
    let address = bytes.as_ptr() as usize;
    let bits = vector(vector_field::Data::BinaryVector(bytes));
    let batch = batch_of(&schema, with_key(&schema, bits, 2), 2).unwrap();
    assert_eq!(batch.column(1).as_fixed_size_binary().value_data().as_ptr() as usize, address);
}

#[test]
fn dynamic_keys_are_picked_as_they_were_written() {
    let schema = dynamic_schema();
    let long = format!(r#"{{"b":{}1{},"a" : [1, 2]}}"#, "[".repeat(500), "]".repeat(500));
    let sent = [
        r#"{"a":1.50,"b":{"a":2},"big":12345678901234567890123,"é\n":"x"}"#,
        r#"{"x\ud83d":1,"a":"cut \ud83d","\u0061":2}"#,
        &long,
        "{}",
    ];
    let batch = batch_of(&schema, with_key(&schema, json(&sent), 4), 4).unwrap();
    let keys = ["big".to_owned(), "a".to_owned(), "é\n".to_owned(), "none".to_owned()];
    let data = answer::dynamic_keys(&schema.fields[1], batch.column(1), &keys).unwrap();
    let expected = json(&[
        r#"{"a":1.50,"big":12345678901234567890123,"é\n":"x"}"#,
        r#"{"a":"cut \ud83d"}"#,
        r#"{"a":[1, 2]}"#,
        "{}",
    ]);
    assert_eq!((data.field, data.is_dynamic, data.field_name.as_str()), (Some(expected), true, "$meta"));
}

#[test]
fn counts_and_keys() {
    let count = answer::count(7);
    assert_eq!((count.r#type, count.field_name.as_str()), (5, "count(*)"));
    assert_eq!(count.field, Some(scalar(Data::LongData(proto::LongArray { data: vec![7] }))));

    let (schema, data) = two_columns();
    let batch = batch_of(&schema, data, 2).unwrap();
    let ids = answer::ids(&schema.fields[0], batch.column(0)).unwrap();
    assert_eq!(ids.id_field, Some(i_ds::IdField::IntId(proto::LongArray { data: vec![0, 1] })));
    let names: ArrayRef = std::sync::Arc::new(arrow_array::StringArray::from(vec!["a", "b"]));
    let ids = answer::ids(&schema.fields[0], &names).unwrap();
    assert_eq!(ids.id_field, Some(i_ds::IdField::StrId(proto::StringArray { data: vec!["a".into(), "b".into()] })));
    assert_eq!(answer::ids(&schema.fields[0], batch.column(1)).unwrap_err().kind(), ErrorKind::Internal);
}

/// A column of another type is a defect, and stored bytes that don't decode are corruption; neither is a panic.
#[test]
fn bad_columns_are_errors() {
    let schema = every_type();
    let small: ArrayRef = std::sync::Arc::new(arrow_array::PrimitiveArray::<Int8Type>::from(vec![1]));
    for field in schema.fields.iter().filter(|f| f.data_type != DataType::Int8) {
        assert_eq!(answer::field_data(field, &small).unwrap_err().kind(), ErrorKind::Internal, "{}", field.name);
    }
    let cells: ArrayRef = std::sync::Arc::new(arrow_array::BinaryArray::from(vec![&b"\x1a\x00"[..], b"\xff"]));
    let error = answer::field_data(schema.field("array_Int64").unwrap(), &cells).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().starts_with("cell 1 of field array_Int64"), "{error}");
    let error = answer::dynamic_keys(schema.dynamic_field().unwrap(), &cells, &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

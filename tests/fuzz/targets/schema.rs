//! A collection with a field of every type, and rows of it.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, RecordBatch, StringArray,
};
use datacoord::{
    model::{CollectionSchema, DataType, DefaultValue, Field},
    wire::proto::schema::{
        BoolArray, DoubleArray, FloatArray, IntArray, LongArray, ScalarField, StringArray as Strings,
        scalar_field::Data,
    },
};
use prost::Message as _;

use crate::kit::model;

/// Field 100 is the key, 101 to 112 have a name for each type, 113 is the dynamic field. Three have default values.
pub(super) fn every_type() -> CollectionSchema {
    let field = model::field;
    let array = |id, name, element| Field {
        element_type: Some(element),
        max_capacity: Some(16),
        max_length: Some(64),
        ..field(id, name, DataType::Array)
    };
    model::schema(
        "every",
        vec![
            model::key(100, "id", DataType::Int64),
            Field { default_value: Some(DefaultValue::Int(-8)), ..field(101, "i8", DataType::Int8) },
            field(102, "i16", DataType::Int16),
            field(103, "i32", DataType::Int32),
            field(104, "f", DataType::Float),
            Field { default_value: Some(DefaultValue::Double(0.1)), ..field(105, "d", DataType::Double) },
            Field {
                max_length: Some(64),
                default_value: Some(DefaultValue::Text("none".to_owned())),
                ..field(106, "s", DataType::VarChar)
            },
            field(107, "b", DataType::Bool),
            field(108, "js", DataType::Json),
            array(109, "arr", DataType::Int64),
            array(110, "sarr", DataType::VarChar),
            model::vector(111, "v", 2),
            Field { dim: Some(16), ..field(112, "bits", DataType::BinaryVector) },
            model::dynamic(113),
        ],
    )
}

fn cell(data: Data) -> Vec<u8> {
    ScalarField { data: Some(data) }.encode_to_vec()
}

/// An array field's cell of each kind, for inputs of requests.
pub(super) fn cells() -> Vec<Data> {
    vec![
        Data::LongData(LongArray { data: vec![1, i64::MIN, -1] }),
        Data::StringData(Strings { data: vec![String::new(), "é".to_owned()] }),
        Data::IntData(IntArray { data: vec![7] }),
        Data::BoolData(BoolArray { data: vec![true] }),
        Data::FloatData(FloatArray { data: vec![f32::NAN] }),
        Data::DoubleData(DoubleArray { data: vec![-0.0] }),
    ]
}

/// Three rows; all columns but row id and timestamp.
pub(super) fn rows() -> RecordBatch {
    let longs = |values: &[i64]| cell(Data::LongData(LongArray { data: values.to_vec() }));
    let texts =
        |values: &[&str]| cell(Data::StringData(Strings { data: values.iter().map(|v| v.to_string()).collect() }));
    let vectors = [[0.5f32, 1.0], [-0.0, f32::MAX], [3.0, 4.0]].map(|v| v.map(f32::to_le_bytes).concat());
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("100", Arc::new(Int64Array::from(vec![1, 2, i64::MIN]))),
        ("101", Arc::new(Int8Array::from(vec![1, -128, 127]))),
        ("102", Arc::new(Int16Array::from(vec![0, i16::MIN, i16::MAX]))),
        ("103", Arc::new(Int32Array::from(vec![0, i32::MIN, i32::MAX]))),
        ("104", Arc::new(Float32Array::from(vec![0.1, -0.0, f32::MAX]))),
        ("105", Arc::new(Float64Array::from(vec![0.1, -0.0, f64::MAX]))),
        ("106", Arc::new(StringArray::from(vec!["abc", "", "a_c%\"'\\é"]))),
        ("107", Arc::new(BooleanArray::from(vec![true, false, true]))),
        (
            "108",
            Arc::new(BinaryArray::from_vec(vec![
                br#"{"k":1,"s":"x","a":[1,2,3],"n":{"m":"deep"},"bo":true,"fl":1.5,"nul":null}"#,
                br#"{"k":9007199254740993,"a":[]}"#,
                b"{}",
            ])),
        ),
        ("109", Arc::new(BinaryArray::from_iter_values([longs(&[1, 2, 3]), longs(&[]), longs(&[i64::MIN])]))),
        ("110", Arc::new(BinaryArray::from_iter_values([texts(&["a", "b"]), texts(&[]), texts(&[""])]))),
        ("111", Arc::new(FixedSizeBinaryArray::try_from_iter(vectors.into_iter()).expect("vectors of one size"))),
        (
            "112",
            Arc::new(
                FixedSizeBinaryArray::try_from_iter([[0u8, 255], [1, 2], [3, 4]].into_iter()).expect("two bytes each"),
            ),
        ),
        ("113", Arc::new(BinaryArray::from_vec(vec![br#"{"color":"red","num":7}"#, b"{}", br#"{"color":null}"#]))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

//! Expressions against five rows that were also stored in a real Milvus 2.3.5.

mod faults;
mod properties;
mod rules;

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, Int8Array, Int64Array, RecordBatch, StringArray,
};

pub(super) use crate::kit::model::field;
use crate::{
    kit::model,
    model::{CollectionSchema, DataType, Field},
    query::eval::array::fixture::{floats, longs, strings},
};

pub(super) fn schema() -> CollectionSchema {
    let array = |id, name, element| Field { element_type: Some(element), ..field(id, name, DataType::Array) };
    let fields = vec![
        model::key(100, "id", DataType::Int64),
        field(101, "i8", DataType::Int8),
        field(102, "i64", DataType::Int64),
        field(103, "f", DataType::Float),
        field(104, "d", DataType::Double),
        field(105, "s", DataType::VarChar),
        field(106, "b", DataType::Bool),
        field(107, "js", DataType::Json),
        array(108, "arr", DataType::Int64),
        array(109, "sarr", DataType::VarChar),
        array(110, "farr", DataType::Float),
        model::vector(111, "v", 2),
        model::dynamic(112),
    ];
    model::schema("rules", fields)
}

/// The same collection without a dynamic field.
pub(super) fn strict_schema() -> CollectionSchema {
    let mut schema = schema();
    schema.enable_dynamic_field = false;
    schema.fields.retain(|f| !f.is_dynamic);
    schema
}

pub(super) fn rows() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("100", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]))),
        ("101", Arc::new(Int8Array::from(vec![1, -128, 127, 0, -1]))),
        ("102", Arc::new(Int64Array::from(vec![10, -7, i64::MAX, 0, i64::MIN]))),
        ("103", Arc::new(Float32Array::from(vec![0.5, 0.1, 1e30, 0.0, -1.5]))),
        ("104", Arc::new(Float64Array::from(vec![1.5, 0.1, -0.0, 0.0, 2.0]))),
        ("105", Arc::new(StringArray::from(vec!["abc", "a_c%", "q\"'\\", "", "abd"]))),
        ("106", Arc::new(BooleanArray::from(vec![true, false, true, false, true]))),
        (
            "107",
            Arc::new(BinaryArray::from_vec(vec![
                br#"{"k":1,"s":"x","a":[1,2,3],"n":{"m":"deep"},"bo":true,"fl":1.5,"nul":null,"as":["a","b"],"aa":[[1,2],[3]]}"#,
                br#"{"k":"1"}"#,
                br#"{"k":1.0,"a":["x",1]}"#,
                b"{}",
                br#"{"k":9007199254740993,"a":[]}"#,
            ])),
        ),
        ("108", cells(&[longs(&[1, 2, 3]), longs(&[]), longs(&[5]), longs(&[1]), longs(&[2, 2])])),
        (
            "109",
            cells(&[strings(&["a", "b"]), strings(&[]), strings(&["c"]), strings(&["a"]), strings(&["b", "a"])]),
        ),
        ("110", cells(&[floats(&[0.5, 0.1]), floats(&[]), floats(&[1.0]), floats(&[]), floats(&[])])),
        (
            "112",
            Arc::new(BinaryArray::from_vec(vec![
                br#"{"color":"red","num":7}"#,
                b"{}",
                br#"{"color":3}"#,
                br#"{"color":null}"#,
                br#"{"color":"red2"}"#,
            ])),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn cells(cells: &[Vec<u8>]) -> ArrayRef {
    Arc::new(BinaryArray::from_iter_values(cells))
}

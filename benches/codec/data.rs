//! Typical columns, the same in every run.

use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeBinaryArray, Int64Array, StringArray};
use arrow_buffer::Buffer;
use datacoord::model::{DataType, Field};

use crate::kit::{model, numbers::Numbers};

pub fn field(id: i64, data_type: DataType, dim: Option<u32>) -> Field {
    Field { is_primary_key: id == 100, dim, ..model::field(id, "f", data_type) }
}

fn vectors(rows: usize, dim: usize) -> ArrayRef {
    let mut noise = Numbers::new(7);
    let values: Vec<u8> = (0..rows * dim).flat_map(|_| noise.normal().to_le_bytes()).collect();
    Arc::new(FixedSizeBinaryArray::new(dim as i32 * 4, Buffer::from_vec(values), None))
}

/// Columns of about 32 MB each.
pub fn columns() -> Vec<(&'static str, Field, ArrayRef)> {
    let mut noise = Numbers::new(3);
    let ints = 4 << 20;
    let words = ["vector", "segment", "delete", "compaction", "binlog", "row", "key", "flush"];
    let text = |noise: &mut Numbers| {
        let count = 4 + noise.next() % 8;
        (0..count).map(|_| words[(noise.next() % 8) as usize]).collect::<Vec<_>>().join(" ")
    };
    vec![
        ("float_vector_768", field(101, DataType::FloatVector, Some(768)), vectors(10_000, 768)),
        ("float_vector_16", field(101, DataType::FloatVector, Some(16)), vectors(512 << 10, 16)),
        (
            "int64_row_id",
            field(0, DataType::Int64, None),
            Arc::new(Int64Array::from_iter_values((0..ints).map(|i| 470_597_209_892_061_324 + i))),
        ),
        (
            "int64_key_random",
            field(100, DataType::Int64, None),
            Arc::new(Int64Array::from_iter_values((0..ints).map(|_| noise.next() as i64))),
        ),
        (
            "int64_scalar_random",
            field(102, DataType::Int64, None),
            Arc::new(Int64Array::from_iter_values((0..ints).map(|_| noise.next() as i64))),
        ),
        (
            "int64_scalar_few",
            field(102, DataType::Int64, None),
            Arc::new(Int64Array::from_iter_values((0..ints).map(|_| (noise.next() % 100) as i64))),
        ),
        (
            "varchar_text",
            field(103, DataType::VarChar, None),
            Arc::new(StringArray::from_iter_values((0..500_000).map(|_| text(&mut noise)))),
        ),
        (
            "varchar_key",
            field(100, DataType::VarChar, None),
            Arc::new(StringArray::from_iter_values((0..1_000_000).map(|_| format!("{:016x}", noise.next())))),
        ),
    ]
}

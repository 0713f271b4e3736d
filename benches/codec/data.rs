//! Columns as collections have them, the same in every run.

use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeBinaryArray, Int64Array, StringArray};
use arrow_buffer::Buffer;
use datacoord::model::{DataType, Field, FieldId};

/// Reproducible noise.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// Normally distributed, as components of embeddings are, and with all bits of the mantissa.
    fn float(&mut self) -> f32 {
        let uniform = |bits: u64| ((bits >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        let (radius, angle) = (uniform(self.next()), uniform(self.next()));
        ((-2.0 * radius.ln()).sqrt() * (angle * std::f64::consts::TAU).cos()) as f32
    }
}

pub fn field(id: i64, data_type: DataType, dim: Option<u32>) -> Field {
    Field {
        id: FieldId(id),
        name: "f".to_owned(),
        description: String::new(),
        data_type,
        element_type: None,
        is_primary_key: id == 100,
        auto_id: false,
        is_partition_key: false,
        is_clustering_key: false,
        is_dynamic: false,
        dim,
        max_length: None,
        max_capacity: None,
        type_params: Vec::new(),
        index_params: Vec::new(),
    }
}

fn vectors(rows: usize, dim: usize) -> ArrayRef {
    let mut noise = Noise(7);
    let values: Vec<u8> = (0..rows * dim).flat_map(|_| noise.float().to_le_bytes()).collect();
    Arc::new(FixedSizeBinaryArray::new(dim as i32 * 4, Buffer::from_vec(values), None))
}

/// Columns of about 32 MB each.
pub fn columns() -> Vec<(&'static str, Field, ArrayRef)> {
    let mut noise = Noise(3);
    let ints = 4 << 20;
    let words = ["vector", "segment", "delete", "compaction", "binlog", "row", "key", "flush"];
    let text = |noise: &mut Noise| {
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

//! Throughput of the codec in bytes of rows in memory: `cargo bench --bench codec`.

use std::{hint::black_box, sync::Arc};

use arrow::array::{ArrayRef, FixedSizeBinaryArray, Int64Array, StringArray};
use arrow::buffer::Buffer;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datacoord::{
    binlog::{
        InsertLog, InsertLogWriter, LogIds, PkStatsBuilder, decode_delta, decode_stats, encode_delta, memory_size,
    },
    config::BinlogConfig,
    model::{CollectionId, DataType, Delete, Field, FieldId, PartitionId, PrimaryKey, SegmentId, Timestamp},
};

const IDS: LogIds = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(3) };
const BATCH_ROWS: usize = 8192;

/// Reproducible noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
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

fn field(id: i64, data_type: DataType, dim: Option<u32>) -> Field {
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
fn columns() -> Vec<(&'static str, Field, ArrayRef)> {
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

fn insert_logs(c: &mut Criterion) {
    let config = BinlogConfig::default();
    for (name, field, column) in columns() {
        let encode = || {
            let mut writer = InsertLogWriter::new(IDS, &field, &config).unwrap();
            for from in (0..column.len()).step_by(BATCH_ROWS) {
                writer.write(&column.slice(from, BATCH_ROWS.min(column.len() - from))).unwrap();
            }
            writer.finish(Timestamp(1), Timestamp(2), 1).unwrap()
        };
        let size = memory_size(&field, &column);
        let bytes = encode().bytes;
        println!("{name}: {:.1} MB in memory, {:.1} MB in the file", size as f64 / 1e6, bytes.len() as f64 / 1e6);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(size)).sample_size(10);
        group.bench_function("encode", |b| b.iter(encode));
        group.bench_function("decode", |b| {
            b.iter(|| {
                let log = InsertLog::open(bytes.clone()).unwrap();
                log.read(&field, BATCH_ROWS).unwrap().map(|array| array.unwrap().len()).sum::<usize>()
            });
        });
        group.finish();
    }
}

fn deletes_and_statistics(c: &mut Criterion) {
    let mut noise = Noise(5);
    let keys: Vec<i64> = (0..500_000).map(|_| noise.next() as i64).collect();
    let deletes: Vec<Delete> =
        keys.iter().map(|key| Delete { key: PrimaryKey::Int(*key), ts: Timestamp(470_597_221_698_764_803) }).collect();
    let config = BinlogConfig::default();
    let delta = encode_delta(IDS, &deletes, &config, 1).unwrap();
    let mut group = c.benchmark_group("keys");
    group.throughput(Throughput::Elements(keys.len() as u64)).sample_size(10);
    group.bench_function("delta_encode", |b| b.iter(|| encode_delta(IDS, &deletes, &config, 1).unwrap()));
    group.bench_function("delta_decode", |b| b.iter(|| decode_delta(delta.bytes.clone()).unwrap()));

    let build = |column: &ArrayRef, data_type| {
        let mut builder = PkStatsBuilder::new(FieldId(100), data_type, column.len() as u64, 0.05);
        builder.add_column(column).unwrap();
        builder.finish()
    };
    let ints: ArrayRef = Arc::new(Int64Array::from(keys.clone()));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(keys.iter().map(|key| format!("{key:016x}"))));
    group.bench_function("stats_build_int64", |b| b.iter(|| build(&ints, DataType::Int64)));
    group.bench_function("stats_build_varchar", |b| b.iter(|| build(&texts, DataType::VarChar)));
    let stats = build(&ints, DataType::Int64);
    let encoded = stats.encode();
    group.bench_function("stats_encode", |b| b.iter(|| stats.encode()));
    group.bench_function("stats_decode", |b| b.iter(|| decode_stats(&encoded, false).unwrap()));
    group.bench_function("stats_lookup", |b| {
        b.iter(|| keys.iter().filter(|key| stats.may_contain(&PrimaryKey::Int(black_box(**key)))).count());
    });
    group.finish();
}

criterion_group!(benches, insert_logs, deletes_and_statistics);
criterion_main!(benches);

//! Throughput of the codec in bytes of rows in memory: `cargo bench --bench codec`.
//!
//! `cargo bench --bench codec -- settings` prints size and speed of each setting of `datacoord.binlog`.

mod data;
#[path = "../../tests/kit/mod.rs"]
mod kit;
mod settings;

use std::{hint::black_box, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, StringArray};
use criterion::{Criterion, Throughput, criterion_group};
use datacoord::{
    binlog::{InsertLog, LogIds, PkStatsBuilder, decode_delta, decode_stats, encode_delta, memory_size},
    config::BinlogConfig,
    model::{CollectionId, DataType, Delete, FieldId, PartitionId, PrimaryKey, SegmentId, Timestamp},
};

use crate::{data::columns, kit::numbers::Numbers};

const IDS: LogIds = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(3) };
const BATCH_ROWS: usize = 8192;

fn insert_logs(c: &mut Criterion) {
    let config = BinlogConfig::default();
    for (name, field, column) in columns() {
        let encode = || settings::encode(&field, &column, &config);
        let size = memory_size(&field, &column);
        let bytes = encode();
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
    let mut noise = Numbers::new(5);
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

fn main() {
    if std::env::args().any(|arg| arg == "settings") {
        return settings::table();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

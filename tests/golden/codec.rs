//! Every real file decodes to the rows in its manifest. Encoded again it has the same meaning, and the same bytes where the
//! format leaves no choice.

use arrow_array::{
    Array, ArrayRef, RecordBatch,
    cast::AsArray,
    types::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
};
use arrow_select::concat::{concat, concat_batches};
use datacoord::{
    binlog::{
        Descriptor, InsertLog, InsertLogWriter, PkStats, PkStatsBuilder, decode_delta, decode_stats, encode_delta,
        memory_size,
    },
    config::BinlogConfig,
    model::{CollectionSchema, DataType, Field, FieldId, LogId, Timestamp},
    storage::{
        LogPath, SegmentStore, SegmentTarget, StatsLayout, read_columns, read_deletes, read_stats, write_segment,
    },
};
use futures::TryStreamExt;
use rstest::rstest;
use serde_json::Value;

use crate::{
    digest::Rows,
    manifest::{Fixture, FixtureSegment, all},
};

const BATCH_ROWS: usize = 700;

fn joined(arrays: &[ArrayRef]) -> ArrayRef {
    let arrays: Vec<&dyn Array> = arrays.iter().map(|array| array.as_ref()).collect();
    concat(&arrays).unwrap()
}

fn column(log: &InsertLog, field: &Field) -> ArrayRef {
    let arrays: Vec<ArrayRef> = log.read(field, BATCH_ROWS).unwrap().map(Result::unwrap).collect();
    joined(&arrays)
}

async fn rows(store: &SegmentStore, segment: &FixtureSegment, schema: &CollectionSchema) -> RecordBatch {
    let fields: Vec<FieldId> = schema.stored_fields().iter().map(|field| field.id).collect();
    let batches: Vec<RecordBatch> =
        read_columns(store, segment.ids, &segment.logs, schema, &fields, BATCH_ROWS).try_collect().await.unwrap();
    concat_batches(&schema.arrow_schema(), &batches).unwrap()
}

#[test]
fn insert_logs_agree_with_their_metadata() {
    let mut files = 0;
    for fixture in all() {
        let fields = fixture.schema.stored_fields();
        for segment in &fixture.segments {
            assert_eq!(segment.logs.rows(), segment.rows);
            for (id, logs) in &segment.logs.insert {
                let field = fields.iter().find(|field| field.id == *id).unwrap();
                for file in logs {
                    files += 1;
                    let bytes = fixture.object(&LogPath::insert(segment.ids, *id, file.id));
                    let log = InsertLog::open(bytes.clone()).unwrap();
                    let header = log.header();
                    assert_eq!((header.ids, header.field), (segment.ids, *id));
                    assert_eq!((header.ts_from, header.ts_to), (file.ts_from, file.ts_to));
                    assert_eq!(header.data_type, field.data_type.number());
                    assert_eq!((log.rows(), bytes.len() as u64), (file.rows, file.bytes));
                    // Milvus' flushes note the size in memory, its compactions that of the file.
                    let noted = if segment.compaction_from.is_empty() { header.original_size } else { file.bytes };
                    assert_eq!(noted, file.memory_bytes);
                    assert_eq!(memory_size(field, &column(&log, field)), header.original_size, "{field:?}");
                }
            }
        }
    }
    assert!(files > 300, "only {files} insert logs looked at");
}

#[tokio::test]
async fn first_rows_are_those_of_the_manifest() {
    for fixture in all() {
        let store = fixture.store().await;
        for segment in &fixture.segments {
            let batch = rows(&store, segment, &fixture.schema).await;
            let expected = segment.json["first_rows"].as_array().unwrap();
            assert!(!expected.is_empty());
            for (at, row) in expected.iter().enumerate() {
                for field in fixture.schema.stored_fields() {
                    let value = &row[format!("{}:{}", field.id, field.name)];
                    let column = batch.column_by_name(&field.column_name()).unwrap();
                    assert_value(&field, column.as_ref(), at, value);
                }
            }
        }
    }
}

fn assert_value(field: &Field, column: &dyn Array, at: usize, expected: &Value) {
    let int = || expected.as_i64().unwrap();
    let context = format!("row {at} of {}", field.name);
    match field.data_type {
        DataType::Bool => assert_eq!(column.as_boolean().value(at), expected.as_bool().unwrap(), "{context}"),
        DataType::Int8 => assert_eq!(i64::from(column.as_primitive::<Int8Type>().value(at)), int(), "{context}"),
        DataType::Int16 => assert_eq!(i64::from(column.as_primitive::<Int16Type>().value(at)), int(), "{context}"),
        DataType::Int32 => assert_eq!(i64::from(column.as_primitive::<Int32Type>().value(at)), int(), "{context}"),
        DataType::Int64 => assert_eq!(column.as_primitive::<Int64Type>().value(at), int(), "{context}"),
        DataType::Float => {
            // The manifest has the double next to the float; back to a float it is exact.
            let value = column.as_primitive::<Float32Type>().value(at);
            assert_eq!(value.to_bits(), (expected.as_f64().unwrap() as f32).to_bits(), "{context}");
        }
        DataType::Double => {
            let value = column.as_primitive::<Float64Type>().value(at);
            assert_eq!(value.to_bits(), expected.as_f64().unwrap().to_bits(), "{context}");
        }
        DataType::VarChar => assert_eq!(column.as_string::<i32>().value(at), expected.as_str().unwrap(), "{context}"),
        DataType::Json => {
            assert_eq!(column.as_binary::<i32>().value(at), expected["utf8"].as_str().unwrap().as_bytes(), "{context}");
        }
        DataType::Array => {
            assert_eq!(
                hex::encode(column.as_binary::<i32>().value(at)),
                expected["hex"].as_str().unwrap(),
                "{context}"
            );
        }
        DataType::BinaryVector | DataType::FloatVector => {
            let key = if field.data_type == DataType::FloatVector { "float32_le_hex" } else { "hex" };
            let value = hex::encode(column.as_fixed_size_binary().value(at));
            assert_eq!(value, expected[key].as_str().unwrap(), "{context}");
        }
    }
}

#[tokio::test]
async fn delta_logs_agree_with_the_manifest_and_encode_to_the_same_texts() {
    let mut logs = 0;
    for fixture in all() {
        let store = fixture.store().await;
        for segment in &fixture.segments {
            let deletes = read_deletes(&store, segment.ids, &segment.logs).await.unwrap();
            assert_eq!(deletes, segment.delta_entries(), "{} {}", fixture.name, segment.ids.segment);
            for file in &segment.logs.delta {
                logs += 1;
                let bytes = fixture.object(&LogPath::delta(segment.ids, file.id));
                let header = Descriptor::read(&bytes).unwrap();
                assert_eq!((header.ids, header.field, header.data_type), (segment.ids, FieldId(-1), 20));
                let deletes = decode_delta(bytes.clone()).unwrap();
                let ours = encode_delta(segment.ids, &deletes, &BinlogConfig::default(), 1).unwrap();
                // The size is the sum of the texts' lengths: one escaped otherwise would change it.
                assert_eq!(Descriptor::read(&ours.bytes).unwrap(), header);
                assert_eq!(decode_delta(ours.bytes).unwrap(), deletes);
            }
        }
    }
    assert!(logs > 20, "only {logs} delta logs looked at");
}

#[tokio::test]
async fn digests_are_those_of_the_manifest() {
    for fixture in all() {
        let store = fixture.store().await;
        // Deletes do not cross groups, so the digest of the set is made of the rows that each group keeps.
        let mut everything = Rows::new(&fixture.schema);
        for group in &fixture.groups {
            let mut deletes = Vec::new();
            for id in &group.segments {
                let segment = fixture.segment(*id);
                deletes.extend(read_deletes(&store, segment.ids, &segment.logs).await.unwrap());
            }
            let mut together = Rows::new(&fixture.schema);
            for id in &group.segments {
                let segment = fixture.segment(*id);
                assert_eq!(segment.channel, group.channel);
                let batch = rows(&store, segment, &fixture.schema).await;
                let mut alone = Rows::new(&fixture.schema);
                alone.add(&batch);
                alone.apply(&deletes);
                assert_eq!(alone.digest(), segment.surviving, "{} {id}", fixture.name);
                together.add(&batch);
            }
            together.apply(&deletes);
            everything.join(&together);
            assert_eq!(together.digest(), group.expected, "{}", fixture.name);
        }
        assert_eq!(everything.digest(), fixture.expected, "{}", fixture.name);
    }
}

/// Statistics have one right form, so ours must be the same bytes.
#[test]
fn statistics_logs_are_rebuilt_byte_for_byte() {
    let mut filters = 0;
    for fixture in all() {
        let key = fixture.schema.primary_key();
        for segment in &fixture.segments {
            let logs = &segment.logs;
            let columns: Vec<ArrayRef> = logs
                .field(key.id)
                .iter()
                .map(|file| fixture.object(&LogPath::insert(segment.ids, key.id, file.id)))
                .map(|bytes| column(&InsertLog::open(bytes).unwrap(), key))
                .collect();
            let build = |columns: &[ArrayRef], capacity: u64| -> PkStats {
                let mut builder = PkStatsBuilder::new(key.id, key.data_type, capacity, 0.05);
                columns.iter().for_each(|column| builder.add_column(column).unwrap());
                builder.finish()
            };
            let rebuilt: Vec<PkStats> = if segment.compaction_from.is_empty() {
                columns.iter().map(|column| build(std::slice::from_ref(column), column.len() as u64)).collect()
            } else {
                // A compacted segment's filter was sized for the rows of its sources, which the manifest lists.
                let sources = fixture.json["segments"].as_array().unwrap().iter();
                let sources = sources.filter(|s| segment.compaction_from.contains(&s["id"].as_i64().unwrap()));
                vec![build(&columns, sources.map(|s| s["num_of_rows"].as_u64().unwrap()).sum())]
            };
            let (_, files) = &logs.stats[0];
            let mut singles = rebuilt.iter();
            for file in files {
                filters += 1;
                let real = fixture.object(&LogPath::stats(segment.ids, key.id, file.id));
                let compound = file.id == LogId::COMPOUND_STATS;
                // The compound log is the list of the single ones.
                let ours = if compound {
                    let entries: Vec<_> = rebuilt.iter().map(|stats| stats.encode().to_vec()).collect();
                    [b"[", &entries.join(&b',')[..], b"]"].concat().into()
                } else {
                    singles.next().unwrap().encode()
                };
                assert_eq!(ours, real, "{} {}", fixture.name, segment.ids.segment);
                let decoded = decode_stats(&real, compound).unwrap();
                assert!(decoded.iter().all(|stats| rebuilt.contains(stats)));
            }
            assert_eq!(singles.next(), None);
        }
    }
    assert!(filters > 60, "only {filters} filters looked at");
}

#[test]
fn columns_encoded_again_decode_to_the_same() {
    let config = BinlogConfig::default();
    for fixture in all() {
        let fields = fixture.schema.stored_fields();
        for (path, bytes) in fixture.objects() {
            let (LogPath::Insert { .. }, Some(id)) = (path, path.field()) else { continue };
            let field = fields.iter().find(|field| field.id == id).unwrap();
            let log = InsertLog::open(bytes.clone()).unwrap();
            let (header, values) = (log.header(), column(&log, field));
            let ids = path.ids().unwrap();
            let mut writer = InsertLogWriter::new(ids, field, &config).unwrap();
            writer.write(&values).unwrap();
            let ours = writer.finish(header.ts_from, header.ts_to, 1).unwrap();
            let again = InsertLog::open(ours.bytes).unwrap();
            assert_eq!(again.header(), header, "{path}");
            assert_eq!(&column(&again, field), &values, "{path}");
            // Floats are compared by value above; their bits matter too.
            assert_eq!(column(&again, field).to_data().buffers(), values.to_data().buffers(), "{path}");

            let copy = log.readdress(ids, 7).unwrap().join(&bytes);
            assert_eq!(copy.bytes[copy.bytes.len() - 200..], bytes[bytes.len() - 200..]);
            assert_eq!(Descriptor::read(&copy.bytes).unwrap(), *header);
        }
    }
}

/// The set was compacted with this limit; the same rows must be cut at the same places.
#[tokio::test]
async fn binlogs_are_cut_where_milvus_cut_them() {
    let fixture = Fixture::load("d_split", "after");
    let (store, segment) = (fixture.store().await, &fixture.segments[0]);
    let batch = rows(&store, segment, &fixture.schema).await;
    let config = BinlogConfig { max_bytes: 131_072, ..BinlogConfig::default() };
    let target = SegmentTarget {
        ids: segment.ids,
        schema: &fixture.schema,
        stats: StatsLayout::Compacted { capacity: 4500 },
        config: &config,
        written_at_ms: 1,
    };
    let mut id = 1;
    let mut next = || {
        id += 1;
        Ok(LogId(id))
    };
    let output = write_segment(&SegmentStore::in_memory(), &target, [batch].into_iter(), &[], &mut next).await.unwrap();
    for (field, files) in &segment.logs.insert {
        let cut: Vec<_> = files.iter().map(|file| (file.rows, file.ts_from, file.ts_to)).collect();
        let ours: Vec<_> = output.logs.field(*field).iter().map(|file| (file.rows, file.ts_from, file.ts_to)).collect();
        assert_eq!(ours, cut);
        for (ours, real) in output.logs.field(*field).iter().zip(files) {
            let bytes = fixture.object(&LogPath::insert(segment.ids, *field, real.id));
            assert_eq!(ours.memory_bytes, Descriptor::read(&bytes).unwrap().original_size);
        }
    }
    assert_eq!(output.stats, read_stats(&store, segment.ids, &segment.logs).await.unwrap());
}

#[rstest]
#[case("a_mixed")]
#[case("b_varchar")]
fn statistics_answer_for_all_keys(#[case] set: &str) {
    let fixture = Fixture::load(set, "before");
    for segment in &fixture.segments {
        let deletes = segment.delta_entries();
        let stats: Vec<PkStats> = segment.logs.stats[0]
            .1
            .iter()
            .flat_map(|file| {
                let bytes = fixture.object(&LogPath::stats(segment.ids, segment.logs.stats[0].0, file.id));
                decode_stats(&bytes, file.id == LogId::COMPOUND_STATS).unwrap()
            })
            .collect();
        // Milvus logged a delete for the segments whose statistics did not deny its key: ours must not deny it either.
        for delete in deletes {
            assert!(stats.iter().any(|s| s.may_contain(&delete.key)), "{} {}", segment.ids.segment, delete.key);
            assert!(delete.ts > Timestamp::ZERO);
        }
    }
}

use std::collections::HashMap;

use bytes::Bytes;
use rstest::rstest;

use super::*;
use crate::{
    binlog::stats_file,
    error::{Classify, ErrorKind},
    model::{DataType, PkRange, Timestamp},
    storage::{
        fetch::verify,
        fixtures::{IDS, read_all, rows, schema, write},
        path::LogKind,
        segment_writer::StatsLayout,
        store::ListedLog,
    },
};

#[rstest]
#[tokio::test]
async fn a_flushed_segment_reads_back(#[values(DataType::Int64, DataType::VarChar)] key: DataType) {
    let (store, schema) = (SegmentStore::in_memory(), schema(key));
    let all = rows(&schema, 500, 1000);
    let batches = [all.slice(0, 1), all.slice(1, 0), all.slice(1, 600), all.slice(601, 399)];
    let delete = |i: i64, ts| match key {
        DataType::VarChar => Delete { key: PrimaryKey::Str(format!("k-{i:05}").into()), ts: Timestamp(ts) },
        _ => Delete { key: PrimaryKey::Int(i), ts: Timestamp(ts) },
    };
    let deletes = [delete(700, 9), delete(600, 8), delete(700, 9)];
    let output = write(&store, &schema, StatsLayout::Flushed, 30_000, &batches, &deletes).await.unwrap();

    assert_eq!(read_all(&store, &schema, &output).await, all);
    assert_eq!(read_deletes(&store, IDS, &output.logs).await.unwrap(), deletes);
    let range = PkRange { min: delete(500, 0).key, max: delete(1499, 0).key };
    assert_eq!((output.rows, output.pk_range.clone()), (1000, Some(range)));

    // Logs that are said to be large are read window by window, with the same result.
    let mut large = output.clone();
    for file in large.logs.insert.iter_mut().flat_map(|(_, files)| files) {
        (file.bytes, file.checksum) = (file.bytes + (1 << 30), None);
    }
    assert_eq!(read_all(&store, &schema, &large).await, all);

    // Deletes in parts of any size, from logs of any recorded size: all of them come in order.
    for (part_bytes, size) in [(1, 0), (1, 1 << 30), (1 << 20, 0)] {
        let log = StoredObject { bytes: size, checksum: None, ..StoredObject::delta(IDS, &output.logs.delta[0]) };
        let parts = read_delete_parts(&store, vec![log, log], part_bytes);
        let parts: Vec<Vec<Delete>> = parts.try_collect().await.unwrap();
        assert_eq!(parts.len(), if part_bytes == 1 { 2 } else { 1 });
        assert_eq!(parts.concat(), [&deletes[..], &deletes[..]].concat());
    }

    // The metadata agrees with the files.
    let logs = &output.logs;
    assert_eq!(logs.insert.iter().map(|(f, _)| f.0).collect::<Vec<_>>(), [0, 1, 100, 101, 102]);
    assert!(logs.batches() > 1 && logs.rows() == 1000);
    let mut seen = HashMap::new();
    for (field, files) in &logs.insert {
        for file in files {
            let bytes = store.get(&LogPath::insert(IDS, *field, file.id)).await.unwrap();
            let log = InsertLog::open(bytes.clone()).unwrap();
            assert_eq!((log.header().ids, log.header().field, log.rows()), (IDS, *field, file.rows));
            assert_eq!((log.header().original_size, bytes.len() as u64), (file.memory_bytes, file.bytes));
            assert_eq!((log.header().ts_from, log.header().ts_to), (file.ts_from, file.ts_to));
            assert_eq!((file.ts_from, file.ts_to), (Timestamp(1_000_000), Timestamp(1_000_006)));
            assert_eq!(seen.insert(file.id, *field), None, "a log id is used once");
        }
    }
    let delta = &logs.delta[0];
    assert_eq!((delta.rows, delta.ts_from, delta.ts_to), (3, Timestamp(8), Timestamp(9)));

    // One statistics log per binlog, each with an id of its own.
    let (stats_field, stats) = &logs.stats[0];
    assert_eq!((stats_field.0, stats.len()), (100, logs.batches()));
    assert!(stats.iter().all(|file| seen.insert(file.id, *stats_field).is_none()), "a log id is used once");
    assert_eq!(read_stats(&store, IDS, logs).await.unwrap(), output.stats);
    for i in 500..1500 {
        let key = delete(i, 0).key;
        let cut = output.stats.iter().filter(|s| s.may_contain(&key)).count();
        assert!(cut >= 1, "{key} denied");
    }
    let objects: Vec<ListedLog> = store.list("").try_collect().await.unwrap();
    assert_eq!(objects.len(), 5 * logs.batches() + stats.len() + 1);
}

/// Milvus and older releases write one more log, whose id is 1, with the entries of all others.
#[tokio::test]
async fn a_compound_log_stands_for_the_others() {
    let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
    let batches = [rows(&schema, 0, 300)];
    let mut output = write(&store, &schema, StatsLayout::Flushed, 10_000, &batches, &[]).await.unwrap();
    assert!(output.stats.len() > 1);
    let (field, files) = &mut output.logs.stats[0];
    for file in files.iter() {
        store.delete(&LogPath::stats(IDS, *field, file.id)).await.unwrap();
    }
    let entries: Vec<Vec<u8>> = output.stats.iter().map(|stats| stats.encode().to_vec()).collect();
    let compound = Bytes::from([b"[", &entries.join(&b',')[..], b"]"].concat());
    files.push(stats_file(LogId::COMPOUND_STATS, 300, &compound));
    store.put(&LogPath::stats(IDS, *field, LogId::COMPOUND_STATS), compound).await.unwrap();
    assert_eq!(read_stats(&store, IDS, &output.logs).await.unwrap(), output.stats);
}

/// For any object and any bit, readers and `verify` report the damage.
#[tokio::test]
async fn a_flipped_bit_names_the_object() {
    let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
    let deletes = [Delete { key: PrimaryKey::Int(1), ts: Timestamp(5) }];
    let batches = [rows(&schema, 0, 300)];
    let output = write(&store, &schema, StatsLayout::Flushed, 10_000, &batches, &deletes).await.unwrap();
    let objects = StoredObject::all(IDS, &output.logs);
    assert_eq!(objects.len(), output.logs.batches() * 6 + 1);
    let mut seed = 1u64;
    let mut number = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for object in &objects {
        let good = store.get(&object.path).await.unwrap();
        assert_eq!(object.checksum, Some(crc32c::crc32c(&good)), "{}", object.path);
        assert_eq!(verify(&store, &None, object).await.unwrap(), good.len() as u64);
        for _ in 0..20 {
            let mut bad = good.to_vec();
            let at = number(bad.len());
            bad[at] ^= 1 << number(8);
            store.put(&object.path, bad.into()).await.unwrap();
            let errors = [
                verify(&store, &None, object).await.map(drop),
                match object.path.kind() {
                    LogKind::Insert => {
                        let field = object.path.field().unwrap();
                        let read = read_columns(&store, IDS, &output.logs, &schema, &[field], 64);
                        read.try_collect::<Vec<_>>().await.map(drop)
                    }
                    LogKind::Delta => read_deletes(&store, IDS, &output.logs).await.map(drop),
                    LogKind::Stats => read_stats(&store, IDS, &output.logs).await.map(drop),
                    LogKind::Index => panic!("these segments have no index"),
                },
            ];
            for error in errors {
                let error = error.unwrap_err();
                assert!(matches!(&error, StorageError::Damaged { .. }), "{error}");
                assert!(error.to_string().starts_with(&format!("object {} is damaged: ", object.path)), "{error}");
                assert_eq!(error.kind(), ErrorKind::Corrupt);
            }
        }
        store.put(&object.path, good.slice(..good.len() / 2)).await.unwrap();
        let error = verify(&store, &None, object).await.unwrap_err();
        let sizes = format!("object has {} bytes, {} were written", good.len() / 2, good.len());
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(&sizes), "{error}");
        store.put(&object.path, good).await.unwrap();
    }
    let unknown = StoredObject { checksum: None, ..objects[0] };
    store.put(&unknown.path, Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(verify(&store, &None, &unknown).await.unwrap(), 0, "without a checksum there is nothing to compare");
    store.delete(&unknown.path).await.unwrap();
    assert_eq!(verify(&store, &None, &unknown).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn damage_names_the_object() {
    let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
    let deletes = [Delete { key: PrimaryKey::Int(1), ts: Timestamp(5) }];
    let batches = [rows(&schema, 0, 300)];
    let mut output = write(&store, &schema, StatsLayout::Flushed, 10_000, &batches, &deletes).await.unwrap();
    // Without checksums, as Milvus writes them, damage is found by decoding.
    let SegmentLogs { insert, stats, delta } = &mut output.logs;
    let files = insert.iter_mut().chain(stats).flat_map(|(_, files)| files).chain(delta);
    files.for_each(|file| file.checksum = None);
    assert!(output.logs.batches() > 1);
    let fields: Vec<FieldId> = schema.stored_fields().iter().map(|f| f.id).collect();
    let read = async |logs: &crate::model::SegmentLogs, fields: &[FieldId]| -> Result<Vec<RecordBatch>, StorageError> {
        read_columns(&store, IDS, logs, &schema, fields, 64).try_collect().await
    };

    let second = |field: i64| output.logs.field(FieldId(field))[1].id;
    let victim = LogPath::insert(IDS, FieldId(101), second(101));
    let good = store.get(&victim).await.unwrap();
    store.put(&victim, good.slice(..good.len() - 9)).await.unwrap();
    let error = read(&output.logs, &fields).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().starts_with(&format!("object {victim}: corrupt at byte ")), "{error}");
    let unharmed = read(&output.logs, &fields[..3]).await.unwrap();
    assert_eq!(unharmed.iter().map(RecordBatch::num_rows).sum::<usize>(), 300, "only wanted fields are fetched");

    // The first binlog in the place of the second: right in itself, but of another number of rows.
    let short = write(&store, &schema, StatsLayout::Flushed, 1 << 30, &[rows(&schema, 0, 7)], &[]).await.unwrap();
    let other = LogPath::insert(IDS, FieldId(101), short.logs.field(FieldId(101))[0].id);
    store.copy(&other, &victim).await.unwrap();
    let error = read(&output.logs, &fields).await.unwrap_err().to_string();
    assert!(error.ends_with("has more rows than the logs of other fields"), "{error}");

    store.delete(&victim).await.unwrap();
    let missing = read(&output.logs, &fields).await.unwrap_err();
    assert!(matches!(&missing, StorageError::NotFound { object } if *object == victim.to_string()), "{missing}");
    assert_eq!(missing.kind(), ErrorKind::Corrupt);

    let mut logs = output.logs.clone();
    logs.insert[1].1.pop();
    let error = read(&logs, &fields).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().starts_with("segment 3, field 1: "), "{error}");

    let of_stats = LogPath::stats(IDS, FieldId(100), output.logs.stats[0].1[0].id);
    for path in [LogPath::delta(IDS, output.logs.delta[0].id), of_stats] {
        store.put(&path, Bytes::from_static(b"{")).await.unwrap();
    }
    let delta = read_deletes(&store, IDS, &output.logs).await.unwrap_err();
    let stats = read_stats(&store, IDS, &output.logs).await.unwrap_err();
    assert_eq!((delta.kind(), stats.kind()), (ErrorKind::Corrupt, ErrorKind::Corrupt));
    assert!(stats.to_string().starts_with(&format!("object {of_stats}: ")), "{stats}");
}

use base64::{Engine, prelude::BASE64_STANDARD};
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    error::{Classify, ErrorKind},
    model::{DefaultValue, SegmentLevel},
};

const KEY: &str = "datacoord-meta/s/470597209892061324/470597209892061325/470597209892261333";

fn primary_key(kind: bool) -> BoxedStrategy<PrimaryKey> {
    if kind {
        any::<i64>().prop_map(PrimaryKey::Int).boxed()
    } else {
        ".{0,20}".prop_map(|s| PrimaryKey::Str(s.into())).boxed()
    }
}

fn pk_ranges() -> impl Strategy<Value = Option<PkRange>> {
    proptest::option::of(any::<bool>().prop_flat_map(|kind| {
        (primary_key(kind), primary_key(kind)).prop_map(|(a, b)| PkRange::of(a).union(PkRange::of(b)))
    }))
}

fn indexes() -> impl Strategy<Value = Box<[SegmentIndex]>> {
    let number = || 0..=i64::MAX as u64;
    let part =
        (number(), number(), any::<u32>()).prop_map(|(rows, bytes, checksum)| IndexPart { rows, bytes, checksum });
    let parts = proptest::collection::vec(part, 0..3);
    let index = (proptest::array::uniform4(any::<i64>()), parts).prop_map(|([index, field, build, version], parts)| {
        SegmentIndex { index, field: FieldId(field), build, version, parts }
    });
    proptest::collection::vec(index, 0..3).prop_map(Into::into)
}

fn cluster_ranges() -> impl Strategy<Value = Option<Box<ClusterRange>>> {
    let scalars = |kind: u8| match kind {
        0 => any::<i64>().prop_map(Scalar::Int).boxed(),
        1 => any::<f64>().prop_map(Scalar::Float).boxed(),
        _ => ".{0,20}".prop_map(|s| Scalar::Str(s.into())).boxed(),
    };
    proptest::option::of((0u8..3, any::<i64>()).prop_flat_map(move |(kind, field)| {
        (scalars(kind), scalars(kind)).prop_map(move |(a, b)| {
            let mut range = ClusterRange::of(FieldId(field), a);
            range.extend(b);
            Box::new(range)
        })
    }))
}

prop_compose! {
    fn segments()(
        ids in proptest::array::uniform3(0..=i64::MAX),
        state in prop_oneof![Just(SegmentState::Flushed), Just(SegmentState::Dropped), Just(SegmentState::Growing)],
        level in prop_oneof![Just(SegmentLevel::L0), Just(SegmentLevel::L1), Just(SegmentLevel::L2)],
        counts in proptest::array::uniform5(0..=i64::MAX as u64),
        delta_logs in any::<u32>(),
        times in proptest::array::uniform4(any::<u64>()),
        pk_range in pk_ranges(),
        cluster_range in cluster_ranges(),
        lists in proptest::array::uniform2(proptest::collection::vec(0..=i64::MAX, 0..4)),
        dropped_at_ms in 0..u64::MAX / NANOS_PER_MS,
        end_lsn in any::<u64>(),
        version in any::<u64>(),
        indexes in indexes(),
    ) -> Segment {
        let ids_of = |list: &[i64]| list.iter().copied().map(SegmentId).collect();
        Segment {
            id: SegmentId(ids[2]),
            group: Arc::new(Group {
                collection: CollectionId(ids[0]),
                partition: PartitionId(ids[1]),
                channel: Channel::new("by-dev-rootcoord-dml_3_7v1"),
            }),
            state,
            level,
            rows: counts[0],
            insert_bytes: counts[1],
            memory_bytes: counts[2],
            delta_rows: counts[3],
            delta_bytes: counts[4],
            delta_logs,
            delta_ts_from: Timestamp(times[0]),
            ts_from: Timestamp(times[1]),
            ts_to: Timestamp(times[2]),
            pk_range,
            cluster_range,
            compaction_from: ids_of(&lists[0]),
            compaction_to: ids_of(&lists[1]),
            expired_before: Timestamp(times[3]),
            dropped_at_ms,
            end_lsn: Lsn(end_lsn),
            version,
            indexes,
        }
    }
}

prop_compose! {
    fn log_files()(
        list in proptest::collection::vec((0..=i64::MAX, 0..=i64::MAX as u64, any::<u64>(), any::<u64>(), any::<Option<u32>>()), 0..3)
    ) -> Vec<LogFile> {
        list.into_iter().map(|(id, n, ts_from, ts_to, checksum)| LogFile {
            id: LogId(id), rows: n, ts_from: Timestamp(ts_from), ts_to: Timestamp(ts_to), bytes: n / 2, memory_bytes: n / 3,
            checksum,
        }).collect()
    }
}

proptest! {
    #[test]
    fn segment_round_trip(segment in segments()) {
        let key = key::segment(&segment.group, segment.id);
        let bytes = encode_segment(&segment);
        let read = decode_segment(&key, &bytes, &mut Groups::default()).unwrap();
        prop_assert_eq!(&read, &segment);
        prop_assert_eq!(encode_segment(&read), bytes);
    }

    #[test]
    fn logs_round_trip(files in log_files(), delta in log_files(), fields in 0usize..4) {
        let insert: Vec<_> = (0..fields).map(|f| (FieldId(100 + f as i64), files.clone())).collect();
        let logs = SegmentLogs { stats: insert.iter().take(1).cloned().collect(), insert, delta };
        prop_assert_eq!(decode_logs("k", &encode_logs(&logs)).unwrap(), logs);
    }

    /// Reading any bytes gives an error or a value, never a panic.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_segment(KEY, &bytes, &mut Groups::default());
        let _ = decode_logs(KEY, &bytes);
        let _ = decode_collection("datacoord/collection/0000000000000000001", &bytes);
        let _ = decode_plan("datacoord/plan/0000000000000000001/0000000000000000001", &bytes);
        let _ = decode_u64(KEY, &bytes);
    }
}

/// A value that Milvus 2.3.5 stored in etcd for a compacted segment.
#[test]
fn reads_a_segment_of_milvus() {
    let bytes = BASE64_STANDARD.decode(include_str!("../../../tests/golden/meta/milvus-2.3.5-segment.base64").trim());
    let expected: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/golden/meta/milvus-2.3.5-segment.json")).unwrap();
    let key = expected["key"].as_str().unwrap();
    let segment = decode_segment(key, &bytes.unwrap(), &mut Groups::default()).unwrap();
    assert_eq!(segment.id.0, expected["id"].as_i64().unwrap());
    assert_eq!(segment.group.channel.as_str(), expected["channel"].as_str().unwrap());
    assert_eq!(segment.rows, expected["rows"].as_u64().unwrap());
    assert_eq!(segment.state, SegmentState::Flushed);
    assert_eq!(segment.level, SegmentLevel::L1, "2.3.5 has no levels");
    let from: Vec<i64> = segment.compaction_from.iter().map(|id| id.0).collect();
    assert_eq!(serde_json::json!(from), expected["compaction_from"]);
    assert_eq!(segment.pk_range, None);
}

/// Records of earlier releases still read. Segments compare equal after decoding and encoding.
#[test]
fn reads_records_of_older_releases() {
    let hex = include_str!("../../../tests/golden/meta/segment-1.hex");
    let bytes = hex::decode(hex.split_whitespace().collect::<String>()).unwrap();
    let segment = decode_segment("datacoord-meta/s/7/8/9", &bytes, &mut Groups::default()).unwrap();
    assert_eq!(encode_segment(&segment), bytes);
    assert_eq!((segment.rows, segment.delta_logs, segment.version), (300, 2, 5));
    assert_eq!(segment.pk_range, Some(PkRange { min: PrimaryKey::Int(-1), max: PrimaryKey::Int(0) }));
    assert_eq!((segment.state, segment.dropped_at_ms), (SegmentState::Dropped, 1_700_000_000_123));
    assert_eq!(&*segment.compaction_to, [SegmentId(10)]);
    assert_eq!(&*segment.indexes, []);

    let hex = include_str!("../../../tests/golden/meta/segment-2.hex");
    let bytes = hex::decode(hex.split_whitespace().collect::<String>()).unwrap();
    let segment = decode_segment("datacoord-meta/s/7/8/9", &bytes, &mut Groups::default()).unwrap();
    assert_eq!(encode_segment(&segment), bytes);
    let part = IndexPart { rows: 290, bytes: 4096, checksum: 0x0403_0201 };
    let index = SegmentIndex { index: 55, field: FieldId(101), build: 66, version: 2, parts: vec![part] };
    assert_eq!(&*segment.indexes, [index]);
    assert_eq!(segment.expired_before, Timestamp::ZERO);

    let hex = include_str!("../../../tests/golden/meta/segment-3.hex");
    let bytes = hex::decode(hex.split_whitespace().collect::<String>()).unwrap();
    let segment = decode_segment("datacoord-meta/s/7/8/9", &bytes, &mut Groups::default()).unwrap();
    assert_eq!(encode_segment(&segment), bytes);
    assert_eq!(segment.expired_before, Timestamp(300));

    let bytes = include_bytes!("../../../tests/golden/meta/collection-1.json");
    let collection = decode_collection("datacoord/collection/0000000000000000007", bytes).unwrap();
    assert_eq!(collection.schema.primary_key().name, "id");
    assert_eq!(collection.schema.dynamic_field().map(|f| f.id), Some(FieldId(102)));
    assert_eq!(collection.ttl(), Some(std::time::Duration::from_secs(60)));

    assert!(!collection.is_truncated(SegmentId(1)));
    let written = encode_json("k", &collection).unwrap();
    assert!(!String::from_utf8_lossy(&written).contains("truncated"), "a default is not written");

    let bytes = include_bytes!("../../../tests/golden/meta/collection-3.json");
    let collection = decode_collection("datacoord/collection/0000000000000000007", bytes).unwrap();
    let first = SegmentId(470603386581681137);
    assert_eq!((collection.is_truncated(SegmentId(first.0 - 1)), collection.is_truncated(first)), (true, false));
    let written: serde_json::Value = serde_json::from_slice(&encode_json("k", &collection).unwrap()).unwrap();
    assert_eq!(written["truncated_before"], first.0);

    let bytes = include_bytes!("../../../tests/golden/meta/collection-2.json");
    let collection = decode_collection("datacoord/collection/0000000000000000007", bytes).unwrap();
    let default = |name: &str| collection.schema.field(name).unwrap().default_value.clone();
    assert_eq!(default("id"), None);
    for (name, value) in [
        ("flag", DefaultValue::Bool(true)),
        ("tiny", DefaultValue::Int(-128)),
        ("big", DefaultValue::Long(i64::MAX)),
        ("ratio", DefaultValue::Float(0.5)),
        ("exact", DefaultValue::Double(-0.25)),
        ("title", DefaultValue::Text("none".into())),
    ] {
        assert_eq!(default(name), Some(value), "{name}");
    }
    assert!(matches!(default("nan"), Some(DefaultValue::Float(value)) if value.is_nan()));
    let written: serde_json::Value = serde_json::from_slice(&encode_json("k", &collection).unwrap()).unwrap();
    let stored: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(written["schema"], stored["schema"], "the spelling of a stored schema has changed");

    let job = decode_job("datacoord/job/0000000000000000020", include_bytes!("../../../tests/golden/meta/job-1.json"));
    assert_eq!(job.unwrap().plans.len(), 6);
    let bytes = include_str!("../../../tests/golden/meta/user-1.json").trim().as_bytes();
    let user = decode_user("datacoord/user/reader", bytes).unwrap();
    assert_eq!(encode_json("k", &user).unwrap().as_ref(), bytes);
    assert_eq!((user.password.unwrap().memory_kib, user.roles.len()), (7168, 1));
    let bytes = include_str!("../../../tests/golden/meta/role-1.json").trim().as_bytes();
    let role = decode_role("datacoord/role/readers", bytes).unwrap();
    assert_eq!(encode_json("k", &role).unwrap().as_ref(), bytes);
    assert_eq!(role.grants.len(), 2);

    for line in include_str!("../../../tests/golden/meta/plans-1.jsonl").lines() {
        let plan: Plan = decode_json("k", line.as_bytes()).unwrap();
        assert_eq!(decode_plan(&key::plan(plan.job, plan.id), line.as_bytes()).unwrap(), plan);
        let written: serde_json::Value = serde_json::from_slice(&encode_json("k", &plan).unwrap()).unwrap();
        let stored: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(written, stored, "the spelling of a stored plan has changed");
    }
}

fn info() -> data::SegmentInfo {
    data::SegmentInfo {
        id: 470597209892261333,
        collection_id: 470597209892061324,
        partition_id: 470597209892061325,
        state: 4,
        ..Default::default()
    }
}

fn cluster() -> data::ClusterRange {
    data::ClusterRange { field_id: 101, ..Default::default() }
}

#[rstest]
#[case::other_id(data::SegmentInfo { id: 5, ..info() }, "of segment 470597209892061324/470597209892061325/5")]
#[case::no_state(data::SegmentInfo { state: 0, ..info() }, "state 0")]
#[case::importing(data::SegmentInfo { state: 7, ..info() }, "state 7")]
#[case::unknown_state(data::SegmentInfo { state: 99, ..info() }, "state 99")]
#[case::unknown_level(data::SegmentInfo { level: 9, ..info() }, "level 9")]
#[case::negative_rows(data::SegmentInfo { num_of_rows: -1, ..info() }, "num_of_rows -1")]
#[case::negative_bytes(data::SegmentInfo { delta_bytes: -3, ..info() }, "delta_bytes -3")]
#[case::too_many_logs(data::SegmentInfo { delta_log_count: 1 << 32, ..info() }, "delta_log_count 4294967296")]
#[case::half_a_range(data::SegmentInfo { min_int_pk: Some(1), ..info() }, "range")]
#[case::two_kinds(
    data::SegmentInfo { min_int_pk: Some(1), max_str_pk: Some("x".into()), ..info() }, "range"
)]
#[case::reversed(data::SegmentInfo { min_int_pk: Some(1), max_int_pk: Some(0), ..info() }, "1..=0")]
#[case::half_a_cluster_range(
    data::SegmentInfo { cluster_range: Some(data::ClusterRange { min_int: Some(1), ..cluster() }), ..info() }, "clustering"
)]
#[case::no_cluster_range(data::SegmentInfo { cluster_range: Some(cluster()), ..info() }, "clustering key is incomplete")]
#[case::two_cluster_ranges(
    data::SegmentInfo {
        cluster_range: Some(data::ClusterRange {
            min_int: Some(1), max_int: Some(1), min_float: Some(1.0), max_float: Some(1.0), ..cluster()
        }),
        ..info()
    },
    "of two kinds"
)]
#[case::reversed_cluster_range(
    data::SegmentInfo {
        cluster_range: Some(data::ClusterRange { min_str: Some("b".into()), max_str: Some("a".into()), ..cluster() }),
        ..info()
    },
    "\"b\"..=\"a\""
)]
fn refuses_segment(#[case] info: data::SegmentInfo, #[case] says: &str) {
    let error = decode_segment(KEY, &info.encode_to_vec(), &mut Groups::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.to_string();
    assert!(text.contains(KEY) && text.contains(says), "{text}");
}

#[test]
fn refuses_logs_that_are_not_aligned() {
    let field = |id, n| data::FieldBinlog { field_id: id, binlogs: vec![data::Binlog::default(); n] };
    let logs = data::SegmentLogs { binlogs: vec![field(0, 2), field(1, 2), field(100, 1)], ..Default::default() };
    let error = decode_logs("k", &logs.encode_to_vec()).unwrap_err();
    assert!(error.to_string().contains("field 100 has 1 insert logs, field 0 has 2"), "{error}");
}

/// `CollectionSchema::primary_key` indexes; a stored position must not be able to make it panic.
#[rstest]
#[case::out_of_range("\"primary\":9")]
#[case::not_a_key("\"primary\":1")]
fn refuses_a_collection_without_its_key(#[case] primary: &str) {
    let text = include_str!("../../../tests/golden/meta/collection-1.json");
    let compact: serde_json::Value = serde_json::from_str(text).unwrap();
    let text = compact.to_string().replace("\"primary\":0", primary);
    let error = decode_collection("datacoord/collection/0000000000000000007", text.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("primary key"), "{error}");
}

/// A message that Milvus wrote has no checksum. One of ours has a checksum, even if it is zero; Milvus skips the field.
#[test]
fn checksums_are_kept_beside_the_fields_of_milvus() {
    for (golden, checksum) in [
        (include_str!("../../../tests/golden/meta/logs-1.hex"), None),
        (include_str!("../../../tests/golden/meta/logs-2.hex"), Some(0xE306_9283)),
    ] {
        let bytes = hex::decode(golden.split_whitespace().collect::<String>()).unwrap();
        let logs = decode_logs("k", &bytes).unwrap();
        assert_eq!(encode_logs(&logs), bytes, "what an older release stored compares equal");
        let file = &logs.field(FieldId(100))[0];
        assert_eq!((file.id, file.rows, file.bytes, file.memory_bytes), (LogId(9), 3, 300, 24));
        assert_eq!(file.checksum, checksum);
        assert_eq!(logs.delta[0].checksum, checksum.map(|_| 0), "a checksum of zero is one");
    }
}

#[test]
fn segments_of_a_group_share_it() {
    let mut groups = Groups::default();
    let (c, p, q) = (CollectionId(1), PartitionId(2), PartitionId(3));
    let a = groups.intern(c, p, "ch_1v0");
    assert!(Arc::ptr_eq(&a, &groups.intern(c, p, "ch_1v0")));
    let other_channel = groups.intern(c, p, "ch_1v1");
    assert_ne!(a, other_channel);
    let other_partition = groups.intern(c, q, "ch_1v0");
    assert_ne!(a, other_partition);
    assert!(Arc::ptr_eq(&a.channel.0, &other_partition.channel.0), "one name per channel");
}

#[test]
fn a_user_under_another_name_is_damage() {
    let user = include_bytes!("../../../tests/golden/meta/user-1.json");
    let error = decode_user("datacoord/user/root", user).unwrap_err();
    assert!(error.to_string().contains("datacoord/user/root"), "{error}");
    let role = include_bytes!("../../../tests/golden/meta/role-1.json");
    assert!(decode_role("datacoord/role/admin", role).is_err());
}

//! The log as bytes: every prefix of it reads back the frames that it holds, and no damage goes unnoticed.

use std::{fs, path::Path, sync::Arc};

use arrow_array::{Float32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use proptest::prelude::*;

use super::{
    super::{DeleteOp, IngestError},
    disk,
    frame::{FrameHeader, FrameKind, FramePart},
    replay::{Frame, replay},
    *,
};
use crate::{
    kit::model as fixture,
    model::{Channel, CollectionId, Group, Lsn, PartitionId, PrimaryKey, SegmentId, Timestamp},
};

fn rows(first: i64, count: usize) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("0", DataType::Int64, false),
        Field::new("100", DataType::Utf8, false),
        Field::new("101", DataType::Float32, false),
    ]);
    let ids = Int64Array::from_iter_values(first..first + count as i64);
    let texts = StringArray::from_iter_values((0..count).map(|n| format!("row {}", first + n as i64)));
    let numbers = Float32Array::from_iter_values((0..count).map(|n| n as f32));
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(texts), Arc::new(numbers)]).unwrap()
}

fn group(partition: i64) -> Arc<Group> {
    Arc::new(fixture::group(7, partition, "by-dev-rootcoord-dml_0_7v0"))
}

/// A frame to write: rows per part, and keys to delete.
#[derive(Debug, Clone)]
struct Plan {
    parts: Vec<usize>,
    deletes: Vec<i64>,
}

fn encode(plan: &Plan) -> EncodedRecord {
    let inserts: Vec<_> =
        plan.parts.iter().enumerate().map(|(n, rows_)| (group(n as i64), rows(100, *rows_))).collect();
    let keys: Arc<[PrimaryKey]> = plan.deletes.iter().map(|k| PrimaryKey::Int(*k)).collect();
    let deletes = [DeleteOp { channel: Channel::new("c"), partition: None, keys, older_than: None }];
    EncodedRecord::write(CollectionId(7), &deletes, &inserts).unwrap()
}

/// Writes groups of frames, one sync per group; where each frame ends in its file (first position, end offset).
fn write(dir: &Path, groups: &[Vec<Plan>], roll_bytes: u64) -> Vec<(Lsn, u64)> {
    let replayed = replay(dir, |_| Ok(())).unwrap();
    let (mut file, mut offset) = (replayed.next, 0);
    let mut writer =
        LogWriter::begin(Box::new(DiskFiles::new(dir.to_owned())), replayed, roll_bytes, LogOwner::default()).unwrap();
    let mut ends = Vec::new();
    for group in groups {
        let frames: Vec<(Vec<u8>, EncodedRecord)> = group
            .iter()
            .enumerate()
            .map(|(n, plan)| {
                let record = encode(plan);
                let lsn = Lsn(writer.next().0 + n as u64);
                let parts = record.parts.iter().enumerate();
                let parts =
                    parts.map(|(n, p)| FramePart { segment: SegmentId(n as i64), rows: p.rows, bytes: p.bytes });
                let header = FrameHeader {
                    kind: record.kind,
                    lsn,
                    ts: Timestamp(lsn.0 * 10),
                    durable: writer.durable(),
                    preamble_bytes: record.preamble.len() as u32,
                    body_crc: record.crc,
                    parts: parts.collect(),
                };
                (header.encode().unwrap(), record)
            })
            .collect();
        let borrowed: Vec<(&[u8], &EncodedRecord)> = frames.iter().map(|(h, r)| (h.as_slice(), r)).collect();
        if offset >= roll_bytes {
            (file, offset) = (writer.next(), 0);
        }
        writer.commit(&borrowed).unwrap();
        for (header, record) in &frames {
            offset += header.len() as u64 + record.bytes();
            ends.push((file, offset));
        }
    }
    ends
}

/// Positions of the frames that are read, each checked against its plan.
fn read(dir: &Path, plans: &[Plan]) -> Result<(Vec<u64>, Option<TornTail>), IngestError> {
    let mut seen = Vec::new();
    let replayed = replay(dir, |Frame { header, preamble, parts, .. }| {
        let plan = &plans[header.lsn.0 as usize - 1];
        let Preamble::Write { collection, groups, deletes } = Preamble::decode(header.kind, &preamble)? else {
            return Err("not a write".to_owned());
        };
        assert_eq!((collection, groups.len(), header.ts.0), (CollectionId(7), plan.parts.len(), header.lsn.0 * 10));
        let keys: Vec<PrimaryKey> = plan.deletes.iter().map(|k| PrimaryKey::Int(*k)).collect();
        assert_eq!(deletes[0].keys.as_ref(), keys);
        for (bytes, count) in parts.into_iter().zip(&plan.parts) {
            assert_eq!(decode_rows(bytes)?, rows(100, *count));
        }
        seen.push(header.lsn.0);
        Ok(())
    })?;
    Ok((seen, replayed.torn))
}

fn plans() -> impl Strategy<Value = Vec<Vec<Plan>>> {
    let plan = (prop::collection::vec(0usize..20, 0..3), prop::collection::vec(any::<i64>(), 0..4))
        .prop_map(|(parts, deletes)| Plan { parts, deletes });
    prop::collection::vec(prop::collection::vec(plan, 1..4), 1..5)
}

fn last_file(dir: &Path) -> Lsn {
    *disk::list(dir).unwrap().last().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_prefix_has_exactly_the_frames_it_contains(groups in plans(), cut in any::<prop::sample::Index>()) {
        let dir = tempfile::tempdir().unwrap();
        let ends = write(dir.path(), &groups, 600);
        let all: Vec<Plan> = groups.concat();
        let last = last_file(dir.path());
        let path = disk::path(dir.path(), last);
        let len = fs::metadata(&path).unwrap().len();
        let keep = cut.index(len as usize + 1) as u64;
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(keep).unwrap();
        let expected: Vec<u64> = ends.iter().enumerate()
            .filter(|(_, (file, end))| *file < last || *end <= keep).map(|(n, _)| n as u64 + 1).collect();
        let (seen, torn) = read(dir.path(), &all).unwrap();
        prop_assert_eq!(&seen, &expected);
        let whole = ends.iter().filter(|(file, end)| *file == last && *end <= keep).map(|(_, end)| *end).max().unwrap_or(0);
        prop_assert_eq!(torn.map(|t| (t.offset, t.dropped_bytes)), (keep > whole).then_some((whole, keep - whole)));
        // The tail is gone for good, and the log goes on behind it.
        let (seen, torn) = read(dir.path(), &all).unwrap();
        prop_assert_eq!((&seen, torn), (&expected, None));
        let more = vec![Plan { parts: vec![3], deletes: vec![] }];
        write(dir.path(), std::slice::from_ref(&more), 600);
        let mut whole: Vec<Plan> = expected.iter().map(|n| all[*n as usize - 1].clone()).collect();
        whole.extend(more);
        let (seen, _) = read(dir.path(), &whole).unwrap();
        prop_assert_eq!(seen.len(), whole.len());
    }

    #[test]
    fn any_flipped_byte_is_noticed(
        groups in plans(),
        roll_bytes in prop::sample::select(vec![600u64, 1 << 20]),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let ends = write(dir.path(), &groups, roll_bytes);
        let all: Vec<Plan> = groups.concat();
        // Positions of the last group: only there can a bad frame be a torn write.
        let open = all.len() - groups.last().unwrap().len();
        let files = disk::list(dir.path()).unwrap();
        let sizes: Vec<u64> = files.iter().map(|f| fs::metadata(disk::path(dir.path(), *f)).unwrap().len()).collect();
        let mut at = at.index(sizes.iter().sum::<u64>() as usize) as u64;
        let mut file = 0;
        while at >= sizes[file] {
            at -= sizes[file];
            file += 1;
        }
        let path = disk::path(dir.path(), files[file]);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at as usize] ^= 1 << bit;
        fs::write(&path, bytes).unwrap();
        let hit = ends.iter().position(|(f, end)| *f == files[file] && at < *end).unwrap();
        match read(dir.path(), &all) {
            Err(IngestError::Corrupt { path: named, offset, .. }) => {
                prop_assert!(hit < open);
                let begin = if hit > 0 && ends[hit - 1].0 == files[file] { ends[hit - 1].1 } else { 0 };
                prop_assert_eq!((named, offset), (path, begin));
            }
            Ok((seen, torn)) => {
                prop_assert!(hit >= open && torn.is_some());
                prop_assert_eq!(seen.len(), hit);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn decoding_never_panics(kind in 1u32..6, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let kinds = [FrameKind::Write, FrameKind::Seal, FrameKind::Flushed, FrameKind::ForgetCollection, FrameKind::ForgetPartition];
        let _ = Preamble::decode(kinds[kind as usize - 1], &bytes);
        let _ = FrameHeader::decode(&bytes);
    }

    #[test]
    fn controls_survive(ids in prop::collection::vec(any::<i64>(), 0..5), which in 0..4) {
        let segments: Vec<SegmentId> = ids.iter().map(|i| SegmentId(*i)).collect();
        let control = match which {
            0 => Control::Seal(segments),
            1 => Control::Flushed(segments),
            2 => Control::ForgetCollection(CollectionId(ids.len() as i64)),
            _ => Control::ForgetPartition(CollectionId(-5), PartitionId(i64::MAX)),
        };
        let record = EncodedRecord::control(&control).unwrap();
        prop_assert_eq!(Preamble::decode(record.kind, &record.preamble), Ok(Preamble::Control(control)));
    }
}

#[test]
fn deletes_of_both_key_types_survive() {
    let op = |keys: Vec<PrimaryKey>, partition, older_than: Option<u64>| DeleteOp {
        channel: Channel::new("ch"),
        partition,
        keys: keys.into(),
        older_than: older_than.map(Timestamp),
    };
    let ops = vec![
        op(vec![PrimaryKey::Int(i64::MIN), PrimaryKey::Int(-1)], None, None),
        op(vec![PrimaryKey::Str("ü\0".into()), PrimaryKey::Str("".into())], Some(PartitionId(-3)), None),
        op(vec![PrimaryKey::Int(5)], None, Some(u64::MAX)),
        op(vec![PrimaryKey::Str("x".into())], Some(PartitionId(4)), Some(77)),
    ];
    let record = EncodedRecord::write(CollectionId(1), &ops, &[]).unwrap();
    let Ok(Preamble::Write { deletes, .. }) = Preamble::decode(record.kind, &record.preamble) else { panic!() };
    assert_eq!(deletes, ops);
}

/// Bodies that were written before a delete could have a timestamp of its own, byte by byte.
#[test]
fn deletes_of_older_logs_are_read() {
    let written = "0100000000000000 00000000 02000000 \
                   00 0000000000000000 02000000 6368 00 01000000 0700000000000000 \
                   01 fdffffffffffffff 02000000 6368 01 01000000 02000000 c3bc";
    let bytes = hex::decode(written.replace(' ', "")).unwrap();
    let Ok(Preamble::Write { collection, deletes, .. }) = Preamble::decode(FrameKind::Write, &bytes) else { panic!() };
    let op = |partition, key| DeleteOp { channel: Channel::new("ch"), partition, keys: [key].into(), older_than: None };
    let expected = [op(None, PrimaryKey::Int(7)), op(Some(PartitionId(-3)), PrimaryKey::Str("ü".into()))];
    assert_eq!((collection, &deletes[..]), (CollectionId(1), &expected[..]));
    // A delete without such a timestamp is written as it was then.
    assert_eq!(EncodedRecord::write(CollectionId(1), &expected, &[]).unwrap().preamble, bytes);
    let mut unknown = bytes;
    unknown[16] = 4;
    assert_eq!(Preamble::decode(FrameKind::Write, &unknown), Err("scope of a delete is unknown"));
}

#[test]
fn a_header_is_as_drawn() {
    let part = FramePart { segment: SegmentId(0x0102), rows: 3, bytes: 4 };
    let (lsn, ts, durable) = (Lsn(5), Timestamp(6), Lsn(4));
    let header =
        FrameHeader { kind: FrameKind::Flushed, lsn, ts, durable, preamble_bytes: 7, body_crc: 8, parts: vec![part] };
    let bytes = header.encode().unwrap();
    let drawn = "44435731 -------- 03000000 01000000 0500000000000000 0600000000000000 0400000000000000 \
                 07000000 08000000 0201000000000000 03000000 04000000";
    let drawn = drawn.replace(' ', "");
    assert_eq!(hex::encode(&bytes[..4]), drawn[..8]);
    assert_eq!(hex::encode(&bytes[8..]), drawn[16..]);
    assert_eq!(bytes[4..8], crc32c::crc32c(&bytes[8..]).to_le_bytes());
    assert_eq!(FrameHeader::decode(&bytes), Ok(header));
}

fn three_files() -> (tempfile::TempDir, Vec<Plan>) {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { parts: vec![10], deletes: vec![] };
    write(dir.path(), &[vec![plan.clone()], vec![plan.clone()], vec![plan.clone()]], 1);
    assert_eq!(disk::list(dir.path()).unwrap(), [Lsn(1), Lsn(2), Lsn(3)]);
    (dir, vec![plan; 3])
}

#[test]
fn a_missing_file_is_noticed_unless_it_is_the_oldest() {
    let (dir, plans) = three_files();
    fs::remove_file(disk::path(dir.path(), Lsn(1))).unwrap();
    assert_eq!(read(dir.path(), &plans).unwrap().0, [2, 3]);
    let (dir, plans) = three_files();
    fs::remove_file(disk::path(dir.path(), Lsn(2))).unwrap();
    let error = read(dir.path(), &plans).unwrap_err().to_string();
    assert!(error.contains("00000000000000000003.log") && error.contains("before 2"), "{error}");
}

#[test]
fn a_short_file_in_the_middle_is_corrupt() {
    let (dir, plans) = three_files();
    let path = disk::path(dir.path(), Lsn(2));
    let len = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len - 1).unwrap();
    let error = read(dir.path(), &plans).unwrap_err().to_string();
    assert!(error.contains("00000000000000000002.log is corrupt at offset 0: body is cut short"), "{error}");
}

#[test]
fn shrinking_removes_whole_files_below_the_mark_and_keeps_the_newest() {
    let (dir, _) = three_files();
    let replayed = replay(dir.path(), |_| Ok(())).unwrap();
    let mut writer =
        LogWriter::begin(Box::new(DiskFiles::new(dir.path().to_owned())), replayed, 1, LogOwner::default()).unwrap();
    assert_eq!(writer.shrink(Lsn(1)).unwrap(), 0);
    assert_eq!(writer.shrink(Lsn(3)).unwrap(), 2);
    assert_eq!(disk::list(dir.path()).unwrap(), [Lsn(3), Lsn(4)]);
    assert_eq!(writer.shrink(Lsn(u64::MAX)).unwrap(), 1);
    assert_eq!(writer.size(), (0, 1));
    drop(writer);
    assert_eq!(replay(dir.path(), |_| Ok(())).unwrap().next, Lsn(4), "positions go on though every frame is gone");
}

/// Sums protect a log from chance, not from a writer of other lengths.
#[test]
fn rows_with_any_wrong_byte_are_read_or_refused() {
    let record = EncodedRecord::write(CollectionId(7), &[], &[(group(8), rows(100, 3))]).unwrap();
    let bytes: Vec<u8> = record.slices().skip(1).flatten().copied().collect();
    assert_eq!(decode_rows(bytes.clone().into()).unwrap(), rows(100, 3));
    for at in 0..bytes.len() {
        for wrong in [0, 0x7F, 0xFF, bytes[at] ^ 0x80] {
            let mut changed = bytes.clone();
            changed[at] = wrong;
            let _ = decode_rows(changed.into());
        }
    }
}

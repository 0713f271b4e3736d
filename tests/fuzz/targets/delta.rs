//! Delta logs: the container as of insert logs, and deletes as JSON in it.

use bytes::Bytes;
use datacoord::{
    binlog::{BinlogError, DeltaReader, LogIds, decode_delta, encode_delta},
    config::BinlogConfig,
    model::{CollectionId, Delete, PartitionId, PrimaryKey, SegmentId, Timestamp},
};

/// A few bytes may hold millions of equal deletes.
const MOST_DELETES: usize = 20_000;
const IDS: LogIds = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(3) };

pub(super) fn run(input: &[u8]) {
    let Some(deletes) = read(Bytes::copy_from_slice(input)) else { return };
    match encode_delta(IDS, &deletes, &BinlogConfig::default(), 7) {
        Ok(written) => assert_eq!(decode_delta(written.bytes).expect("a log of our own"), deletes),
        // Logs of Milvus may have forms that ours never have.
        Err(BinlogError::Empty { .. } | BinlogError::TimeRange { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// None: damaged, or too long.
fn read(file: Bytes) -> Option<Vec<Delete>> {
    let len = file.len() as u64;
    let damaged = |error: BinlogError| {
        let BinlogError::Corrupt { offset, .. } = error else { panic!("{error}") };
        assert!(offset <= len, "damage at {offset} of {len} bytes");
    };
    let mut deletes = Vec::new();
    for part in DeltaReader::open(file).map_err(damaged).ok()? {
        deletes.extend(part.map_err(damaged).ok()?);
        if deletes.len() > MOST_DELETES {
            return None;
        }
    }
    Some(deletes)
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let int = |key, ts| Delete { key: PrimaryKey::Int(key), ts: Timestamp(ts) };
    let text = |key: &str, ts| Delete { key: PrimaryKey::Str(key.into()), ts: Timestamp(ts) };
    let logs = [vec![int(1, 5)], vec![int(i64::MIN, 1), int(7, u64::MAX)], vec![text("", 1), text("é\"\\\u{1}<", 9)]];
    logs.iter()
        .map(|log| encode_delta(IDS, log, &BinlogConfig::default(), 7).expect("deletes").bytes.to_vec())
        .collect()
}

//! Damaged files: decoders answer with rows or with an error that says where, and never panic.

use std::sync::LazyLock;

use bytes::Bytes;
use datacoord::{
    binlog::{BinlogError, InsertLog, decode_delta, decode_stats},
    error::{Classify, ErrorKind},
    model::{CollectionSchema, LogId},
    storage::{LogKind, LogPath},
};
use proptest::prelude::*;

use crate::manifest::Fixture;

/// Small files of all kinds and types.
static FILES: LazyLock<Vec<(LogPath, Bytes, CollectionSchema)>> = LazyLock::new(|| {
    let mut files = Vec::new();
    for (set, stage) in [("a_mixed", "before"), ("b_varchar", "before"), ("d_split", "after")] {
        let fixture = Fixture::load(set, stage);
        let first = fixture.segments[0].ids;
        let objects = fixture.objects().into_iter().filter(|(path, _)| path.ids() == Some(first));
        files.extend(objects.map(|(path, bytes)| (path, bytes, fixture.schema.clone())));
    }
    files
});

/// Reads everything a file holds.
fn decode(path: &LogPath, bytes: Bytes, schema: &CollectionSchema) -> Result<(), BinlogError> {
    match path.kind() {
        LogKind::Delta => decode_delta(bytes).map(drop),
        LogKind::Stats => decode_stats(&bytes, path.log() == LogId::COMPOUND_STATS).map(drop),
        LogKind::Insert => {
            let fields = schema.stored_fields();
            let field = fields.iter().find(|field| Some(field.id) == path.field()).unwrap();
            InsertLog::open(bytes)?.read(field, 500)?.try_for_each(|array| array.map(drop))
        }
        LogKind::Index => panic!("Milvus' index files are not read"),
    }
}

fn check(result: Result<(), BinlogError>, len: usize) -> Result<(), TestCaseError> {
    if let Err(error) = result {
        prop_assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", error);
        let BinlogError::Corrupt { offset, .. } = error else { return Ok(()) };
        prop_assert!(offset <= len as u64);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes(
        file in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        at_end in any::<bool>(),
    ) {
        let (path, bytes, schema) = file.get(&FILES);
        let mut bytes = bytes.to_vec();
        let len = bytes.len();
        for (at, value) in changes {
            // Headers and footers are a small part of the bytes and most of the structure.
            let at = if at_end { len - 1 - at.index(len.min(300)) } else { at.index(len) };
            bytes[at] = value;
        }
        check(decode(path, bytes.into(), schema), len)?;
    }

    #[test]
    fn missing_bytes(file in any::<prop::sample::Index>(), from in any::<prop::sample::Index>(), count in 1_usize..100) {
        let (path, bytes, schema) = file.get(&FILES);
        let from = from.index(bytes.len());
        let rest = bytes.get(from + count..).unwrap_or_default();
        let shorter = [&bytes[..from], rest].concat();
        prop_assume!(path.kind() != LogKind::Stats || !rest.is_empty());
        let len = shorter.len();
        let result = decode(path, shorter.into(), schema);
        prop_assert!(result.is_err() || path.kind() == LogKind::Stats, "{} from {}", path, from);
        check(result, len)?;
    }
}

#[test]
fn every_truncation_is_an_error() {
    for (path, bytes, schema) in FILES.iter().filter(|(_, bytes, _)| bytes.len() < 3000) {
        for len in 0..bytes.len() {
            let result = decode(path, bytes.slice(..len), schema);
            assert!(result.is_err(), "{path} cut to {len} of {} bytes", bytes.len());
        }
    }
}

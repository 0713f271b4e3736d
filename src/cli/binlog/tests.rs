use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{ArrayRef, Int64Array};
use rstest::rstest;
use serde_json::Value;

use super::{
    checked,
    files::{FoundFile, below},
    look::{Depth, LogReport, look},
};
use crate::{
    binlog::{InsertLogWriter, LogIds},
    config::BinlogConfig,
    model::{CollectionId, DataType, Field, FieldId, LogId, PartitionId, SegmentId, Timestamp},
    storage::LogKind,
};

/// Files of Milvus 2.3.5, with Milvus' own records of them.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/milvus-2.3.5");
const SETS: [&str; 5] = ["a_mixed", "b_varchar", "c_vec128", "d_split", "e_ttl"];

fn report(path: &Path, depth: Depth) -> LogReport {
    let found = below(path).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    look(&found[0], depth)
}

/// Every log that Milvus' records name and whose file is here.
fn recorded(stage: &Path, kind: &str) -> Vec<(PathBuf, Value)> {
    let manifest: Value = serde_json::from_slice(&fs::read(stage.join("manifest.json")).unwrap()).unwrap();
    let segments = manifest["segments"].as_array().unwrap().clone();
    let logs = segments.iter().flat_map(|segment| segment[kind].as_array().cloned().unwrap_or_default());
    logs.map(|log| (stage.join("store").join(log["path"].as_str().unwrap()), log))
        .filter(|(path, _)| path.exists())
        .collect()
}

#[test]
fn files_of_milvus_are_told_as_milvus_has_recorded_them() {
    let mut compared = 0;
    for set in SETS {
        for stage in ["before", "after"] {
            let stage = Path::new(GOLDEN).join(set).join(stage);
            for (path, log) in recorded(&stage, "insert_logs") {
                let report = report(&path, Depth::Headers);
                assert_eq!(report.damage, None, "{path:?}");
                assert_eq!((report.kind, report.field_id), ("insert", log["field"].as_i64()), "{path:?}");
                assert_eq!(report.rows, log["entries_num"].as_u64(), "{path:?}");
                assert_eq!(report.bytes, log["file_size"].as_u64().unwrap(), "{path:?}");
                assert_eq!(report.timestamp_from, Some(log["timestamp_from"].to_string()), "{path:?}");
                assert_eq!(report.timestamp_to, Some(log["timestamp_to"].to_string()), "{path:?}");
                compared += 1;
            }
            for (path, log) in recorded(&stage, "delta_logs") {
                let report = report(&path, Depth::Rows);
                assert_eq!((report.kind, report.rows, report.damage), ("delta", log["entries_num"].as_u64(), None));
                compared += 1;
            }
        }
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn whole_stores_of_milvus_are_without_damage() {
    for set in SETS {
        for stage in ["before", "after"] {
            let verdict = checked(&below(&Path::new(GOLDEN).join(set).join(stage)).unwrap());
            assert_eq!(verdict.damaged, 0, "{set} {stage}: {:#?}", verdict.damaged_files);
            assert!(verdict.logs > 0 && verdict.others >= 1, "{set} {stage}: the manifest is no log");
        }
    }
}

/// A copy of one log of `a_mixed` at its place in a store of its own.
struct Copied {
    _folder: tempfile::TempDir,
    store: PathBuf,
    log: PathBuf,
}

fn copied(kind: &str) -> Copied {
    let folder = tempfile::tempdir().unwrap();
    let stage = Path::new(GOLDEN).join("a_mixed/before");
    let original = below(&stage.join("store").join(kind)).unwrap()[0].path.clone();
    let log = folder.path().join(original.strip_prefix(stage.join("store")).unwrap());
    fs::create_dir_all(log.parent().unwrap()).unwrap();
    fs::copy(original, &log).unwrap();
    Copied { store: folder.path().to_owned(), _folder: folder, log }
}

fn damage(copy: &Copied) -> String {
    let verdict = checked(&below(&copy.store).unwrap());
    assert_eq!(verdict.damaged, 1, "{:#?}", verdict.damaged_files);
    verdict.damaged_files[0].damage.clone().unwrap()
}

#[rstest]
#[case("insert_log")]
#[case("delta_log")]
#[case("stats_log")]
fn a_log_that_is_cut_short_is_damaged(#[case] kind: &str) {
    let copy = copied(kind);
    assert_eq!(checked(&below(&copy.store).unwrap()).damaged, 0);
    let bytes = fs::read(&copy.log).unwrap();
    for len in [0, 2, 50, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&copy.log, &bytes[..len]).unwrap();
        assert!(!damage(&copy).is_empty(), "{kind} cut to {len}");
    }
}

#[test]
fn a_changed_page_is_found_by_verifying_alone() {
    let copy = copied("insert_log");
    let mut bytes = fs::read(&copy.log).unwrap();
    // The middle of a file is pages; headers and footer stay.
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(&copy.log, &bytes).unwrap();
    assert_eq!(report(&copy.log, Depth::Headers).damage, None);
    assert!(damage(&copy).contains("parquet"));
}

#[test]
fn a_log_under_another_segments_name_is_damaged() {
    let copy = copied("insert_log");
    let segment = copy.log.parent().unwrap().parent().unwrap();
    fs::rename(segment, segment.with_file_name("7")).unwrap();
    let text = damage(&copy);
    assert!(text.contains("its header names collection 470597209892061324"), "{text}");
}

#[test]
fn a_missing_log_of_one_field_shows_in_the_segment() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Path::new(GOLDEN).join("a_mixed/before/store");
    let all = below(&stage.join("insert_log")).unwrap();
    // It has two logs of each field.
    let segment = SegmentId(470_597_209_892_261_333);
    let of_segment: Vec<&FoundFile> = all.iter().filter(|found| found.object.unwrap().segment() == segment).collect();
    for found in &of_segment {
        let place = folder.path().join(found.path.strip_prefix(&stage).unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(&found.path, place).unwrap();
    }
    assert_eq!(checked(&below(folder.path()).unwrap()).damaged, 0);
    fs::remove_file(folder.path().join(of_segment[0].path.strip_prefix(&stage).unwrap())).unwrap();
    let verdict = checked(&below(folder.path()).unwrap());
    let told = verdict.damaged_files[0].damage.clone().unwrap();
    assert!(told.starts_with("its fields have different numbers of rows: field 0 1000, field 1 3000"), "{told}");
}

/// The statistics of one segment in place of those of another one.
#[test]
fn a_key_that_the_statistics_do_not_have_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Path::new(GOLDEN).join("a_mixed/before/store");
    let all = below(&stage).unwrap();
    let of_keys = |found: &&FoundFile| found.object.unwrap().field() == Some(FieldId(100));
    let (segment, other) = (SegmentId(470_597_209_892_261_333), SegmentId(470_597_209_892_461_373));
    let files: Vec<&FoundFile> = all.iter().filter(of_keys).collect();
    let (mut wrong, mut copied) = (None, 0);
    for found in files.iter().filter(|found| found.object.unwrap().segment() == segment) {
        let place = folder.path().join(found.path.strip_prefix(&stage).unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(&found.path, &place).unwrap();
        copied += 1;
        if found.object.unwrap().kind() == LogKind::Stats {
            wrong = Some(place);
        }
    }
    assert!(copied > 2, "{copied}");
    assert_eq!(checked(&below(folder.path()).unwrap()).damaged, 0);
    let of_segment = wrong.unwrap().parent().unwrap().to_owned();
    for found in below(&of_segment).unwrap() {
        fs::remove_file(found.path).unwrap();
    }
    let of_other = files.iter().find(|found| {
        let object = found.object.unwrap();
        object.kind() == LogKind::Stats && object.segment() == other && object.log() != LogId::COMPOUND_STATS
    });
    fs::copy(&of_other.unwrap().path, of_segment.join("7")).unwrap();
    let verdict = checked(&below(folder.path()).unwrap());
    let told = verdict.damaged_files[0].damage.clone().unwrap();
    assert!(told.starts_with("key ") && told.ends_with("is not in the statistics of its segment"), "{told}");
    assert!(verdict.damaged_files[0].path.ends_with("/470597209892261333"), "{verdict:?}");
}

#[test]
fn other_files_are_counted_and_links_to_folders_left_alone() {
    let copy = copied("stats_log");
    fs::write(copy.store.join("notes.txt"), "no log").unwrap();
    fs::write(copy.store.join("some.json"), "{\"a\": 1}").unwrap();
    std::os::unix::fs::symlink(&copy.store, copy.store.join("again")).unwrap();
    let verdict = checked(&below(&copy.store).unwrap());
    assert_eq!((verdict.logs, verdict.others, verdict.damaged), (1, 2, 0));
    assert!(below(&copy.store.join("missing")).is_err());
}

#[test]
fn statistics_tell_their_keys() {
    let copy = copied("stats_log");
    let report = report(&copy.log, Depth::Headers);
    assert_eq!((report.kind, report.field_id, report.data_type), ("stats", Some(100), Some("Int64")));
    let key = |text: Option<String>| text.unwrap().parse::<i64>().unwrap();
    assert!(key(report.key_min) <= key(report.key_max));
}

/// A log of row timestamps whose header has another range than its rows.
#[rstest]
#[case(5, 7, true)]
#[case(5, 6, false)]
#[case(6, 7, false)]
fn times_lie_inside_of_those_of_the_header(#[case] from: u64, #[case] to: u64, #[case] is_right: bool) {
    let ids = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(3) };
    let field = Field::new(FieldId(1), "Timestamp", DataType::Int64);
    let mut writer = InsertLogWriter::new(ids, &field, &BinlogConfig::default()).unwrap();
    let times: ArrayRef = Arc::new(Int64Array::from(vec![5, 6, 7]));
    writer.write(&times).unwrap();
    let log = writer.finish(Timestamp(from), Timestamp(to), 0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, &log.bytes).unwrap();
    let damage = report(&path, Depth::Rows).damage;
    assert_eq!(damage.is_none(), is_right, "{damage:?}");
    assert!(is_right || damage.unwrap().contains("outside of its header's"));
}

#[test]
fn keys_of_statistics_are_in_order() {
    let copy = copied("stats_log");
    let mut text: Value = serde_json::from_slice(&fs::read(&copy.log).unwrap()).unwrap();
    let entry = if text.is_array() { &mut text[0] } else { &mut text };
    let (min, max) = (entry["minPk"].clone(), entry["maxPk"].clone());
    assert_ne!(min, max);
    (entry["minPk"], entry["maxPk"]) = (max, min);
    fs::write(&copy.log, text.to_string()).unwrap();
    assert!(damage(&copy).contains("smallest key"));
}

//! Every fuzz target on the stable compiler: its seeds, its kept inputs, and changes of both that follow from a number.
//!
//! `FUZZ_INPUTS` tries more changes than usual, `FUZZ_SEED` others. docs/guides/fuzz.md has the long way, with coverage.

#[path = "../kit/mod.rs"]
mod kit;
mod mutate;
mod targets;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arrow_array::{Array as _, ArrayRef, StringArray};
use datacoord::{
    binlog::{InsertLog, InsertLogWriter, LogIds},
    config::BinlogConfig,
    model::{CollectionId, DataType, Field, PartitionId, SegmentId, Timestamp},
};
use kit::numbers::Numbers;
use rstest::rstest;
use targets::{ALL, Target};

/// Only one target runs at a time: memory is counted for the whole process.
static TURN: Mutex<()> = Mutex::new(());

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn kept(target: Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target.name)
}

/// Inputs that once failed, or that reach code which the seeds do not reach.
fn corpus(target: Target) -> Vec<Vec<u8>> {
    let Ok(files) = fs::read_dir(kept(target)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Writes an input that failed where `cargo fuzz` finds it too.
fn keep(target: Target, input: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("{}-{:08x}", target.name, crc32c::crc32c(input)));
    fs::write(&path, input).unwrap();
    path
}

fn check(target: Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target.check(input))) {
        eprintln!("the input is in {}", keep(target, input).display());
        resume_unwind(panic);
    }
}

#[rstest]
fn any_bytes_end_well(
    #[values(
        "insert",
        "delta",
        "statistics",
        "log",
        "catalog",
        "expression",
        "configuration",
        "json",
        "definitions",
        "rows",
        "rest"
    )]
    name: &str,
) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let target = targets::named(name);
    target.prepare();
    let mut inputs = (target.seeds)();
    inputs.extend(corpus(target));
    inputs.iter().for_each(|input| check(target, input));
    // A log costs directories and syncs, a call a walk through a server.
    let usual = if ["log", "rest", "configuration"].contains(&name) { 300 } else { 4000 };
    let mut numbers = Numbers::of(setting("FUZZ_SEED", 1), &[crc32c::crc32c(name.as_bytes()).into()]);
    for _ in 0..setting("FUZZ_INPUTS", usual) {
        check(target, &mutate::changed(&mut numbers, &inputs));
    }
}

/// The header of a page of 2 MB, damaged so that it claims 128 MB: the decoder would set them aside.
#[test]
fn a_damaged_page_header_sets_no_memory_aside() {
    const ROWS: usize = 32;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let field = Field { max_length: Some(65_535), ..kit::model::field(100, "text", DataType::VarChar) };
    let texts = StringArray::from_iter_values((0..ROWS).map(|row| format!("{row}{}", "x".repeat(60_000))));
    let ids = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(3) };
    let config = BinlogConfig { page_bytes: 4 << 20, ..BinlogConfig::default() };
    let mut writer = InsertLogWriter::new(ids, &field, &config).unwrap();
    writer.write(&(Arc::new(texts) as ArrayRef)).unwrap();
    let mut file = writer.finish(Timestamp(1), Timestamp(2), 7).unwrap().bytes.to_vec();
    let read = |file: &[u8]| {
        let log = InsertLog::open(bytes::Bytes::copy_from_slice(file)).unwrap();
        log.read(&field, ROWS).unwrap().collect::<Result<Vec<_>, _>>()
    };
    assert_eq!(read(&file).unwrap().iter().map(|array| array.len()).sum::<usize>(), ROWS);
    // Type and size are the first fields of a header. The size has four bytes.
    let header = file.windows(4).position(|four| four == b"PAR1").unwrap() + 4;
    assert_eq!((file[header], file[header + 2], file[header + 6] & 0x80), (0x15, 0x15, 0));
    assert!(file[header + 3..header + 6].iter().all(|byte| byte & 0x80 != 0), "a size of four bytes");
    file[header + 3..header + 7].copy_from_slice(&[0xFE, 0xFF, 0xFF, 0x7F]);
    let watch = targets::memory::Watch::begin();
    let error = read(&file).unwrap_err().to_string();
    let held = watch.peak();
    assert!(error.contains("claims 134217727 bytes"), "{error}");
    assert!(held < 8 << 20, "{held} bytes were held");
}

#[test]
fn every_target_has_a_test_and_a_program() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    let tests = include_str!("main.rs");
    for target in ALL {
        assert!(tests.contains(&format!("\"{}\"", target.name)), "{} is not run here", target.name);
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{} has no program", target.name);
    }
}

/// The programs of `cargo fuzz` are not a part of the workspace, so no build of it notices that their lock is old.
#[test]
fn the_lock_of_the_programs_has_every_dependency() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read_to_string(root.join("fuzz/Cargo.lock")).unwrap();
    let own = lock.split("[[package]]").find(|package| package.contains("name = \"datacoord\"\n")).unwrap();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for section in ["[dependencies]", "[build-dependencies]"] {
        let (_, list) = manifest.split_once(&format!("\n{section}\n")).unwrap();
        let lines = list.lines().take_while(|line| !line.starts_with('['));
        let names = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
        for (name, _) in names {
            assert!(
                own.contains(&format!("\"{name}")),
                "{name}: cargo update --workspace in fuzz/ brings the lock up to date"
            );
        }
    }
}

/// Where `cargo fuzz` begins; `make fuzz` runs this first.
#[test]
#[ignore = "writes files: run by make fuzz"]
fn seeds_are_written() {
    for target in ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target.name);
        fs::create_dir_all(&folder).unwrap();
        for input in (target.seeds)().iter().chain(&corpus(target)) {
            fs::write(folder.join(format!("{:08x}", crc32c::crc32c(input))), input).unwrap();
        }
    }
}

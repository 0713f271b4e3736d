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
    sync::{Mutex, PoisonError},
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

/// Inputs that once failed, or that reach what the seeds do not.
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

#[test]
fn every_target_has_a_test_and_a_program() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    let tests = include_str!("main.rs");
    for target in ALL {
        assert!(tests.contains(&format!("\"{}\"", target.name)), "{} is not run here", target.name);
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{} has no program", target.name);
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

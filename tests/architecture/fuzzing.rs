//! The programs of `cargo fuzz` compile the targets and the kit with crates of their own list, and the main build never
//! compiles them: a crate that is missing there would be noticed when somebody wants to fuzz.

use std::{collections::BTreeSet, fs, path::Path};

use super::rust_files;

/// Names that are in scope in every crate.
const NOT_LISTED: &[&str] = &["std", "core", "alloc", "crate", "self", "super"];

#[test]
fn the_programs_of_cargo_fuzz_have_every_crate_of_the_kit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["tests/kit", "tests/fuzz/targets"] {
        rust_files(&root.join(folder), &mut files);
    }
    let texts: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let used: BTreeSet<&str> = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| {
            line.trim_start().strip_prefix("use ")?.split(|c: char| !c.is_alphanumeric() && c != '_').next()
        })
        .filter(|name| !NOT_LISTED.contains(name))
        .collect();
    assert!(used.len() > 5, "the search finds nothing: {used:?}");
    let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
    let listed: BTreeSet<String> =
        manifest.lines().filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_"))).collect();
    let missing: Vec<_> = used.iter().filter(|name| !listed.contains(**name)).collect();
    assert!(missing.is_empty(), "fuzz/Cargo.toml lacks {missing:?}");
}

//! Holds docs/reliability.md to its word: every test that it names exists.
//!
//! A name of a test is a word in backticks of small letters, digits and at least two underscores. The table of planted
//! faults is left out: its generator has run the tests it names.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Around the part that is generated.
const GENERATED: (&str, &str) = ("<!-- planted faults: begin -->", "<!-- planted faults: end -->");

/// The document without its generated part.
fn written(text: &str) -> String {
    let (begin, end) = GENERATED;
    match (text.split_once(begin), text.split_once(end)) {
        (Some((before, _)), Some((_, after))) => format!("{before}{after}"),
        _ => text.to_owned(),
    }
}

/// Names of tests in a document.
fn named(text: &str) -> BTreeSet<&str> {
    let is_name = |word: &str| {
        word.matches('_').count() >= 2 && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    // Every second piece stands between backticks.
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|word| is_name(word)).collect()
}

/// Names of the tests in a file: functions below an attribute that says so, and those of Python that begin so.
fn tests_of(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        let name = |line: &str| line.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        if ["#[test]", "#[tokio::test", "#[rstest]"].iter().any(|attribute| line.starts_with(attribute)) {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")) {
            if std::mem::take(&mut is_test) {
                found.insert(name(rest));
            }
        } else if let Some(rest) = line.strip_prefix("def test_") {
            found.insert(format!("test_{}", name(rest)));
        }
    }
    found
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs" || e == "py") {
            into.push(path);
        }
    }
}

#[test]
fn every_test_that_the_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["src", "tests"] {
        files(&root.join(folder), &mut sources);
    }
    let tests: BTreeSet<String> =
        sources.iter().flat_map(|file| tests_of(&fs::read_to_string(file).unwrap())).collect();
    assert!(tests.len() > 500, "the search finds too few tests: {}", tests.len());
    let document = written(&fs::read_to_string(root.join("docs/reliability.md")).unwrap());
    let names = named(&document);
    assert!(names.len() > 50, "the document names too few tests: {}", names.len());
    let missing: Vec<&&str> = names.iter().filter(|name| !tests.contains(**name)).collect();
    assert!(missing.is_empty(), "docs/reliability.md names tests that don't exist: {missing:#?}");
}

#[test]
fn names_and_tests_are_told_from_other_words() {
    let text = "`a_first_test` and `is_one`, `not.a_test_name`, a_bare_name, `Upper_case_name`\n`b_2_c`";
    assert_eq!(named(text), BTreeSet::from(["a_first_test", "b_2_c"]));
    let (begin, end) = GENERATED;
    let document = format!("`a_b_c`{begin}`d_e_f`{end}`g_h_i`");
    assert_eq!(named(&written(&document)), BTreeSet::from(["a_b_c", "g_h_i"]));
    let source = "#[test]\nfn one() {}\nfn helper() {}\n#[tokio::test(start_paused = true)]\nasync fn two() {}\n\
                  #[rstest]\n#[case(1)]\nfn three(#[case] n: u8) {}\ndef test_four():\n    pass";
    assert_eq!(tests_of(source), ["one", "test_four", "three", "two"].map(str::to_owned).into());
}

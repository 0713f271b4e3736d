//! Holds the direction of dependencies: a module uses only modules of rows above its own, and in its own row only what
//! is drawn here. Reads the source text; every path that begins with `crate::` counts.

mod fuzzing;
mod imports;
mod names;
mod reliability;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Modules by row, from pure to wired.
const ROWS: &[&[&str]] = &[
    &[
        "fault",
        "model",
        "error",
        "fence",
        "clock",
        "machine",
        "background",
        "memory",
        "connections",
        "config",
        "tls",
        "telemetry",
    ],
    &["planner", "binlog", "graph", "json", "wire", "ids"],
    &["storage", "meta"],
    &["ingest", "query", "compactor"],
    &["scheduler", "coordinator"],
    &["access"],
    &["standalone"],
    &["grpc", "http", "client"],
    &["server", "cli"],
];

/// Fixtures of tests: no part of the product, compiled into test builds only.
const FIXTURES: &str = "kit";

/// Uses inside one row.
const SIDEWAYS: &[(&str, &str)] = &[
    ("model", "error"),
    ("model", "fault"),
    ("fence", "fault"),
    ("memory", "fault"),
    ("clock", "fault"),
    ("background", "machine"),
    ("fence", "error"),
    ("config", "error"),
    ("memory", "error"),
    ("tls", "config"),
    ("connections", "config"),
    ("connections", "tls"),
    ("telemetry", "config"),
    ("telemetry", "error"),
    ("wire", "json"),
    ("coordinator", "scheduler"),
    ("cli", "server"),
];

/// Uses that the rows allow and that must not be: the DataCoord sees unflushed rows through its own trait, and reads
/// belong to the room above it. The edges ask the planner and the queries through the rooms that own them.
const FORBIDDEN: &[(&str, &str)] = &[
    ("coordinator", "ingest"),
    ("coordinator", "query"),
    ("grpc", "planner"),
    ("grpc", "query"),
    ("http", "planner"),
    ("http", "query"),
];

/// Uses that only test files have: they start a whole process, and look at it as a client.
const IN_TESTS: &[(&str, &str)] =
    &[("coordinator", "standalone"), ("coordinator", "query"), ("access", "standalone"), ("http", "grpc")];

/// Modules that only some may use, although they are above: generated protocol types go no further.
const RESTRICTED: &[(&str, &[&str])] = &[("wire", &["meta", "grpc", "http", "client", "server", "cli"])];

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// Why `from` must not use `to`, if it must not.
fn objection(from: &str, to: &str) -> Option<String> {
    if from == to {
        return None;
    }
    let (Some(own), Some(other)) = (row(from), row(to)) else {
        return Some(format!("{to} is not on the map"));
    };
    if let Some((_, users)) = RESTRICTED.iter().find(|(module, _)| *module == to)
        && !users.contains(&from)
    {
        return Some(format!("{to} is for {} only", users.join(", ")));
    }
    if FORBIDDEN.contains(&(from, to)) {
        return Some(format!("{from} must not use {to}"));
    }
    if other < own || (other == own && SIDEWAYS.contains(&(from, to))) {
        return None;
    }
    Some(format!("{from} is in row {own}, {to} in row {other}"))
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// First path segments after `crate::` in the code of a file; comments don't count.
fn uses(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` and `foo_crate::` are something else.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(first_names_of_list(list)),
            None => found.extend([identifier(rest)]),
        }
    }
    found.retain(|name| !name.is_empty() && name != FIXTURES);
    found
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The names that begin the entries of `{a::b, c::{d, e}, f}`; `text` starts behind the first brace.
fn first_names_of_list(text: &str) -> Vec<String> {
    let (mut depth, mut names, mut at_start) = (0, Vec::new(), true);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if depth == 0 && at_start && !c.is_whitespace() => {
                names.push(identifier(&text[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

/// By the rule of places for tests: `foo/tests.rs`, or a file in a folder `tests`.
fn is_tests(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem == "tests") || file.iter().any(|folder| folder == "tests")
}

/// Every use in `src/`: (module, used module) -> files.
fn all_uses() -> BTreeMap<(String, String), Vec<String>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap();
        let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if module == "lib" || module == "main" {
            continue;
        }
        for used in uses(&fs::read_to_string(&file).unwrap()) {
            if is_tests(relative) && IN_TESTS.contains(&(module.as_str(), used.as_str())) {
                continue;
            }
            all.entry((module.clone(), used)).or_default().push(relative.display().to_string());
        }
    }
    all
}

#[test]
fn modules_use_only_rows_above_them() {
    let all = all_uses();
    assert!(all.contains_key(&("cli".to_owned(), "server".to_owned())), "the search finds nothing: {all:?}");
    let broken: Vec<String> = all
        .iter()
        .filter_map(|((from, to), files)| Some(format!("{} ({})", objection(from, to)?, files.join(", "))))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// A change of the catalog and of memory is one step. A commit elsewhere could forget the second half. Others may
/// commit in two cases: the start, before anything is in memory, and the marks of the store's owner, which are not kept
/// in memory.
#[test]
fn only_steps_commit_to_the_catalog() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let commits = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        let mut code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        // Of a transaction: a commit of a step has arguments.
        code.any(|line| line.contains(".commit()"))
    };
    let found: BTreeSet<String> = files
        .iter()
        .filter(|file| {
            !file.starts_with(src.join("meta")) && !is_tests(file.strip_prefix(&src).unwrap()) && commits(file)
        })
        .map(|file| file.strip_prefix(&src).unwrap().display().to_string())
        .collect();
    let allowed = ["coordinator/ownership.rs", "coordinator/start.rs", "coordinator/steps.rs", "standalone/start.rs"];
    assert_eq!(found, BTreeSet::from(allowed.map(str::to_owned)));
}

#[test]
fn every_module_is_on_the_map() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .filter(|module| *module != FIXTURES)
        .collect();
    let mapped: BTreeSet<&str> = ROWS.iter().flat_map(|row| row.iter().copied()).collect();
    assert_eq!(declared, mapped);
}

#[test]
fn the_rules_can_be_broken() {
    for (from, to) in [
        ("model", "config"),
        ("planner", "wire"),
        ("planner", "storage"),
        ("compactor", "wire"),
        ("ingest", "query"),
        ("coordinator", "ingest"),
        ("coordinator", "query"),
        ("coordinator", "standalone"),
        ("scheduler", "coordinator"),
        ("grpc", "http"),
        ("grpc", "planner"),
        ("http", "query"),
        ("server", "cli"),
        ("meta", "nowhere"),
    ] {
        assert!(objection(from, to).is_some(), "{from} -> {to}");
    }
    for (from, to) in [("cli", "server"), ("coordinator", "scheduler"), ("http", "wire"), ("meta", "model")] {
        assert_eq!(objection(from, to), None, "{from} -> {to}");
    }
}

#[test]
fn paths_are_found_in_every_form() {
    let text = "use crate::{\n    error::{Classify, ErrorKind},\n    model::Plan,\n    wire,\n};\nuse crate::meta::Key;\n\
                // crate::comment::x\nfn f() { crate::clock::now(); $crate::x!(); my_crate::y(); }";
    let found: Vec<String> = uses(text).into_iter().collect();
    assert_eq!(found, ["clock", "error", "meta", "model", "wire"]);
}

/// In a circle no file can be understood, tested or moved without the others.
#[test]
fn no_folder_is_a_circle() {
    let arrows = imports::Crate::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).arrows();
    assert!(arrows.len() > 300, "the search finds nothing: {}", arrows.len());
    let circles = imports::circles(&arrows);
    let text: String = circles.iter().map(ToString::to_string).collect();
    assert!(circles.is_empty(), "{} circles\n{text}", circles.len());
}

fn crate_of(files: &[(&str, &str)]) -> imports::Crate {
    let module = |path: &str| path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
    imports::Crate::parse(&files.iter().map(|(path, text)| (module(path), (*text).to_owned())).collect())
}

#[test]
fn arrows_go_to_the_file_that_defines_an_item() {
    let found = crate_of(&[
        ("", "pub mod a; pub mod b;"),
        ("a", "mod inner; mod other; pub use inner::{Inner, helper as help}; pub struct Own;"),
        ("a::inner", "pub struct Inner; pub fn helper() {} use super::other::*; type T = Far;"),
        ("a::other", "pub struct Far; // crate::b::Comment\nconst TEXT: &str = \"crate::b::Text\";"),
        (
            "b",
            "use crate::a::{self, Inner}; fn f(x: a::Own) { crate::a::help(); a::Inner; '\"'; r#\"crate::c\"#; }\n\
               #[cfg(test)] use crate::a::inner::Inner as _; #[cfg(test)] mod tests;",
        ),
        ("b::tests", "use crate::a::other::Far;"),
    ])
    .arrows();
    let found: Vec<String> = found
        .iter()
        .map(|((from, to), names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("{} -> {}: {}", from.join("::"), to.join("::"), names.join(" "))
        })
        .collect();
    assert_eq!(found, ["a::inner -> a::other: *", "b -> a: Own", "b -> a::inner: Inner helper"]);
}

#[test]
fn circles_are_found_between_files_and_between_folders() {
    let files = |second: &'static str| {
        crate_of(&[
            ("", ""),
            ("x", "mod one; mod two;"),
            ("x::one", "mod deep; pub struct One; use super::two::Two;"),
            ("x::one::deep", "pub struct Deep; mod m { use super::super::super::two::Two; }"),
            ("x::two", second),
        ])
    };
    assert_eq!(imports::circles(&files("pub struct Two;").arrows()), []);
    let circles = imports::circles(&files("pub struct Two(super::one::deep::Deep);").arrows());
    let text: Vec<String> = circles.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 1, "{text:?}");
    assert!(text[0].starts_with("x: one -> two -> one\n"), "{text:?}");
    assert!(text[0].contains("x::two uses x::one::deep: Deep"), "{text:?}");
}

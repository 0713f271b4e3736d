//! Names of types: each is used once, so that a reader who meets it knows it without looking at the imports.
//!
//! Types of tests don't count. They are used in the file that defines them, and nearly every suite has its `World`.

use std::{collections::BTreeMap, fs, path::Path};

use super::{is_tests, rust_files};

/// Names that say nothing without their module.
const BARE: &[&str] = &["Backend", "Draft", "Execution", "Failure", "Held", "Meter", "Refusal", "State", "Verdict"];

/// The types that a file defines, those of its tests left out. An indented `type` belongs to an `impl`.
fn types(text: &str) -> Vec<&str> {
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines().filter_map(type_of).collect()
}

fn type_of(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let code = match code.strip_prefix("pub(") {
        Some(scoped) => scoped.split_once(") ")?.1,
        None => code.strip_prefix("pub ").unwrap_or(code),
    };
    let is_nested = line.starts_with(' ');
    let (keyword, rest) = code.split_once(' ')?;
    let defines = matches!(keyword, "struct" | "enum" | "trait" | "union") || (keyword == "type" && !is_nested);
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    // A macro writes `struct $name`.
    (defines && !name.is_empty()).then_some(name)
}

/// Every name of a type in `src`, with its files.
fn all() -> BTreeMap<String, Vec<String>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let relative = file.strip_prefix(&src).unwrap();
        if is_tests(relative) {
            continue;
        }
        for name in types(&fs::read_to_string(&file).unwrap()) {
            all.entry(name.to_owned()).or_default().push(relative.display().to_string());
        }
    }
    all
}

#[test]
fn no_type_name_stands_for_two_things() {
    let all = all();
    assert!(all.len() > 600, "the search finds nothing: {}", all.len());
    let twice: Vec<String> = all
        .iter()
        .filter(|(_, files)| files.len() > 1)
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert!(twice.is_empty(), "{}", twice.join("\n"));
    let bare: Vec<_> = BARE.iter().filter(|name| all.contains_key(**name)).collect();
    assert!(bare.is_empty(), "{bare:?}");
}

#[test]
fn definitions_are_found_in_every_form() {
    let text = "pub struct A;\n/// struct B\nenum C<'a> {\npub(in crate::x) trait D: Send {\n    type E = u8;\n\
                pub(super) type F = u8;\nfn f() {\n    struct G;\nstruct $name {\nlet structure = 1;\n\
                #[cfg(test)]\nmod tests {\nstruct H;\n";
    assert_eq!(types(text), ["A", "C", "D", "F", "G"]);
}

//! Settings written as a `milvus.yaml`. Masks secrets, except the published defaults of the example.

use std::fmt::Write as _;

use super::{key::Key, keys::KEYS, raw::RawConfig, setting::Setting};

/// Writes keys with values as YAML, nested by the dots of their names; `note` gives the lines above and the remark
/// behind each value.
pub fn render<'a>(entries: impl Iterator<Item = (&'a Key, String, Note)>) -> String {
    let mut out = String::new();
    let mut open: Vec<&str> = Vec::new();
    for (key, value, note) in entries {
        let parts: Vec<&str> = key.name.split('.').collect();
        let Some((leaf, sections)) = parts.split_last() else { continue };
        let shared = open.iter().zip(sections).take_while(|(a, b)| a == b).count();
        open.truncate(shared);
        for section in &sections[shared..] {
            if open.is_empty() && !out.is_empty() {
                out.push('\n');
            }
            let _ = writeln!(out, "{:indent$}{section}:", "", indent = open.len() * 2);
            open.push(section);
        }
        let indent = open.len() * 2;
        for line in note.above {
            let _ = writeln!(out, "{:indent$}# {line}", "");
        }
        let remark = if note.behind.is_empty() { String::new() } else { format!("  # {}", note.behind) };
        let _ = writeln!(out, "{:indent$}{leaf}: {value}{remark}", "");
    }
    out
}

/// Comments of one rendered key.
#[derive(Debug, Default)]
pub struct Note {
    pub above: Vec<String>,
    pub behind: String,
}

/// The text of `milvus.yaml.example`: every key with its default, its unit and a sentence.
pub fn example() -> String {
    let draft = RawConfig::default();
    let mut out = String::from(
        "# Every key that datacoord knows, with its default. All of them may be left out.\n\
         #\n\
         # Keys that Milvus 2.3.5 has mean here what they mean there, in the same unit, so its own milvus.yaml works;\n\
         # its other sections are ignored. Keys under `datacoord:` are ours, and a misspelt one is refused.\n\
         #\n\
         # Each can also be set by a variable of the environment, which wins over this file:\n\
         # DATACOORD__SEGMENT__MAXSIZE, DATACOORD__WAL__MAXSIZE, DATACOORD__MINIO__ADDRESS, or, as in Milvus,\n\
         # MINIO_ADDRESS. A size may carry a unit (64MB, 2GB), a time too (500ms, 10m, 1h).\n\n",
    );
    out += &render(KEYS.iter().map(|key| {
        let note = Note { above: vec![format!("{} ({})", key.doc, key.limits())], behind: String::new() };
        // The defaults of the credentials are Milvus' published ones, not secrets.
        let setting = match (key.get)(&draft) {
            Setting::Secret(published) => Setting::Text(published.expose().to_owned()),
            setting => setting,
        };
        (key, setting.yaml(key.unit), note)
    }));
    out
}

//! Keys as Milvus' `milvus.yaml` (2.3.5) spells them, and the way between them and the typed settings. The table itself
//! is in `keys`; no other place knows a name, a unit or a range.
//!
//! Names are compared as Milvus compares them: without case, dots and underscores. That is why a variable of the
//! environment can name a key (`DATACOORD_SEGMENT_MAXSIZE`), and why no two keys here may differ only in those.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

pub use super::keys::KEYS;
use super::{
    Config, LoadError, S3Config, StorageKind,
    setting::{Setting, Unit},
};

/// Settings while layers are applied: the typed ones, and those that only make sense together.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    pub config: Config,
    pub storage: StorageDraft,
}

/// The storage keys side by side; [`Draft::finish`] chooses.
#[derive(Clone)]
pub struct StorageDraft {
    /// `local`, `minio` or `remote` (the same thing under two names).
    pub kind: String,
    /// Empty: `files` below the data directory.
    pub local_path: String,
    pub address: String,
    pub port: u64,
    /// Whether some layer says whether it is HTTPS.
    pub names_ssl: bool,
    /// Its endpoint stays empty until [`Draft::finish`].
    pub s3: S3Config,
}

impl Default for StorageDraft {
    fn default() -> Self {
        Self {
            kind: "local".to_owned(),
            local_path: String::new(),
            address: "localhost".to_owned(),
            port: 9000,
            names_ssl: false,
            s3: S3Config {
                endpoint: String::new(),
                bucket: "a-bucket".to_owned(),
                root_path: "files".to_owned(),
                access_key: "minioadmin".to_owned(),
                secret_key: "minioadmin".to_owned(),
                region: String::new(),
                use_ssl: false,
                virtual_host: false,
                request_timeout: Duration::from_secs(10),
                create_bucket: true,
            },
        }
    }
}

impl std::fmt::Debug for StorageDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorageDraft").field("kind", &self.kind).field("s3", &self.s3).finish_non_exhaustive()
    }
}

impl Draft {
    /// Joins what belongs together.
    pub fn finish(self) -> Result<Config, LoadError> {
        let Self { mut config, storage } = self;
        // What was set holds whatever the machine has.
        if config.memory.growing_bytes > 0 {
            config.ingest.memory_limit_bytes = config.memory.growing_bytes;
        }
        if config.memory.merges_bytes > 0 {
            config.worker.memory_limit_bytes = config.memory.merges_bytes;
        }
        config.storage.kind = if storage.kind == "local" {
            StorageKind::Local { root: (!storage.local_path.is_empty()).then(|| PathBuf::from(&storage.local_path)) }
        } else {
            let (address, is_https) = endpoint(&storage.address)?;
            // Milvus' rule: the port is added unless the address brings its own.
            let endpoint =
                if address.contains(':') { address.to_owned() } else { format!("{address}:{}", storage.port) };
            let use_ssl = is_https.unwrap_or(storage.s3.use_ssl);
            if use_ssl != storage.s3.use_ssl && storage.names_ssl {
                return Err(LoadError::Contradiction(format!(
                    "minio.address is {:?} and minio.useSSL is {}: leave out the scheme, or let both say the same",
                    storage.address, storage.s3.use_ssl
                )));
            }
            StorageKind::S3(S3Config { endpoint, use_ssl, ..storage.s3 })
        };
        Ok(config)
    }
}

/// The host, with its port if it has one, of an address that may be a URL; and whether its scheme is HTTPS, if it has one.
fn endpoint(address: &str) -> Result<(&str, Option<bool>), LoadError> {
    let (scheme, host) = match address.split_once("://") {
        None => (None, address),
        Some((scheme, host)) => (Some(scheme), host.strip_suffix('/').unwrap_or(host)),
    };
    let is_https = match scheme.map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("http") => Some(false),
        Some("https") => Some(true),
        Some(_) => {
            let text = format!("minio.address is {address:?}: a scheme must be http or https");
            return Err(LoadError::Contradiction(text));
        }
    };
    if host.is_empty() || host.contains(['/', '?', '#', '@']) || host.contains(char::is_whitespace) {
        let text =
            format!("minio.address is {address:?}: must be a host, host:port, or either behind http:// or https://");
        return Err(LoadError::Contradiction(text));
    }
    Ok((host, is_https))
}

/// A key of the configuration.
pub struct Key {
    /// Dotted, as Milvus' documentation spells it.
    pub name: &'static str,
    /// Older or newer spellings with the same meaning and unit.
    pub aliases: &'static [&'static str],
    pub unit: Unit,
    /// Smallest and largest value, both allowed, in the unit of the key.
    pub range: Option<(f64, f64)>,
    /// All texts that are allowed; empty: any.
    pub choices: &'static [&'static str],
    /// One sentence for the example file.
    pub doc: &'static str,
    pub get: fn(&Draft) -> Setting,
    /// Takes a setting of the kind that `unit` parses to, and inside the range. The error says what was expected.
    pub set: fn(&mut Draft, Setting) -> Result<(), String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A Milvus key that we can't honour and must not ignore: with any other value than these, the start is refused.
pub struct Refused {
    pub name: &'static str,
    pub accepted: &'static [&'static str],
    pub instead: &'static str,
}

/// Ignoring these would lose security, data or rows.
pub const REFUSED: &[Refused] = &[
    Refused {
        name: "common.security.authorizationEnabled",
        accepted: &["false"],
        instead: "users are not supported: put an authenticating proxy in front",
    },
    Refused {
        name: "common.security.tlsMode",
        accepted: &["0"],
        instead: "TLS is not supported: put a proxy in front that ends it",
    },
    Refused {
        name: "common.entityExpiration",
        accepted: &["-1"],
        instead: "give the collection the property collection.ttl.seconds",
    },
    Refused { name: "common.storage.enablev2", accepted: &["false"], instead: "only storage format v1 is written" },
    Refused { name: "minio.useIAM", accepted: &["false"], instead: "use minio.accessKeyID and minio.secretAccessKey" },
    Refused {
        name: "minio.cloudProvider",
        accepted: &["aws"],
        instead: "any S3-compatible store is aws; set minio.useVirtualHost where it needs that",
    },
];

/// Name for comparison: lower case, without dots and underscores.
pub fn normal(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '.' | '_' | '/')).flat_map(char::to_lowercase).collect()
}

/// Finds a key by its name or an alias, in any spelling that Milvus would accept.
pub fn find(name: &str) -> Option<&'static Key> {
    let wanted = normal(name);
    KEYS.iter().find(|key| key.spellings().any(|spelling| normal(spelling) == wanted))
}

/// Sections in which a key that we don't know may be one of ours, misspelt. Milvus has further keys in them, so the rule
/// is narrow: two letters at most.
const OUR_SECTIONS: [&str; 6] = ["dataCoord", "dataNode", "common", "minio", "localStorage", "datacoord"];
const MOST_EDITS: usize = 2;

/// The key that an unknown name of one of our sections was meant to be, if one is spelt nearly like it.
pub fn nearest(name: &str) -> Option<&'static str> {
    let section = name.split(['.', '_']).next()?;
    if !OUR_SECTIONS.iter().any(|ours| ours.eq_ignore_ascii_case(section)) {
        return None;
    }
    let wanted = normal(name);
    let known = KEYS.iter().flat_map(Key::spellings);
    let (edits, key) = known.map(|key| (edits(&wanted, &normal(key)), key)).min_by_key(|(edits, _)| *edits)?;
    (1..=MOST_EDITS).contains(&edits).then_some(key)
}

/// Letters to change, add, leave out or swap with their neighbour to make one name of the other; names that differ much in
/// length are not compared, so a name of any length is cheap.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(200).collect(), b.chars().take(200).collect());
    if a.len().abs_diff(b.len()) > MOST_EDITS {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let left = row.last().copied().unwrap_or_default();
            let (above, corner) = (last.get(j + 1).copied(), last.get(j).copied());
            let change = corner.unwrap_or_default() + usize::from(x != y);
            let mut least = change.min(left + 1).min(above.unwrap_or_default() + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if let (true, Some(cost)) = (swapped, before.get(j.wrapping_sub(1))) {
                least = least.min(cost + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

impl Key {
    /// The name, then the aliases.
    pub fn spellings(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Unit and range in words.
    pub fn limits(&self) -> String {
        let unit = self.unit.describe();
        match (self.range, self.choices) {
            (Some((min, max)), _) => format!("{unit}, {min} to {max}"),
            (None, []) => unit.to_owned(),
            (None, choices) => choices.join(", "),
        }
    }
}

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
    let draft = Draft::default();
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
        let setting = (key.get)(&draft);
        // The defaults of the credentials are Milvus' published ones, not secrets.
        let unit = if key.unit == Unit::Secret { Unit::Text } else { key.unit };
        (key, setting.yaml(unit), note)
    }));
    out
}

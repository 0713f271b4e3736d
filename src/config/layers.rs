//! Reads the layers (defaults < file < environment < flags), merges them and records where each value came from.
//!
//! No other file reads the environment. Must never: correct a value silently; a wrong value is an error that names key,
//! value and limit.

use std::path::{Path, PathBuf};

use config::{File, FileFormat, Map, Source, Value, ValueKind};

use super::{
    error::ConfigError,
    key::Key,
    keys::{KEYS, REFUSED},
    milvus_yaml::{self, Note},
    raw::RawConfig,
    secret::MASK,
    setting::{Setting, Unit},
    settings::Config,
    spelling::{find, is_refused, nearest, normal},
    stock::find_stock,
    validate::validate,
};

/// Prefix of our own variables; an unknown one is refused.
const PREFIX: &str = "DATACOORD__";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueOrigin {
    Default,
    /// Path of the file.
    File(String),
    Environment,
    Flag,
}

impl std::fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// The layers to read.
#[derive(Clone, Default)]
pub struct Sources {
    /// A YAML file, which must exist.
    pub file: Option<PathBuf>,
    /// Variables, name and value.
    pub environment: Vec<(String, String)>,
    /// Keys of the table with the values of the command line.
    pub flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// The process' environment, without file and flags. Leaves out variables that are not UTF-8.
    pub fn of_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { environment, ..Self::default() }
    }
}

/// The settings, and how they were found.
#[derive(Debug)]
pub struct LoadedConfig {
    pub config: Config,
    /// Keys of the file without a meaning here, in the order of their names. A whole milvus.yaml is allowed.
    pub ignored: Vec<String>,
    /// Ignored keys that are nearly spelt like a known key, each with that key. Milvus does not have them either.
    pub misspelt: Vec<(String, &'static str)>,
    /// Keys of Milvus that mean nothing here, and have another value than Milvus' default, in the file or the environment.
    pub without_effect: Vec<&'static str>,
    /// Other ignored keys that Milvus does not have either.
    pub unknown: Vec<String>,
    /// Variables that look like ours or like a key of Milvus in one of our sections, and match nothing.
    pub unknown_variables: Vec<UnknownVariable>,
    /// The value of `localStorage.path` if a flag with the data directory overrides it.
    pub unused_local_path: Option<String>,
    raw: RawConfig,
    origins: Vec<ValueOrigin>,
}

/// A variable of the environment that matches no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVariable {
    pub name: String,
    /// The key that it nearly names.
    pub nearest: Option<&'static str>,
}

/// A key with its value in effect.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SettingInEffect {
    pub key: &'static str,
    /// As YAML; a secret is masked.
    pub value: String,
    /// default, the path of the file, environment or flag.
    pub origin: String,
}

/// Names of a list that are written out, and their number if there are more.
const MOST_LISTED: usize = 100;

fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<&str> = names.iter().take(MOST_LISTED).map(AsRef::as_ref).collect();
    let more = names.len() - shown.len();
    if more == 0 { shown.join(", ") } else { format!("{}, and {more} more", shown.join(", ")) }
}

impl LoadedConfig {
    /// Sentences about settings that somebody may have hoped would have an effect.
    pub fn warnings(&self) -> Vec<String> {
        let misspelt = self.misspelt.iter();
        let mut found: Vec<String> =
            misspelt.map(|(key, known)| format!("key {key} means nothing here: is it meant to be {known}?")).collect();
        if !self.without_effect.is_empty() {
            let keys = listed(&self.without_effect);
            found.push(format!("set to another value than Milvus' default, and without effect here: {keys}"));
        }
        if !self.unknown.is_empty() {
            found.push(format!("neither datacoord nor Milvus has these keys: {}", listed(&self.unknown)));
        }
        found.extend(self.unknown_variables.iter().map(|UnknownVariable { name, nearest }| match nearest {
            Some(known) => format!("the variable {name} means nothing here: is it meant to be {known}?"),
            None => format!("the variable {name} means nothing here; those of settings begin with {PREFIX}"),
        }));
        if let Some(path) = &self.unused_local_path {
            found.push(format!(
                "localStorage.path is {path} and not used: --data-dir was given, binlogs are in files below it"
            ));
        }
        found
    }

    /// Every key with its value and its origin. Masks secrets.
    pub fn entries(&self) -> Vec<SettingInEffect> {
        let entry = |(key, origin): (&Key, &ValueOrigin)| SettingInEffect {
            key: key.name,
            value: (key.get)(&self.raw).yaml(key.unit),
            origin: origin.to_string(),
        };
        KEYS.iter().zip(&self.origins).map(entry).collect()
    }

    /// Every key with its value and its origin, as YAML. Masks secrets.
    pub fn render(&self) -> String {
        milvus_yaml::render(KEYS.iter().zip(self.entries()).map(|(key, entry)| {
            let note = Note { above: Vec::new(), behind: entry.origin };
            (key, entry.value, note)
        }))
    }
}

/// Reads and merges all layers.
pub fn load(sources: &Sources) -> Result<LoadedConfig, ConfigError> {
    let mut ignored: Vec<(String, ValueKind)> = Vec::new();
    let mut builder = config::Config::builder();
    if let Some(path) = &sources.file {
        let entries = read_file(path)?;
        builder = builder.add_source(file_layer(path, entries, &mut ignored)?);
    }
    builder = builder.add_source(environment_layer(&sources.environment)?);
    let mut flags = Layer::new(ValueOrigin::Flag);
    for (name, value) in &sources.flags {
        flags.put(name, ValueKind::String(value.clone()))?;
    }
    let merged = builder
        .add_source(flags)
        .build()
        .and_then(|merged| merged.collect())
        .map_err(|e| ConfigError::Contradiction(e.to_string()))?;

    let mut raw = RawConfig::default();
    let mut origins = Vec::with_capacity(KEYS.len());
    for key in KEYS {
        let Some(value) = merged.get(&normal(key.name)) else {
            origins.push(ValueOrigin::Default);
            continue;
        };
        let origin = origin_of(value, sources);
        apply(&mut raw, key, value, &origin)?;
        origins.push(origin);
    }
    let unused_local_path = data_dir_wins(&mut raw, &mut origins);
    let in_vain = InVain::of(&ignored, &sources.environment);
    // Milvus has one maximum size for flushes and merges.
    raw.config.ingest.max_segment_bytes = raw.config.compaction.max_segment_bytes;
    let config = raw.clone().finish()?;
    validate(&config)?;
    let InVain { misspelt, without_effect, unknown, unknown_variables } = in_vain;
    let ignored = ignored.into_iter().map(|(name, _)| name).collect();
    Ok(LoadedConfig {
        config,
        ignored,
        misspelt,
        without_effect,
        unknown,
        unknown_variables,
        unused_local_path,
        raw,
        origins,
    })
}

/// A stock file has `localStorage.path`. The flag for the data directory covers all stored files, so it overrides a path of
/// a lower layer. Returns that path.
fn data_dir_wins(raw: &mut RawConfig, origins: &mut [ValueOrigin]) -> Option<String> {
    let at = |name: &str| KEYS.iter().position(|key| key.name == name);
    let (data_dir, local) = (at("datacoord.dataDir")?, at("localStorage.path")?);
    let is_flag = |at: usize| origins.get(at) == Some(&ValueOrigin::Flag);
    if !is_flag(data_dir) || is_flag(local) || raw.storage.local_path.is_empty() {
        return None;
    }
    if let Some(origin) = origins.get_mut(local) {
        *origin = ValueOrigin::Flag;
    }
    Some(std::mem::take(&mut raw.storage.local_path))
}

fn origin_of(value: &Value, sources: &Sources) -> ValueOrigin {
    match value.origin() {
        Some("environment") => ValueOrigin::Environment,
        Some("flag") => ValueOrigin::Flag,
        _ => ValueOrigin::File(sources.file.as_deref().unwrap_or(Path::new("")).display().to_string()),
    }
}

/// Converts one value, checks its range and stores it.
fn apply(raw: &mut RawConfig, key: &Key, value: &Value, origin: &ValueOrigin) -> Result<(), ConfigError> {
    let fail = |expected: String| ConfigError::Value {
        origin: origin.to_string(),
        key: key.name.to_owned(),
        value: shown(key.unit, &value.kind),
        expected,
    };
    let setting = Setting::parse(key.unit, &value.kind).map_err(fail)?;
    if let Setting::Secret(secret) = &setting
        && is_mask(secret.expose())
    {
        return Err(fail(
            "this is what is printed in place of a secret, for example by `datacoord config`: give the secret itself"
                .to_owned(),
        ));
    }
    if let (Some((min, max)), Some(number)) = (key.range, setting.magnitude(key.unit))
        && !(min..=max).contains(&number)
    {
        let unit = if matches!(key.unit, Unit::Count | Unit::Ratio) { "" } else { key.unit.describe() };
        return Err(fail(format!("must be {min} to {max} {unit}").trim_end().to_owned()));
    }
    if let (Setting::Text(text), false) = (&setting, key.choices.is_empty())
        && !key.choices.contains(&text.as_str())
    {
        return Err(fail(format!("must be one of {}", key.choices.join(", "))));
    }
    (key.set)(raw, setting).map_err(fail)
}

/// True for stars alone: the mask of this program, or that of another one.
fn is_mask(text: &str) -> bool {
    text.len() >= MASK.len() && text.bytes().all(|byte| byte == b'*')
}

fn shown(unit: Unit, kind: &ValueKind) -> String {
    if unit == Unit::Secret { MASK.to_owned() } else { kind.to_string() }
}

/// One layer: values by the normal form of their key.
#[derive(Clone)]
struct Layer {
    origin: String,
    values: Map<String, Value>,
    /// Normal forms that were given by their proper name, which overrides an alias of the same layer.
    named: Vec<String>,
}

/// Without the values: some are secrets.
impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Layer {
    fn new(origin: ValueOrigin) -> Self {
        Self { origin: origin.to_string(), values: Map::new(), named: Vec::new() }
    }

    /// Stores a value if the key is known; returns whether it is. An empty value counts as unset, as in Milvus.
    fn put(&mut self, name: &str, value: ValueKind) -> Result<bool, ConfigError> {
        let empty = matches!(&value, ValueKind::Nil) || matches!(&value, ValueKind::String(text) if text.is_empty());
        if let Some(refused) = REFUSED.iter().find(|refused| normal(refused.name) == normal(name)) {
            let given = value.to_string();
            if !empty && !refused.accepted.iter().any(|accepted| accepted.eq_ignore_ascii_case(given.trim())) {
                return Err(ConfigError::Refused {
                    origin: self.origin.clone(),
                    key: refused.name,
                    value: given,
                    instead: refused.instead,
                });
            }
            return Ok(true);
        }
        let Some(key) = find(name) else { return Ok(false) };
        let canonical = normal(key.name);
        let proper = normal(name) == canonical;
        let named = self.named.contains(&canonical);
        if !empty && proper && named {
            return Err(ConfigError::Contradiction(format!("{}: {} is given twice", self.origin, key.name)));
        }
        if !empty && (proper || !named) {
            self.values.insert(canonical.clone(), Value::new(Some(&self.origin), value));
            if proper {
                self.named.push(canonical);
            }
        }
        Ok(true)
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.values.clone())
    }
}

/// All leaves of a YAML file, by dotted name.
fn read_file(path: &Path) -> Result<Vec<(String, ValueKind)>, ConfigError> {
    let fail = |message: String| ConfigError::File { path: path.display().to_string(), message };
    let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
    let root = File::from_str(&text, FileFormat::Yaml).collect().map_err(|e| fail(e.to_string()))?;
    let mut entries = Vec::new();
    flatten(String::new(), root, &mut entries);
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(entries)
}

fn flatten(prefix: String, table: Map<String, Value>, into: &mut Vec<(String, ValueKind)>) {
    for (name, value) in table {
        let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.kind {
            ValueKind::Table(inner) => flatten(name, inner, into),
            leaf => into.push((name, leaf)),
        }
    }
}

fn file_layer(
    path: &Path,
    entries: Vec<(String, ValueKind)>,
    ignored: &mut Vec<(String, ValueKind)>,
) -> Result<Layer, ConfigError> {
    let mut layer = Layer::new(ValueOrigin::File(path.display().to_string()));
    for (name, value) in entries {
        if layer.put(&name, value.clone())? {
            continue;
        }
        // The section in lower case is ours. Milvus' own is `dataCoord:`, which may hold keys that are unknown here.
        if name == "datacoord" || name.starts_with("datacoord.") {
            return Err(ConfigError::UnknownKey { origin: layer.origin, nearest: nearest(&name), key: name });
        }
        ignored.push((name, value));
    }
    Ok(layer)
}

/// Variables in two spellings. Ours: `DATACOORD__` and a key, with or without `datacoord.`; unknown ones are refused. Milvus':
/// a key with underscores for dots; other variables are ignored. Ours override Milvus'.
fn environment_layer(variables: &[(String, String)]) -> Result<Layer, ConfigError> {
    let mut layer = Layer::new(ValueOrigin::Environment);
    for (name, value) in variables.iter().filter(|(name, _)| !name.starts_with(PREFIX)) {
        // Kubernetes sets MINIO_PORT to a URL when a service is called minio.
        if !value.starts_with("tcp://") && !value.starts_with("udp://") {
            layer.put(name, ValueKind::String(value.clone()))?;
        }
    }
    layer.named.clear();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let value = ValueKind::String(value.clone());
        if !layer.put(&format!("datacoord.{rest}"), value.clone())? && !layer.put(rest, value)? {
            let nearest = nearest(&format!("datacoord.{rest}")).or_else(|| nearest(rest));
            return Err(ConfigError::UnknownKey { origin: layer.origin, key: name.clone(), nearest });
        }
    }
    Ok(layer)
}

/// Keys and variables that somebody may have set in the hope of an effect.
#[derive(Default)]
struct InVain {
    misspelt: Vec<(String, &'static str)>,
    without_effect: Vec<&'static str>,
    unknown: Vec<String>,
    unknown_variables: Vec<UnknownVariable>,
}

impl InVain {
    fn of(ignored: &[(String, ValueKind)], variables: &[(String, String)]) -> Self {
        let mut found = Self::default();
        for (name, value) in ignored {
            match (find_stock(name), nearest(name)) {
                (Some(stock), _) if is_chosen(value) && !stock.is_default(&value.to_string()) => {
                    found.without_effect.push(stock.name);
                }
                (Some(_), _) => {}
                (None, Some(known)) => found.misspelt.push((name.clone(), known)),
                (None, None) => found.unknown.push(name.clone()),
            }
        }
        for (name, value) in variables.iter().filter(|(name, value)| !value.is_empty() && !name.starts_with(PREFIX)) {
            if find(name).is_some()
                || is_refused(name)
                || COMMAND_VARIABLES.contains(&name.as_str())
                || is_link(name, value)
            {
                continue;
            }
            match (find_stock(name), nearest(name)) {
                (Some(stock), _) if !stock.is_default(value) => found.without_effect.push(stock.name),
                (Some(_), _) => {}
                (None, nearest) if nearest.is_some() || name.starts_with(COMMAND_PREFIX) => {
                    found.unknown_variables.push(UnknownVariable { name: name.clone(), nearest });
                }
                (None, _) => {}
            }
        }
        found.without_effect.sort_unstable();
        found.without_effect.dedup();
        found
    }
}

/// An empty value counts as unset. Lists are left out: Milvus' defaults of lists are not known here.
fn is_chosen(value: &ValueKind) -> bool {
    match value {
        ValueKind::Nil | ValueKind::Array(_) | ValueKind::Table(_) => false,
        ValueKind::String(text) => !text.is_empty(),
        _ => true,
    }
}

/// Prefix of the variables of the command line, which are no settings of a server.
const COMMAND_PREFIX: &str = "DATACOORD_";

/// Variables of the command line and of tests.
pub const COMMAND_VARIABLES: [&str; 13] = [
    "DATACOORD_ENDPOINT",
    "DATACOORD_DATABASE",
    "DATACOORD_USER",
    "DATACOORD_PASSWORD",
    "DATACOORD_PASSWORD_FILE",
    "DATACOORD_TLS",
    "DATACOORD_CA_FILE",
    "DATACOORD_CERT_FILE",
    "DATACOORD_KEY_FILE",
    "DATACOORD_SERVER_NAME",
    "DATACOORD_PLANTED",
    "DATACOORD_POINT",
    "DATACOORD_CLOCK_SHIFT_MS",
];

/// Whether Kubernetes or Docker sets such a variable for a service called datacoord or minio.
fn is_link(name: &str, value: &str) -> bool {
    let is_address = value.starts_with("tcp://") || value.starts_with("udp://");
    is_address || name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || name.contains("_PORT_")
}

//! One key of the configuration, and one that is refused.

use super::{
    raw::RawConfig,
    setting::{Setting, Unit},
};

/// A key of the configuration.
pub struct Key {
    /// Dotted, as Milvus' documentation spells it.
    pub name: &'static str,
    /// Older or newer spellings with the same meaning and unit.
    pub aliases: &'static [&'static str],
    pub unit: Unit,
    /// Smallest and largest value, both allowed, in the unit of the key.
    pub range: Option<(f64, f64)>,
    /// All texts that are allowed. Empty: any text.
    pub choices: &'static [&'static str],
    /// One sentence for the example file.
    pub doc: &'static str,
    pub get: fn(&RawConfig) -> Setting,
    /// Stores a setting. It is of the kind that `unit` parses to, and inside the range. The error says what was expected.
    pub set: fn(&mut RawConfig, Setting) -> Result<(), String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
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

/// A Milvus key that is not supported and must not be ignored. A value that is not accepted makes the start fail.
pub(super) struct RefusedKey {
    pub name: &'static str,
    pub accepted: &'static [&'static str],
    pub instead: &'static str,
}

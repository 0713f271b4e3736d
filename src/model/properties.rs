//! Properties and parameters that clients give: the keys with a meaning here, and limits of size.
//!
//! A known key has a type and a range. Any other key is stored and described as it came, within the limits: clients keep
//! notes there. Only incoming values are checked. Values that an older release stored stay readable; one without meaning
//! counts as absent.

use crate::error::{Classify, ErrorKind};

/// Property that gives rows a time to live, in seconds.
pub const TTL_SECONDS: &str = "collection.ttl.seconds";
/// Property that switches automatic compaction off for one collection.
pub const AUTO_COMPACTION: &str = "collection.autocompaction.enabled";

/// Most pairs of one definition.
pub const MAX_PAIRS: usize = 64;
pub const MAX_KEY_BYTES: usize = 255;
/// Longest value, and longest description.
pub const MAX_VALUE_BYTES: usize = 65_535;
/// A hundred years, the limit of newer Milvus releases.
const MAX_TTL_SECONDS: i64 = 100 * 365 * 86_400;

/// A refused property. `what` names the kind of pairs, e.g. `properties`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    #[error("{what}: {count} are more than the limit of {MAX_PAIRS}")]
    TooMany { what: &'static str, count: usize },
    #[error("{what}: a key is empty")]
    EmptyKey { what: &'static str },
    #[error("{what}: key {key} has {bytes} bytes, the limit is {MAX_KEY_BYTES}", bytes = key.len())]
    LongKey { what: &'static str, key: String },
    #[error("{what}: the value of {key} has {bytes} bytes, the limit is {MAX_VALUE_BYTES}")]
    LongValue { what: &'static str, key: String, bytes: usize },
    #[error("property {key} is {value:?}, expected {expected}")]
    Value { key: &'static str, value: String, expected: &'static str },
}

impl Classify for PropertyError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Checks properties of a collection that a client sets: sizes, and the values of known keys.
pub fn check<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)> + Clone) -> Result<(), PropertyError> {
    check_sizes("properties", pairs.clone())?;
    for (key, value) in pairs {
        let (key, fits, expected) = match key.as_str() {
            TTL_SECONDS => (TTL_SECONDS, ttl_seconds(value).is_some(), "whole seconds, -1 or 0 (none) to 3153600000"),
            AUTO_COMPACTION => (AUTO_COMPACTION, flag(value).is_some(), "true or false"),
            _ => continue,
        };
        if !fits {
            return Err(PropertyError::Value { key, value: value.clone(), expected });
        }
    }
    Ok(())
}

/// Checks number and sizes of pairs, not their meaning.
pub fn check_sizes<'a>(
    what: &'static str,
    pairs: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<(), PropertyError> {
    let mut count = 0;
    for (key, value) in pairs {
        count += 1;
        match (key.len(), value.len()) {
            (0, _) => return Err(PropertyError::EmptyKey { what }),
            (1..=MAX_KEY_BYTES, 0..=MAX_VALUE_BYTES) => {}
            (1..=MAX_KEY_BYTES, bytes) => return Err(PropertyError::LongValue { what, key: key.clone(), bytes }),
            _ => return Err(PropertyError::LongKey { what, key: key.clone() }),
        }
    }
    check_count(what, count)
}

/// Checks how many pairs a definition would have.
pub fn check_count(what: &'static str, count: usize) -> Result<(), PropertyError> {
    if count > MAX_PAIRS { Err(PropertyError::TooMany { what, count }) } else { Ok(()) }
}

fn ttl_seconds(text: &str) -> Option<i64> {
    text.trim().parse().ok().filter(|seconds| (-1..=MAX_TTL_SECONDS).contains(seconds))
}

/// A flag in any spelling that Milvus accepts.
pub fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" => Some(true),
        "false" | "f" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;

    use super::*;

    fn one(key: &str, value: &str) -> Result<(), PropertyError> {
        check(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
    }

    #[rstest]
    #[case(TTL_SECONDS, "60", true)]
    #[case(TTL_SECONDS, " 60 ", true)]
    #[case(TTL_SECONDS, "0", true)]
    #[case(TTL_SECONDS, "-1", true)]
    #[case(TTL_SECONDS, "3153600000", true)]
    #[case(TTL_SECONDS, "3153600001", false)]
    #[case(TTL_SECONDS, "-2", false)]
    #[case(TTL_SECONDS, "abc", false)]
    #[case(TTL_SECONDS, "1.5", false)]
    #[case(TTL_SECONDS, "", false)]
    #[case(AUTO_COMPACTION, "False", true)]
    #[case(AUTO_COMPACTION, "0", true)]
    #[case(AUTO_COMPACTION, "off", false)]
    #[case("anything.else", "abc", true)]
    #[case("", "abc", false)]
    fn values_of_known_keys(#[case] key: &str, #[case] value: &str, #[case] fits: bool) {
        assert_eq!(one(key, value).is_ok(), fits, "{:?}", one(key, value));
    }

    #[test]
    fn sizes_and_numbers_have_limits() {
        assert_eq!(one("k", &"x".repeat(MAX_VALUE_BYTES)), Ok(()));
        let error = one("k", &"x".repeat(20 << 20)).unwrap_err();
        assert_eq!(error.to_string(), "properties: the value of k has 20971520 bytes, the limit is 65535");
        assert_eq!(one(&"k".repeat(MAX_KEY_BYTES), ""), Ok(()));
        assert!(matches!(one(&"k".repeat(256), ""), Err(PropertyError::LongKey { .. })));
        let many = |count: usize| (0..count).map(|n| (format!("k{n}"), String::new())).collect::<BTreeMap<_, _>>();
        assert_eq!(check(&many(MAX_PAIRS)), Ok(()));
        assert_eq!(check(&many(65)), Err(PropertyError::TooMany { what: "properties", count: 65 }));
    }
}

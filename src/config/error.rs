//! Why settings are refused.

use crate::error::{Classify, ErrorKind};

/// An error of the settings. Names the key, the value and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("configuration file {path}: {message}")]
    File { path: String, message: String },
    #[error("{origin}: unknown key {key}{}", did_you_mean(*nearest))]
    UnknownKey { origin: String, key: String, nearest: Option<&'static str> },
    #[error("{origin}: {key} is {value}: {expected}")]
    Value { origin: String, key: String, value: String, expected: String },
    #[error("{origin}: {key} is {value}, which is not supported: {instead}")]
    Refused { origin: String, key: &'static str, value: String, instead: &'static str },
    #[error("{0}")]
    Contradiction(String),
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|key| format!(": did you mean {key}?")).unwrap_or_default()
}

impl Classify for ConfigError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

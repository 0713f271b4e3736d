//! The value of one key in a file, a variable or a flag: its unit, and the conversion between text and value.
//!
//! A bare number is in the unit of its key, as in Milvus. Text with its own unit (`64MB`, `10m`) is accepted too. Must never:
//! guess; a value that can't be represented is refused.

use std::time::Duration;

use config::ValueKind;

use super::secret::{MASK, Secret};

/// Bytes of a megabyte, as Milvus counts them.
const MIB: f64 = 1_048_576.0;

/// Meaning of a bare number or text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Flag,
    /// A whole number of things.
    Count,
    Bytes,
    /// 2^20 bytes.
    Megabytes,
    Seconds,
    Milliseconds,
    /// A decimal number, usually a share of something.
    Ratio,
    Text,
    /// Text that is never printed.
    Secret,
}

impl Unit {
    /// The unit in words, for the comments of the example file.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Megabytes => "MB",
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Ratio => "ratio",
            Self::Text => "text",
            Self::Secret => "secret",
        }
    }
}

/// A converted value. Sizes are in bytes for every unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    Flag(bool),
    Count(u64),
    Bytes(u64),
    Time(Duration),
    Ratio(f64),
    Text(String),
    Secret(Secret),
}

impl Setting {
    /// Converts a raw value. The error says what was expected; the caller adds key and value.
    pub fn parse(unit: Unit, raw: &ValueKind) -> Result<Self, String> {
        match unit {
            Unit::Flag => flag(raw).map(Self::Flag),
            Unit::Count => count(raw).map(Self::Count),
            Unit::Bytes => bytes(raw, 1.0).map(Self::Bytes),
            Unit::Megabytes => bytes(raw, MIB).map(Self::Bytes),
            Unit::Seconds => time(raw, 1.0).map(Self::Time),
            Unit::Milliseconds => time(raw, 1e-3).map(Self::Time),
            Unit::Ratio => number(raw).ok_or_else(|| "expected a number".to_owned()).map(Self::Ratio),
            Unit::Text => text(raw).map(Self::Text),
            Unit::Secret => text(raw).map(|text| Self::Secret(Secret::new(text))),
        }
    }

    /// The number in the unit of the key, for comparison with its range. `None` for flags and texts.
    pub fn magnitude(&self, unit: Unit) -> Option<f64> {
        match self {
            Self::Count(n) => Some(*n as f64),
            Self::Bytes(n) if unit == Unit::Megabytes => Some(*n as f64 / MIB),
            Self::Bytes(n) => Some(*n as f64),
            Self::Time(t) if unit == Unit::Milliseconds => Some(t.as_secs_f64() * 1e3),
            Self::Time(t) => Some(t.as_secs_f64()),
            Self::Ratio(r) => Some(*r),
            Self::Flag(_) | Self::Text(_) | Self::Secret(_) => None,
        }
    }

    /// The value in YAML, in the unit of the key.
    pub fn yaml(&self, unit: Unit) -> String {
        match (self, self.magnitude(unit)) {
            (Self::Count(n), _) => n.to_string(),
            (_, Some(number)) => number.to_string(),
            (Self::Flag(on), _) => on.to_string(),
            (Self::Secret(secret), _) if !secret.is_empty() => format!("{MASK:?}"),
            (Self::Secret(_), _) => quote(""),
            (Self::Text(text), _) => quote(text),
            _ => String::new(),
        }
    }
}

/// Quotes text that YAML would not read as text.
fn quote(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "yes" | "no" | "on" | "off" | "null");
    if plain { text.to_owned() } else { double_quoted(text) }
}

/// Text between double quotes, with the escapes of YAML. Those of Rust differ for characters that can't be printed.
fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // YAML wants these escaped: a mark of byte order, those that end a line, and those that are no characters.
            c if c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}') => {
                quoted.push_str(&format!("\\U{:08X}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn flag(raw: &ValueKind) -> Result<bool, String> {
    match raw {
        ValueKind::Boolean(on) => Ok(*on),
        ValueKind::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        ValueKind::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

fn count(raw: &ValueKind) -> Result<u64, String> {
    let whole = match raw {
        ValueKind::I64(n) => u64::try_from(*n).ok(),
        ValueKind::U64(n) => Some(*n),
        ValueKind::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    whole.ok_or_else(|| "expected a whole number, not negative".to_owned())
}

fn number(raw: &ValueKind) -> Option<f64> {
    let number = match raw {
        ValueKind::I64(n) => *n as f64,
        ValueKind::U64(n) => *n as f64,
        ValueKind::Float(n) => *n,
        ValueKind::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn bytes(raw: &ValueKind, unit: f64) -> Result<u64, String> {
    let size = match number(raw) {
        Some(number) => number * unit,
        None => match raw {
            ValueKind::String(text) => size_with_suffix(text).ok_or("expected a size, e.g. 512 or 512MB")?,
            _ => return Err("expected a size, e.g. 512 or 512MB".to_owned()),
        },
    };
    if !(0.0..=u64::MAX as f64 / 2.0).contains(&size) {
        return Err("a size can't be negative or that large".to_owned());
    }
    Ok(size.round() as u64)
}

/// `64MB`, `64MiB` and `64M` are all 64 * 2^20 bytes.
fn size_with_suffix(text: &str) -> Option<f64> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (digits, suffix) = text.split_at(split);
    let power = match suffix.to_ascii_lowercase().as_str() {
        "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    let number: f64 = digits.trim().parse().ok()?;
    Some(number * 1024_f64.powi(power))
}

fn time(raw: &ValueKind, unit_seconds: f64) -> Result<Duration, String> {
    let expected = || "expected a time, e.g. 90 or 90s".to_owned();
    if let Some(number) = number(raw) {
        return Duration::try_from_secs_f64(number * unit_seconds)
            .map_err(|_| "a time can't be negative or that long".to_owned());
    }
    match raw {
        ValueKind::String(text) => humantime::parse_duration(text.trim()).map_err(|_| expected()),
        _ => Err(expected()),
    }
}

/// Refuses a bare number, because YAML has already turned `0123` into 123.
fn text(raw: &ValueKind) -> Result<String, String> {
    match raw {
        ValueKind::String(text) => Ok(text.clone()),
        ValueKind::Boolean(_) | ValueKind::I64(_) | ValueKind::U64(_) | ValueKind::Float(_) => {
            Err("expected text: put it in quotes".to_owned())
        }
        _ => Err("expected text".to_owned()),
    }
}

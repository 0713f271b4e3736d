//! Values of arguments that have a form of their own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::wire::proto::datacoord::CollectionRef;

/// A collection by name, alias or id. Names do not begin with a digit, so a number is an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum CollectionArgument {
    Name(String),
    Id(i64),
}

/// No collection; the parser replaces it.
impl Default for CollectionArgument {
    fn default() -> Self {
        Self::Id(0)
    }
}

impl CollectionArgument {
    /// The collection in a message. An empty database is the default one.
    pub(in crate::cli) fn within(&self, database: &str) -> CollectionRef {
        let (collection_name, collection_id) = match self {
            Self::Name(name) => (name.clone(), 0),
            Self::Id(id) => (String::new(), *id),
        };
        CollectionRef { db_name: database.to_owned(), collection_name, collection_id }
    }
}

pub(in crate::cli) fn collection(text: &str) -> Result<CollectionArgument, String> {
    if text.is_empty() {
        return Err("expected a name or an id".to_owned());
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return Ok(CollectionArgument::Name(text.to_owned()));
    }
    match text.parse() {
        Ok(id) if id > 0 => Ok(CollectionArgument::Id(id)),
        _ => Err("expected an id above 0, or a name, which does not begin with a digit".to_owned()),
    }
}

/// The address of a server. A port alone is one of this machine.
pub(in crate::cli) fn endpoint(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(if text.starts_with(':') { format!("127.0.0.1{text}") } else { text.to_owned() })
}

/// A time such as `90s` or `2h 30m`.
pub(in crate::cli) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("expected more than nothing".to_owned()),
        Err(e) => Err(format!("{e}; expected a time such as 90s or 2h")),
    }
}

/// A size in MB (2^20 bytes), with or without its unit; GB are 1024 of them.
pub(in crate::cli) fn megabytes(text: &str) -> Result<i64, String> {
    let upper = text.to_ascii_uppercase();
    let (number, unit) = match (upper.strip_suffix("GB"), upper.strip_suffix("MB")) {
        (Some(number), _) => (number, 1024),
        (_, Some(number)) => (number, 1),
        _ => (upper.as_str(), 1),
    };
    let size = number.trim().parse::<i64>().ok().filter(|size| *size > 0).and_then(|size| size.checked_mul(unit));
    size.ok_or_else(|| "expected a number of MB above 0, such as 512, 512MB or 2GB".to_owned())
}

/// A limit of the speed of merges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::cli) enum Limit {
    None,
    Configured,
    MbPerSecond(f64),
}

pub(in crate::cli) fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit::None),
        "configured" => Ok(Limit::Configured),
        number => match number.parse::<f64>() {
            Ok(mb) if mb > 0.0 && mb.is_finite() => Ok(Limit::MbPerSecond(mb)),
            _ => Err("expected MB per second above 0, `none` or `configured`".to_owned()),
        },
    }
}

/// The end of a request's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum DeadlineFlag {
    /// From now on.
    In(Duration),
    At(SystemTime),
}

impl DeadlineFlag {
    /// Milliseconds since 1970.
    pub(in crate::cli) fn at_ms(self, now_ms: i64) -> i64 {
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        match self {
            Self::In(time) => now_ms.saturating_add(ms(time)),
            Self::At(moment) => ms(moment.duration_since(UNIX_EPOCH).unwrap_or_default()),
        }
    }
}

pub(in crate::cli) fn deadline(text: &str) -> Result<DeadlineFlag, String> {
    match humantime::parse_rfc3339_weak(text) {
        Ok(moment) => Ok(DeadlineFlag::At(moment)),
        Err(_) => {
            duration(text).map(DeadlineFlag::In).map_err(|why| format!("{why}, or in UTC as 2026-11-29T20:00:00Z"))
        }
    }
}

/// Milliseconds between two looks at a plan.
pub(in crate::cli) fn interval(text: &str) -> Result<i32, String> {
    match i32::try_from(duration(text)?.as_millis()) {
        Ok(ms @ 50..=60_000) => Ok(ms),
        _ => Err("expected 50ms to 1m".to_owned()),
    }
}

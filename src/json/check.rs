//! Decides which JSON text an insert may store.

use std::{borrow::Cow, fmt};

use super::reader::{JsonEvent, JsonFault, Reader};

/// Deepest nesting of objects and lists: the limit of Milvus' own reader.
pub const MAX_DEPTH: usize = 1024;

/// Characters of a path that an error shows.
const SHOWN_PATH: usize = 120;
/// Characters of a number that an error shows.
const SHOWN_NUMBER: usize = 40;

/// Text that must not be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why} at byte {at}, near {path}")]
pub struct JsonRefusal {
    /// Byte offset.
    pub at: usize,
    /// Path from the root `$` to the value at or before `at`. A long path is cut.
    pub path: String,
    pub why: JsonDefect,
}

/// JsonDefect a text is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonDefect {
    Syntax(&'static str),
    Depth,
    /// The number; a long one is cut.
    Number(String),
    NotObject,
}

impl fmt::Display for JsonDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(what) => f.write_str(what),
            Self::Depth => write!(f, "nested deeper than {MAX_DEPTH} levels"),
            Self::Number(number) => write!(f, "number {number} does not fit a double"),
            Self::NotObject => f.write_str("expected an object"),
        }
    }
}

/// Checks the grammar and the limits.
///
/// # Errors
/// The first place that breaks either.
pub fn check(text: &str) -> Result<(), JsonRefusal> {
    read(text, |_| {}).map_err(|(at, why)| refusal(text, at, why))
}

/// Checks an object as [`check`] does. `on_key` gets the keys of the object itself, not those of nested objects.
pub fn check_object(text: &str, on_key: impl FnMut(Cow<'_, str>)) -> Result<(), JsonRefusal> {
    let begins = Reader::new(text.as_bytes()).event();
    if matches!(begins, Ok(Some(event)) if event != JsonEvent::ObjectStart) {
        return Err(refusal(text, 0, JsonDefect::NotObject));
    }
    read(text, on_key).map_err(|(at, why)| refusal(text, at, why))
}

fn read(text: &str, mut on_key: impl FnMut(Cow<'_, str>)) -> Result<(), (usize, JsonDefect)> {
    let syntax = |fault: JsonFault| (fault.at, JsonDefect::Syntax(fault.what));
    let mut reader = Reader::new(text.as_bytes());
    while let Some(event) = reader.event().map_err(syntax)? {
        match event {
            JsonEvent::ObjectStart | JsonEvent::ArrayStart if reader.depth() > MAX_DEPTH => {
                return Err((reader.start(), JsonDefect::Depth));
            }
            JsonEvent::Number(number) if !number.is_finite() => {
                return Err((reader.start(), JsonDefect::Number(cut(number.raw(), SHOWN_NUMBER))));
            }
            JsonEvent::Key(key) if reader.depth() == 1 => on_key(key.decode()),
            _ => {}
        }
    }
    Ok(())
}

fn refusal(text: &str, at: usize, why: JsonDefect) -> JsonRefusal {
    JsonRefusal { at, path: cut(&path(text.as_bytes(), at), SHOWN_PATH), why }
}

/// Path of the last value that begins before `at`, or of its container.
fn path(text: &[u8], at: usize) -> String {
    enum PathPlace<'t> {
        Member(Option<Cow<'t, str>>),
        Element(Option<usize>),
    }
    let mut places = Vec::new();
    let mut reader = Reader::new(text);
    while let Ok(Some(event)) = reader.event() {
        if let (Some(PathPlace::Element(index)), true) = (places.last_mut(), event != JsonEvent::End) {
            *index = Some(index.map_or(0, |index| index + 1));
        }
        if reader.start() >= at {
            break;
        }
        match (event, places.last_mut()) {
            (JsonEvent::ObjectStart, _) => places.push(PathPlace::Member(None)),
            (JsonEvent::ArrayStart, _) => places.push(PathPlace::Element(None)),
            (JsonEvent::Key(key), Some(PathPlace::Member(name))) => *name = Some(key.decode()),
            (JsonEvent::End, _) => {
                places.pop();
            }
            _ => {}
        }
    }
    let mut path = "$".to_owned();
    for place in places {
        match place {
            PathPlace::Member(Some(key)) => {
                path.push('.');
                path.push_str(&key);
            }
            PathPlace::Element(Some(index)) => path.push_str(&format!("[{index}]")),
            PathPlace::Member(None) | PathPlace::Element(None) => {}
        }
    }
    path
}

/// Shortens a text to `most` characters by cutting its middle.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let half = most / 2;
    let head: String = text.chars().take(half).collect();
    let tail: Vec<char> = text.chars().rev().take(half).collect();
    format!("{head}…{}", tail.iter().rev().collect::<String>())
}

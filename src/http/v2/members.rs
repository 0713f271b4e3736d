//! The members of a body, by the rules of Milvus' server, which is written in Go: names are compared without case, unknown
//! ones are ignored, `null` counts as absent, a string is no number.
//!
//! Values stay where they are in the body. They are weighed before a request is made of them: an empty list has two bytes in
//! the body, and a hundred in a request.
//!
//! Must never: copy a value that is not asked for.

use std::borrow::Cow;

use super::answer::{Fault, MISSING_PARAMETER, NOT_JSON};
use crate::{
    error::{Classify as _, ErrorKind},
    json::{self, JsonEvent, JsonScalar, Reader, Value},
    memory::Extra,
    wire::status,
};

/// Bounds on the memory of values and of their places in lists, beside the bytes of texts: a number; a text; a member, with
/// its place in a column; a list; an object, with the ids and keys of a row.
const NUMBER_BYTES: u64 = 8;
const TEXT_BYTES: u64 = 48;
const MEMBER_BYTES: u64 = 64;
const LIST_BYTES: u64 = 128;
const OBJECT_BYTES: u64 = 256;
/// Values at a greater depth stay text.
const MOST_DEPTH: usize = 5;

fn weight(event: JsonEvent<'_>, depth: usize) -> u64 {
    match event {
        _ if depth > MOST_DEPTH => 0,
        JsonEvent::ObjectStart => OBJECT_BYTES,
        JsonEvent::ArrayStart => LIST_BYTES,
        JsonEvent::Key(_) => MEMBER_BYTES,
        JsonEvent::Text(_) | JsonEvent::Null => TEXT_BYTES,
        JsonEvent::Number(_) | JsonEvent::Bool(_) => NUMBER_BYTES,
        JsonEvent::End => 0,
    }
}

/// The memory for the values of a body.
#[derive(Debug)]
pub(super) struct ValueRoom {
    /// Bytes that the request was let in with, beside the body itself.
    pub(super) admitted: u64,
    pub(super) extra: Extra,
}

impl ValueRoom {
    fn take(&mut self, bytes: u64) -> Result<(), Fault> {
        self.extra.take(bytes.saturating_sub(self.admitted)).map_err(|full| match full.kind() {
            ErrorKind::Invalid => Fault::invalid(format!("the values of the body are too many: {full}")),
            _ => {
                let status = status::rate_limited(format!("too many requests are in flight, try again later: {full}"));
                Fault::Coded(status.code, status.reason)
            }
        })
    }
}

/// Characters of a value that an error shows.
const SHOWN: usize = 100;

pub(super) fn not_json(text: &str) -> Fault {
    Fault::Coded(NOT_JSON, format!("can only accept json format request, error: {text}"))
}

/// The beginning of a value for an error.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A value as it is written, without the quotes of a string.
pub(super) fn text_of(value: Value<'_>) -> Cow<'_, str> {
    match value.scalar() {
        Some(JsonScalar::Text(text)) => text,
        _ => String::from_utf8_lossy(value.raw()),
    }
}

pub(super) fn is_null(value: Value<'_>) -> bool {
    value.raw() == b"null"
}

/// The kind of a value in Go's words.
fn kind(value: Value<'_>) -> String {
    match value.raw().first() {
        Some(b'{') => "object".to_owned(),
        Some(b'[') => "array".to_owned(),
        Some(b'"') => "string".to_owned(),
        Some(b't' | b'f') => "bool".to_owned(),
        Some(b'n') => "null".to_owned(),
        _ => format!("number {}", shown(&text_of(value))),
    }
}

/// The members of an object.
#[derive(Debug)]
pub(super) struct Members<'b> {
    /// Name of the request in errors.
    request: &'static str,
    members: Vec<(Cow<'b, str>, Value<'b>)>,
    /// Of a whole body: held until the request is answered.
    _room: Option<ValueRoom>,
}

impl<'b> Members<'b> {
    /// Those of a whole body.
    ///
    /// # Errors
    /// A body that is no JSON object, or whose values find no room.
    pub(super) fn read(request: &'static str, body: &'b [u8], mut room: ValueRoom) -> Result<Self, Fault> {
        if body.iter().all(u8::is_ascii_whitespace) {
            let text = "can only accept json format request, the request body should be nil, however {} is valid";
            return Err(Fault::Coded(NOT_JSON, text.to_owned()));
        }
        std::str::from_utf8(body).map_err(|error| not_json(&error.to_string()))?;
        let mut reader = Reader::new(body);
        // Texts are copied.
        let mut needed = body.len() as u64;
        loop {
            match reader.event() {
                Ok(Some(event)) => needed += weight(event, reader.depth()),
                Ok(None) => break,
                Err(fault) => return Err(not_json(&format!("{} at byte {}", fault.what, fault.at))),
            }
        }
        room.take(needed)?;
        let value = json::find(body, &[]).ok_or_else(|| not_json("the body has no value"))?;
        Ok(Self { _room: Some(room), ..Self::of(request, value)? })
    }

    pub(super) fn of(request: &'static str, value: Value<'b>) -> Result<Self, Fault> {
        let members = value.members().ok_or_else(|| {
            not_json(&format!("json: cannot unmarshal {} into Go value of type httpserver.{request}", kind(value)))
        })?;
        Ok(Self { request, members: members.map(|(name, value)| (name.decode(), value)).collect(), _room: None })
    }

    /// A member that is there and not null.
    pub(super) fn value(&self, name: &str) -> Option<Value<'b>> {
        let exact = self.members.iter().find(|(other, _)| other == name);
        let found = exact.or_else(|| self.members.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)));
        found.map(|(_, value)| *value).filter(|value| !is_null(*value))
    }

    fn wrong(&self, name: &str, value: Value<'_>, expected: &str) -> Fault {
        let (kind, request) = (kind(value), self.request);
        not_json(&format!("json: cannot unmarshal {kind} into Go struct field {request}.{name} of type {expected}"))
    }

    /// Empty: it is absent.
    pub(super) fn text(&self, name: &str) -> Result<String, Fault> {
        match self.value(name).map(|value| (value, value.scalar())) {
            None => Ok(String::new()),
            Some((_, Some(JsonScalar::Text(text)))) => Ok(text.into_owned()),
            Some((value, _)) => Err(self.wrong(name, value, "string")),
        }
    }

    pub(super) fn int(&self, name: &str) -> Result<Option<i64>, Fault> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let number = match value.scalar() {
            Some(JsonScalar::Number(number)) => number.as_i64().filter(|number| i32::try_from(*number).is_ok()),
            _ => None,
        };
        number.map(Some).ok_or_else(|| self.wrong(name, value, "int32"))
    }

    /// False: it is absent.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Fault> {
        match self.value(name).map(|value| (value, value.scalar())) {
            None => Ok(false),
            Some((_, Some(JsonScalar::Bool(flag)))) => Ok(flag),
            Some((value, _)) => Err(self.wrong(name, value, "bool")),
        }
    }

    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Fault> {
        let Some(list) = self.list(name)? else { return Ok(None) };
        let texts = list.map(|value| match value.scalar() {
            Some(JsonScalar::Text(text)) => Ok(text.into_owned()),
            _ if is_null(value) => Ok(String::new()),
            _ => Err(self.wrong(name, value, "string")),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    pub(super) fn list(&self, name: &str) -> Result<Option<impl Iterator<Item = Value<'b>> + use<'b>>, Fault> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.elements().map(Some).ok_or_else(|| self.wrong(name, value, "[]interface {}"))
    }

    /// Objects of a list; none: it is absent.
    pub(super) fn objects(&self, name: &str, request: &'static str) -> Result<Vec<Members<'b>>, Fault> {
        let Some(list) = self.list(name)? else { return Ok(Vec::new()) };
        list.map(|value| Members::of(request, value)).collect()
    }

    pub(super) fn object(&self, name: &str, request: &'static str) -> Result<Option<Members<'b>>, Fault> {
        self.value(name).map(|value| Members::of(request, value)).transpose()
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (&str, Value<'b>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// A text that must be there.
    pub(super) fn required(&self, name: &str) -> Result<String, Fault> {
        match self.text(name)? {
            text if text.is_empty() => Err(self.missing(name)),
            text => Ok(text),
        }
    }

    /// The error of a member that must be there, in the words of Milvus' validator.
    pub(super) fn missing(&self, name: &str) -> Fault {
        let mut rest = name.chars();
        let field: String = rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).collect();
        let request = self.request;
        Fault::Coded(
            MISSING_PARAMETER,
            format!(
                "missing required parameters, error: Key: '{request}.{field}' Error:Field validation for '{field}' \
                 failed on the 'required' tag"
            ),
        )
    }

    /// Refuses members that mean something in Milvus and nothing here, unless they say nothing.
    pub(super) fn refuse(&self, names: &[&str]) -> Result<(), Fault> {
        let says_nothing = |value: Value<'_>| {
            let is_empty = value.elements().is_some_and(|mut list| list.next().is_none())
                || value.members().is_some_and(|mut members| members.next().is_none());
            is_empty || matches!(value.raw(), b"false" | b"\"\"")
        };
        let said = |name: &&&str| self.value(name).is_some_and(|value| !says_nothing(value));
        match names.iter().find(said) {
            Some(name) => Err(Fault::unsupported(name)),
            None => Ok(()),
        }
    }
}

/// The numbers of a list of numbers.
pub(super) fn numbers<T: std::str::FromStr>(list: &[u8], mut take: impl FnMut(T)) -> bool {
    let mut reader = Reader::new(list);
    if !matches!(reader.event(), Ok(Some(JsonEvent::ArrayStart))) {
        return false;
    }
    loop {
        match reader.event() {
            Ok(Some(JsonEvent::Number(number))) => match number.raw().parse() {
                Ok(number) => take(number),
                Err(_) => return false,
            },
            Ok(Some(JsonEvent::End)) => return true,
            _ => return false,
        }
    }
}

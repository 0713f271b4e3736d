//! Requests: members from a JSON body or from the query string, by the rules of Milvus' server, which is written in Go.
//!
//! Member names are compared without case; unknown ones are ignored; `null` counts as absent. A number must be whole
//! and fit its type; a string is no number. Errors have the words that Milvus' clients know.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::{Query, rejection::BytesRejection},
    http::Uri,
};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::json;

/// A body as axum has read it.
pub(super) type ReceivedBody = Result<Bytes, BytesRejection>;

/// Type of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MemberKind {
    Int,
    Uint,
    Flag,
    Text,
    Ints,
}

impl MemberKind {
    /// Name of the type in messages.
    fn name(self) -> &'static str {
        match self {
            Self::Int | Self::Ints => "int64",
            Self::Uint => "uint64",
            Self::Flag => "bool",
            Self::Text => "string",
        }
    }
}

/// A kind of request: its name in messages, and its members.
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) members: &'static [(&'static str, MemberKind)],
}

#[derive(Debug, Clone, PartialEq)]
enum Member {
    Int(i64),
    Uint(u64),
    Flag(bool),
    Text(String),
    Ints(Vec<i64>),
}

/// The members that were given; absent ones read as zero.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Values(BTreeMap<&'static str, Member>);

impl Values {
    pub(super) fn int(&self, name: &str) -> i64 {
        if let Some(Member::Int(value)) = self.0.get(name) { *value } else { 0 }
    }

    pub(super) fn uint(&self, name: &str) -> u64 {
        if let Some(Member::Uint(value)) = self.0.get(name) { *value } else { 0 }
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.get(name) == Some(&Member::Flag(true))
    }

    /// Takes the text out.
    pub(super) fn text(&mut self, name: &str) -> String {
        if let Some(Member::Text(value)) = self.0.remove(name) { value } else { String::new() }
    }

    /// Takes the list out.
    pub(super) fn ints(&mut self, name: &str) -> Vec<i64> {
        if let Some(Member::Ints(value)) = self.0.remove(name) { value } else { Vec::new() }
    }
}

impl Message {
    /// Reads the query string, then the body, which wins. The error is the reason of the answer.
    pub(super) fn read(&self, uri: &Uri, body: &[u8]) -> Result<Values, String> {
        let mut values = Values::default();
        let bad_query = |text: String| format!("bad request: parse query failed: {text}");
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|e| bad_query(e.to_string()))?;
        for (name, text) in pairs {
            if let Some((name, kind)) = self.member(&name) {
                values.0.insert(name, self.text_member(name, kind, text).map_err(bad_query)?);
            }
        }
        if !body.iter().all(u8::is_ascii_whitespace) {
            self.read_body(body, &mut values).map_err(|text| format!("bad request: parse body failed: {text}"))?;
        }
        Ok(values)
    }

    fn member(&self, name: &str) -> Option<(&'static str, MemberKind)> {
        let exact = self.members.iter().find(|(member, _)| *member == name);
        exact.or_else(|| self.members.iter().find(|(member, _)| member.eq_ignore_ascii_case(name))).copied()
    }

    fn read_body(&self, body: &[u8], values: &mut Values) -> Result<(), String> {
        // The body is checked as a whole, and read a value at a time: as a tree it would take many times its bytes.
        serde_json::from_slice::<IgnoredAny>(body).map_err(|e| syntax(body, &e))?;
        let Some(root) = json::find(body, &[]) else { return Err("unexpected EOF".to_owned()) };
        let Some(members) = root.members() else {
            return match self::value(root)? {
                Value::Null => Ok(()),
                other => {
                    let (what, name) = (describe(&other), self.name);
                    Err(format!("json: cannot unmarshal {what} into Go value of type milvuspb.{name}"))
                }
            };
        };
        for (name, given) in members {
            if let Some((name, kind)) = self.member(&name.decode())
                && given.raw() != b"null"
            {
                values.0.insert(name, self.json_member(name, kind, given)?);
            }
        }
        Ok(())
    }

    fn json_member(&self, name: &str, kind: MemberKind, given: json::Value<'_>) -> Result<Member, String> {
        let refusal = |value: &Value, kind: MemberKind| {
            let (what, field) = (describe(value), format!("{}.{name}", self.name));
            format!("json: cannot unmarshal {what} into Go struct field {field} of type {}", kind.name())
        };
        if let (MemberKind::Ints, Some(list)) = (kind, given.elements()) {
            let number = |entry: json::Value<'_>| {
                let entry = self::value(entry)?;
                entry.as_i64().ok_or_else(|| refusal(&entry, MemberKind::Int))
            };
            return list.map(number).collect::<Result<_, _>>().map(Member::Ints);
        }
        match (kind, self::value(given)?) {
            (MemberKind::Flag, Value::Bool(flag)) => Ok(Member::Flag(flag)),
            (MemberKind::Text, Value::String(text)) => Ok(Member::Text(text)),
            (MemberKind::Int, value) => value.as_i64().map(Member::Int).ok_or_else(|| refusal(&value, kind)),
            (MemberKind::Uint, value) => value.as_u64().map(Member::Uint).ok_or_else(|| refusal(&value, kind)),
            (kind, value) => Err(refusal(&value, kind)),
        }
    }

    /// A member of the query string; a list is separated by commas.
    fn text_member(&self, name: &str, kind: MemberKind, text: String) -> Result<Member, String> {
        let refusal = |text: &str| format!("{name} is {text:?}: must be of type {}", kind.name());
        match kind {
            MemberKind::Text => Ok(Member::Text(text)),
            MemberKind::Int => text.parse().map(Member::Int).map_err(|_| refusal(&text)),
            MemberKind::Uint => text.parse().map(Member::Uint).map_err(|_| refusal(&text)),
            MemberKind::Flag => text.parse().map(Member::Flag).map_err(|_| refusal(&text)),
            MemberKind::Ints => text
                .split(',')
                .map(|entry| entry.parse().map_err(|_| refusal(entry)))
                .collect::<Result<_, _>>()
                .map(Member::Ints),
        }
    }
}

/// A value that is no list and no object; of those an empty one.
fn value(given: json::Value<'_>) -> Result<Value, String> {
    match given.raw().first() {
        Some(b'[') => Ok(Value::Array(Vec::new())),
        Some(b'{') => Ok(Value::Object(serde_json::Map::new())),
        _ => serde_json::from_slice(given.raw()).map_err(|e| syntax(given.raw(), &e)),
    }
}

/// The kind of a value in Go's words.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) => format!("number {number}"),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    }
}

/// A syntax error in Go's words where Go has the same kind of error, else in the parser's.
fn syntax(body: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected EOF".to_owned();
    }
    let text = error.to_string();
    let expected = [
        ("key must be a string", "looking for beginning of object key string"),
        ("trailing comma", "looking for beginning of object key string"),
        ("expected value", "looking for beginning of value"),
        ("expected ident", "looking for beginning of value"),
        ("expected `:`", "after object key"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
        ("trailing characters", "after top-level value"),
    ]
    .iter()
    .find(|(ours, _)| text.starts_with(ours));
    let line = body.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1));
    let found = line.and_then(|line| line.get(error.column().saturating_sub(1)));
    match (expected, found) {
        (Some((_, context)), Some(found)) => format!("invalid character '{}' {context}", char::from(*found)),
        _ => text,
    }
}

//! Reads parts of JSON cells without building the rest.
//!
//! A path works like a JSON pointer, as in Milvus: a key of digits also indexes a list. Reading ends as soon as the answer
//! is known, so text that is broken behind it does not matter.

use std::borrow::Cow;

use super::reader::{JsonEvent, JsonFault, Number, Reader, Text};

/// One step into a JSON value or an array. As in a JSON pointer, `"0"` and `0` mean the same step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(u64),
}

impl Step {
    fn names(&self, key: Text<'_>) -> bool {
        match self {
            Self::Key(name) => key.is(name),
            Self::Index(index) => key.is(&index.to_string()),
        }
    }

    /// The step as an index of a list.
    fn index(&self) -> Option<u64> {
        match self {
            Self::Index(index) => Some(*index),
            Self::Key(key) => key.parse().ok().filter(|index: &u64| index.to_string() == *key),
        }
    }
}

/// The value at `path` in `text`.
pub fn find<'t>(text: &'t [u8], path: &[Step]) -> Option<Value<'t>> {
    let mut reader = Reader::new(text);
    let mut event = reader.event().ok()??;
    for step in path {
        event = match event {
            JsonEvent::ObjectStart => member(&mut reader, step).ok()??,
            JsonEvent::ArrayStart => element(&mut reader, step.index()?).ok()??,
            _ => return None,
        };
    }
    value(&mut reader, event)
}

/// The first event of the value of the first member that the step names.
fn member<'t>(reader: &mut Reader<'t>, step: &Step) -> Result<Option<JsonEvent<'t>>, JsonFault> {
    while let Some(JsonEvent::Key(key)) = reader.event()? {
        let Some(event) = reader.event()? else { break };
        if step.names(key) {
            return Ok(Some(event));
        }
        reader.skip(event)?;
    }
    Ok(None)
}

/// The first event of an element.
fn element<'t>(reader: &mut Reader<'t>, index: u64) -> Result<Option<JsonEvent<'t>>, JsonFault> {
    let mut at = 0;
    while let Some(event) = reader.event()?.filter(|event| *event != JsonEvent::End) {
        if at == index {
            return Ok(Some(event));
        }
        reader.skip(event)?;
        at += 1;
    }
    Ok(None)
}

/// The value that `event` has begun.
fn value<'t>(reader: &mut Reader<'t>, event: JsonEvent<'t>) -> Option<Value<'t>> {
    let start = reader.start();
    reader.skip(event).ok()?;
    Some(Value { raw: reader.text_from(start)? })
}

/// A value inside a text, as the text spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'t> {
    raw: &'t [u8],
}

/// A value that is neither a list nor an object nor null.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonScalar<'t> {
    Bool(bool),
    Number(Number<'t>),
    Text(Cow<'t, str>),
}

impl<'t> Value<'t> {
    /// The value as the text spells it.
    pub fn raw(self) -> &'t [u8] {
        self.raw
    }

    /// `None` for null, lists and objects.
    pub fn scalar(self) -> Option<JsonScalar<'t>> {
        match Reader::new(self.raw).event().ok()?? {
            JsonEvent::Bool(value) => Some(JsonScalar::Bool(value)),
            JsonEvent::Number(value) => Some(JsonScalar::Number(value)),
            JsonEvent::Text(value) => Some(JsonScalar::Text(value.decode())),
            _ => None,
        }
    }

    /// The elements of a list. `None` for other values.
    pub fn elements(self) -> Option<impl Iterator<Item = Value<'t>>> {
        let mut reader = Reader::new(self.raw);
        if reader.event().ok()?? != JsonEvent::ArrayStart {
            return None;
        }
        Some(std::iter::from_fn(move || {
            let event = reader.event().ok()?.filter(|event| *event != JsonEvent::End)?;
            value(&mut reader, event)
        }))
    }

    /// The members of an object in their order, duplicate keys included. `None` for other values.
    pub fn members(self) -> Option<impl Iterator<Item = (Text<'t>, Value<'t>)>> {
        let mut reader = Reader::new(self.raw);
        if reader.event().ok()?? != JsonEvent::ObjectStart {
            return None;
        }
        Some(std::iter::from_fn(move || {
            let JsonEvent::Key(key) = reader.event().ok()?? else { return None };
            let event = reader.event().ok()??;
            Some((key, value(&mut reader, event)?))
        }))
    }
}

//! Expressions with placeholders: `pages > {least}` and the values beside it become one plain expression.
//!
//! Clients of Milvus 2.5 and later send values apart, so that nobody has to quote them.
//!
//! Must never: let a value be anything but one constant, make a text longer than the caller allows, or make one whose memory
//! was not taken before.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt::{self, Write},
};

use super::proto::schema::{TemplateArrayValue, TemplateValue, template_array_value::Data, template_value::Val};
use crate::{
    error::{Classify, ErrorKind},
    memory::{Extra, Full},
};

/// Why values can't be put into an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// In the words of newer releases.
    #[error("the value of expression template variable name {{{0}}} is not found")]
    Missing(String),
    #[error("placeholder at byte {0} is not closed")]
    Open(usize),
    #[error("the value of expression template variable name {{{name}}} is {what}, which no expression holds")]
    Value { name: String, what: &'static str },
    #[error("the expression has more than {most} bytes with its values")]
    TooLong { most: usize },
    /// No memory for the text.
    #[error(transparent)]
    Memory(#[from] Full),
}

impl Classify for TemplateError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Memory(full) => full.kind(),
            Self::Missing(_) | Self::Open(_) | Self::Value { .. } | Self::TooLong { .. } => ErrorKind::Invalid,
        }
    }
}

/// The expression with its values. Without values it is left as it is, placeholders too. `most` is in bytes. The text takes its
/// memory from `memory`.
///
/// # Errors
/// [`TemplateError`]; the parser of expressions finds all other faults.
pub fn fill<'e>(
    expr: &'e str,
    values: &HashMap<String, TemplateValue>,
    most: usize,
    memory: &mut Extra,
) -> Result<Cow<'e, str>, TemplateError> {
    if values.is_empty() {
        return Ok(Cow::Borrowed(expr));
    }
    // A large value may stand in many places, so the text is counted before it is written.
    let mut length = Length { bytes: 0, most };
    write_filled(&mut length, expr, values, most)?;
    memory.take(length.bytes as u64)?;
    let mut filled = String::with_capacity(length.bytes);
    write_filled(&mut filled, expr, values, most)?;
    Ok(Cow::Owned(filled))
}

/// Counts the bytes of a text, and refuses more than the most.
struct Length {
    bytes: usize,
    most: usize,
}

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes += text.len();
        if self.bytes > self.most { Err(fmt::Error) } else { Ok(()) }
    }
}

fn write_filled(
    out: &mut impl Write,
    expr: &str,
    values: &HashMap<String, TemplateValue>,
    most: usize,
) -> Result<(), TemplateError> {
    let too_long = |_: fmt::Error| TemplateError::TooLong { most };
    let mut rest = expr;
    while let Some(at) = first_placeholder(rest) {
        let (before, from) = rest.split_at(at);
        let end = from.find('}').ok_or(TemplateError::Open(expr.len() - from.len()))?;
        let name = from.get(1..end).unwrap_or_default().trim();
        let value = values.get(name).ok_or_else(|| TemplateError::Missing(name.to_owned()))?;
        out.write_str(before).map_err(too_long)?;
        write_value(out, value).map_err(|fault| match fault {
            TemplateFault::TooLong => TemplateError::TooLong { most },
            TemplateFault::Value(what) => TemplateError::Value { name: name.to_owned(), what },
        })?;
        rest = from.get(end + 1..).unwrap_or_default();
    }
    out.write_str(rest).map_err(too_long)
}

/// Where the first placeholder begins that is not within a text.
fn first_placeholder(expr: &str) -> Option<usize> {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, byte) in expr.bytes().enumerate() {
        match quote {
            _ if is_escaped => is_escaped = false,
            Some(_) if byte == b'\\' => is_escaped = true,
            Some(open) if byte == open => quote = None,
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None if byte == b'{' => return Some(at),
            _ => {}
        }
    }
    None
}

enum TemplateFault {
    TooLong,
    Value(&'static str),
}

impl From<fmt::Error> for TemplateFault {
    fn from(_: fmt::Error) -> Self {
        Self::TooLong
    }
}

type WriteResult = Result<(), TemplateFault>;

fn write_value(out: &mut impl Write, value: &TemplateValue) -> WriteResult {
    match &value.val {
        Some(Val::BoolVal(value)) => Ok(write!(out, "{value}")?),
        Some(Val::Int64Val(value)) => Ok(write!(out, "{value}")?),
        Some(Val::FloatVal(value)) => write_float(out, *value),
        Some(Val::StringVal(value)) => Ok(write_text(out, value)?),
        Some(Val::ArrayVal(list)) => write_list(out, list),
        Some(Val::BytesVal(_)) => Err(TemplateFault::Value("bytes")),
        None => Err(TemplateFault::Value("empty")),
    }
}

fn write_float(out: &mut impl Write, value: f64) -> WriteResult {
    if !value.is_finite() {
        return Err(TemplateFault::Value("no finite number"));
    }
    // With a point or an exponent, so that it stays a float.
    Ok(write!(out, "{value:?}")?)
}

fn write_text(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for sign in text.chars() {
        match sign {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            sign => out.write_char(sign)?,
        }
    }
    out.write_char('"')
}

fn write_list(out: &mut impl Write, list: &TemplateArrayValue) -> WriteResult {
    match &list.data {
        Some(Data::ArrayData(list)) => write_items(out, &list.data, write_flat),
        _ => write_flat(out, list),
    }
}

/// A list of constants. A list within a list within a list has no meaning, and so there is no depth that a client could choose.
fn write_flat(out: &mut impl Write, list: &TemplateArrayValue) -> WriteResult {
    match &list.data {
        Some(Data::BoolData(list)) => write_items(out, &list.data, |out, value| Ok(write!(out, "{value}")?)),
        Some(Data::LongData(list)) => write_items(out, &list.data, |out, value| Ok(write!(out, "{value}")?)),
        Some(Data::DoubleData(list)) => write_items(out, &list.data, |out, value| write_float(out, *value)),
        Some(Data::StringData(list)) => write_items(out, &list.data, |out, text| Ok(write_text(out, text)?)),
        Some(Data::ArrayData(_)) => Err(TemplateFault::Value("a list of lists of lists")),
        // Values of several types.
        Some(Data::JsonData(list)) => write_items(out, &list.data, |out, json| write_json(out, json)),
        None => write_items::<(), _>(out, &[], |_, ()| Ok(())),
    }
}

fn write_items<T, W: Write>(out: &mut W, items: &[T], write: impl Fn(&mut W, &T) -> WriteResult) -> WriteResult {
    out.write_char('[')?;
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.write_str(", ")?;
        }
        write(out, item)?;
    }
    Ok(out.write_char(']')?)
}

fn write_json(out: &mut impl Write, json: &[u8]) -> WriteResult {
    // Lists and objects are refused, and may be large as a tree.
    let is_scalar = !matches!(json.trim_ascii_start().first(), Some(b'[' | b'{'));
    match if is_scalar { serde_json::from_slice(json) } else { Ok(serde_json::Value::Null) } {
        Ok(serde_json::Value::String(text)) => Ok(write_text(out, &text)?),
        Ok(value @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_))) => Ok(write!(out, "{value}")?),
        Ok(_) => Err(TemplateFault::Value("a list with null, lists or objects beside other values")),
        Err(_) => Err(TemplateFault::Value("a list with a value that is no JSON")),
    }
}

#[cfg(test)]
mod tests;

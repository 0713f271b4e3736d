//! Expressions with placeholders: `pages > {least}` and the values beside it become one plain expression.
//!
//! Clients of Milvus 2.5 and later send values apart, so that nobody has to quote them.
//!
//! Must never: let a value be anything but one constant, or make a text longer than the caller allows.

use std::{borrow::Cow, collections::HashMap};

use super::proto::schema::{TemplateArrayValue, TemplateValue, template_array_value::Data, template_value::Val};
use crate::error::{Classify, ErrorKind};

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
}

impl Classify for TemplateError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// The expression with its values. Without values it is left as it is, placeholders too. `most` is in bytes.
///
/// # Errors
/// [`TemplateError`]; the parser of expressions finds all other faults.
pub fn fill<'e>(
    expr: &'e str,
    values: &HashMap<String, TemplateValue>,
    most: usize,
) -> Result<Cow<'e, str>, TemplateError> {
    if values.is_empty() {
        return Ok(Cow::Borrowed(expr));
    }
    let mut filled = String::new();
    let mut rest = expr;
    while let Some(at) = first_placeholder(rest) {
        let (before, from) = rest.split_at(at);
        let end = from.find('}').ok_or(TemplateError::Open(expr.len() - from.len()))?;
        let name = from.get(1..end).unwrap_or_default().trim();
        let value = values.get(name).ok_or_else(|| TemplateError::Missing(name.to_owned()))?;
        filled.push_str(before);
        write_value(&mut filled, value, most).map_err(|fault| match fault {
            TemplateFault::TooLong => TemplateError::TooLong { most },
            TemplateFault::Value(what) => TemplateError::Value { name: name.to_owned(), what },
        })?;
        rest = from.get(end + 1..).unwrap_or_default();
    }
    filled.push_str(rest);
    if filled.len() > most { Err(TemplateError::TooLong { most }) } else { Ok(Cow::Owned(filled)) }
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

/// Stops as soon as the text is too long, because a large value may stand in many places.
fn write_value(filled: &mut String, value: &TemplateValue, most: usize) -> Result<(), TemplateFault> {
    match &value.val {
        Some(Val::BoolVal(value)) => filled.push_str(&value.to_string()),
        Some(Val::Int64Val(value)) => filled.push_str(&value.to_string()),
        Some(Val::FloatVal(value)) => write_float(filled, *value)?,
        Some(Val::StringVal(value)) => write_text(filled, value),
        Some(Val::ArrayVal(list)) => write_list(filled, list, most)?,
        Some(Val::BytesVal(_)) => return Err(TemplateFault::Value("bytes")),
        None => return Err(TemplateFault::Value("empty")),
    }
    within(filled, most)
}

fn within(filled: &str, most: usize) -> Result<(), TemplateFault> {
    if filled.len() > most { Err(TemplateFault::TooLong) } else { Ok(()) }
}

fn write_float(filled: &mut String, value: f64) -> Result<(), TemplateFault> {
    if !value.is_finite() {
        return Err(TemplateFault::Value("no finite number"));
    }
    // With a point or an exponent, so that it stays a float.
    filled.push_str(&format!("{value:?}"));
    Ok(())
}

fn write_text(filled: &mut String, text: &str) {
    filled.push('"');
    for sign in text.chars() {
        match sign {
            '"' => filled.push_str("\\\""),
            '\\' => filled.push_str("\\\\"),
            '\n' => filled.push_str("\\n"),
            '\r' => filled.push_str("\\r"),
            sign => filled.push(sign),
        }
    }
    filled.push('"');
}

fn write_list(filled: &mut String, list: &TemplateArrayValue, most: usize) -> Result<(), TemplateFault> {
    match &list.data {
        Some(Data::BoolData(list)) => write_items(filled, &list.data, most, |filled, value| {
            filled.push_str(&value.to_string());
            Ok(())
        }),
        Some(Data::LongData(list)) => write_items(filled, &list.data, most, |filled, value| {
            filled.push_str(&value.to_string());
            Ok(())
        }),
        Some(Data::DoubleData(list)) => {
            write_items(filled, &list.data, most, |filled, value| write_float(filled, *value))
        }
        Some(Data::StringData(list)) => write_items(filled, &list.data, most, |filled, text| {
            write_text(filled, text);
            Ok(())
        }),
        Some(Data::ArrayData(list)) => {
            write_items(filled, &list.data, most, |filled, list| write_flat(filled, list, most))
        }
        // Values of several types.
        Some(Data::JsonData(list)) => write_items(filled, &list.data, most, |filled, json| write_json(filled, json)),
        None => write_items::<()>(filled, &[], most, |_, ()| Ok(())),
    }
}

/// A list within a list. A third level has no meaning, and so there is no depth that a client could choose.
fn write_flat(filled: &mut String, list: &TemplateArrayValue, most: usize) -> Result<(), TemplateFault> {
    match &list.data {
        Some(Data::ArrayData(_)) => Err(TemplateFault::Value("a list of lists of lists")),
        _ => write_list(filled, list, most),
    }
}

fn write_items<T>(
    filled: &mut String,
    items: &[T],
    most: usize,
    write: impl Fn(&mut String, &T) -> Result<(), TemplateFault>,
) -> Result<(), TemplateFault> {
    filled.push('[');
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            filled.push_str(", ");
        }
        write(filled, item)?;
        within(filled, most)?;
    }
    filled.push(']');
    Ok(())
}

fn write_json(filled: &mut String, json: &[u8]) -> Result<(), TemplateFault> {
    // Lists and objects are refused, and may be large as a tree.
    let is_scalar = !matches!(json.trim_ascii_start().first(), Some(b'[' | b'{'));
    match if is_scalar { serde_json::from_slice(json) } else { Ok(serde_json::Value::Null) } {
        Ok(serde_json::Value::String(text)) => write_text(filled, &text),
        Ok(value @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_))) => filled.push_str(&value.to_string()),
        Ok(_) => return Err(TemplateFault::Value("a list with null, lists or objects beside other values")),
        Err(_) => return Err(TemplateFault::Value("a list with a value that is no JSON")),
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! Errors in a filter expression, with their place.

use crate::error::{Classify, ErrorKind};

/// Most bytes of an expression that an error quotes, because an expression may have a million keys.
const QUOTED_BYTES: usize = 256;
/// Most bytes of a message, because it may quote a part of an expression.
const MESSAGE_BYTES: usize = 512;

/// A refused expression. It is always the client's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot parse expression: {expr}, error: {message}{}", place(*.is_syntax, *.column))]
pub struct ExprError {
    /// The expression, shortened.
    pub expr: String,
    /// Place of the error, in characters, counted from 1.
    pub column: usize,
    /// The error without its place.
    pub message: String,
    /// The expression can't be read; otherwise it does not fit the schema.
    pub is_syntax: bool,
}

/// Milvus tells the place of an error of syntax only.
fn place(is_syntax: bool, column: usize) -> String {
    if is_syntax { format!(" at column {column}") } else { String::new() }
}

impl ExprError {
    pub(super) fn of_syntax(text: &str, fault: ExprFault) -> Self {
        Self { is_syntax: true, ..Self::of_meaning(text, fault) }
    }

    pub(super) fn of_meaning(text: &str, fault: ExprFault) -> Self {
        let at = floor_char(text, fault.at);
        let column = text.get(..at).unwrap_or_default().chars().count() + 1;
        Self { expr: shorten(text, QUOTED_BYTES), column, message: fault.message, is_syntax: false }
    }

    /// The reason that Milvus gives if it refuses the expression of a delete. It does not tell the fault.
    pub fn delete_reason(&self) -> String {
        format!("failed to create expr plan, expr = {}", self.expr)
    }
}

impl Classify for ExprError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// An error without the text of the expression, which the caller adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExprFault {
    /// Byte offset.
    pub(super) at: usize,
    pub(super) message: String,
}

impl ExprFault {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: shorten(&message.into(), MESSAGE_BYTES) }
    }
}

fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Cuts text to at most so many bytes, plus an ellipsis.
fn shorten(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", text.get(..floor_char(text, most)).unwrap_or_default())
}

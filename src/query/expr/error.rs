//! What is wrong with a filter expression, and where.

use crate::error::{Classify, ErrorKind};

/// Text of an expression that is repeated in an error; a list of a million keys is not.
const QUOTED_BYTES: usize = 256;
/// Text of a message, which may repeat a part of an expression.
const MESSAGE_BYTES: usize = 512;

/// A refused expression. Always the caller's mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot parse expression: {expr}, error: {message} at column {column}")]
pub struct ExprError {
    /// The expression, shortened.
    pub expr: String,
    /// Where, counted in characters from 1.
    pub column: usize,
    /// What, without the place.
    pub message: String,
}

impl ExprError {
    pub(super) fn new(text: &str, fault: Fault) -> Self {
        let at = floor_char(text, fault.at);
        let before = text.get(..at).unwrap_or_default();
        Self { expr: shorten(text, QUOTED_BYTES), column: before.chars().count() + 1, message: fault.message }
    }

    /// The reason Milvus gives when the expression of a delete is refused; clients look for its beginning.
    pub fn delete_reason(&self) -> String {
        format!("failed to create expr plan, expr = {}: {} at column {}", self.expr, self.message, self.column)
    }
}

impl Classify for ExprError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// A fault inside an expression whose text is known further up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Byte offset.
    pub(super) at: usize,
    pub(super) message: String,
}

impl Fault {
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

/// Text of at most so many bytes.
fn shorten(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", text.get(..floor_char(text, most)).unwrap_or_default())
}

//! Errors in a filter expression, with their place.

use std::fmt::{self, Display, Write as _};

use crate::{
    error::{Classify, ErrorKind},
    memory::Full,
};

/// Most bytes of an expression that an error quotes, because an expression may have a million keys.
const QUOTED_BYTES: usize = 256;
/// Most bytes of a message, because it may quote a part of an expression.
const MESSAGE_BYTES: usize = 512;

/// A filter that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error(transparent)]
    Expr(#[from] ExprError),
    /// No memory for the tree of the expression, or for its form that is evaluated.
    #[error(transparent)]
    Memory(#[from] Full),
}

impl Classify for FilterError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Expr(error) => error.kind(),
            Self::Memory(full) => full.kind(),
        }
    }
}

impl FilterError {
    pub(super) fn of_syntax(text: &str, fault: ExprFault) -> Self {
        Self::of(text, fault, true)
    }

    pub(super) fn of_meaning(text: &str, fault: ExprFault) -> Self {
        Self::of(text, fault, false)
    }

    fn of(text: &str, fault: ExprFault, is_syntax: bool) -> Self {
        match fault {
            ExprFault::Memory(full) => full.into(),
            ExprFault::Text { at, message } => {
                let at = floor_char(text, at);
                let column = text.get(..at).unwrap_or_default().chars().count() + 1;
                ExprError { expr: shorten(text, QUOTED_BYTES), column, message, is_syntax }.into()
            }
        }
    }
}

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
pub(super) enum ExprFault {
    Text {
        /// Byte offset.
        at: usize,
        message: String,
    },
    Memory(Full),
}

impl ExprFault {
    pub(super) fn new(at: usize, message: impl Display) -> Self {
        let mut shown = Shortened { text: String::new(), most: MESSAGE_BYTES };
        // An error means that the message was cut.
        let _cut = write!(shown, "{message}");
        Self::Text { at, message: shown.text }
    }
}

impl From<Full> for ExprFault {
    fn from(full: Full) -> Self {
        Self::Memory(full)
    }
}

/// The beginning of a text. A message may quote an expression, whose text would take more memory than was counted.
struct Shortened {
    text: String,
    most: usize,
}

impl fmt::Write for Shortened {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.most.saturating_sub(self.text.len());
        if part.len() <= room {
            self.text.push_str(part);
            return Ok(());
        }
        self.text.push_str(part.get(..floor_char(part, room)).unwrap_or_default());
        self.text.push('…');
        Err(fmt::Error)
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

//! Small texts as trees, for parameters whose names and kinds are not known before.
//!
//! Must never: make a tree of a long text. A value takes two bytes in the text and 32 in the tree.

use serde::de::DeserializeOwned;

/// Bytes of a text that becomes a tree.
pub const MAX_TREE_BYTES: usize = 65_535;

/// A text of which no tree is made.
#[derive(Debug, thiserror::Error)]
pub enum TreeFault {
    #[error("the parameters have {0} bytes, the limit is {MAX_TREE_BYTES}")]
    TooLong(usize),
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
}

/// Reads parameters.
///
/// # Errors
/// A text that is too long, is no JSON, or does not fit the type.
pub fn tree<T: DeserializeOwned>(text: &[u8]) -> Result<T, TreeFault> {
    if text.len() > MAX_TREE_BYTES {
        return Err(TreeFault::TooLong(text.len()));
    }
    Ok(serde_json::from_slice(text)?)
}

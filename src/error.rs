//! Kinds of errors, by the reaction that they call for.
//!
//! Every module has its own error enum, which implements [`Classify`]. A kind exists only if a caller reacts differently to
//! it. Must never: know wire codes; `wire::status` maps kinds to them.

/// Most bytes of an error's text that leaves the process. Clients refuse headers above 8 to 16 kB, and a byte may take
/// three bytes in a header.
pub const MAX_TEXT_BYTES: usize = 2000;

/// Shortens a long text by cutting its middle, and marks the cut. Most texts repeat a client's value there and end with the
/// reason, which must stay.
pub fn cut(text: String) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text;
    }
    let is_boundary = |at: &usize| text.is_char_boundary(*at);
    let head = (0..=MAX_TEXT_BYTES / 2).rev().find(is_boundary).unwrap_or_default();
    let tail = (text.len() - MAX_TEXT_BYTES / 4..text.len()).find(is_boundary).unwrap_or(text.len());
    let (begin, end) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    format!("{begin}… ({} of {} bytes left out) …{end}", tail - head, text.len())
}

/// The reaction that an error calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong, and a retry would not help. The text names field, value and limit.
    Invalid,
    /// A thing that the caller named does not exist. A missing thing that our own records name is [`ErrorKind::Corrupt`].
    NotFound,
    /// The named thing exists already, with other content.
    Conflict,
    /// The request is right, but the state is not (not loaded, switched off). The caller must change the state first.
    Precondition,
    /// Stored bytes are wrong, or missing although a record names them. A retry does not help. The text names the object
    /// and, if known, the offset.
    Corrupt,
    /// A store or a peer did not answer. A retry may help.
    Transient,
    /// A limit of this process was reached (size, memory, disk).
    Exhausted,
    /// The work was asked to stop.
    Cancelled,
    /// This process no longer owns the store or the catalog (P6).
    Fenced,
    /// A defect in this program.
    Internal,
}

impl ErrorKind {
    /// Name for logs, metrics labels and stored failure reasons.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Precondition => "precondition",
            Self::Corrupt => "corrupt",
            Self::Transient => "transient",
            Self::Exhausted => "exhausted",
            Self::Cancelled => "cancelled",
            Self::Fenced => "fenced",
            Self::Internal => "internal",
        }
    }

    /// True if the same call may succeed later without any change.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Exhausted)
    }
}

/// Implemented by the error enum of every module.
pub trait Classify {
    /// The kind of this error.
    fn kind(&self) -> ErrorKind;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters_and_keep_both_ends() {
        let short = "é".repeat(MAX_TEXT_BYTES / 2);
        assert_eq!(cut(short.clone()), short);
        for long in ["x".repeat(1 << 20), "é".repeat(1 << 20), "x😀".repeat(1001)] {
            let text = cut(format!("channel {long} is not of the collection"));
            assert!(text.len() <= MAX_TEXT_BYTES, "{}", text.len());
            assert!(text.starts_with("channel ") && text.ends_with(" is not of the collection"), "{text}");
            assert!(text.contains(&format!(" of {} bytes left out", long.len() + 33)), "{text}");
        }
    }
}

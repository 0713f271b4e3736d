//! What a caller should do about an error.
//!
//! Every module has its own error enum; all of them answer [`Classify::kind`]. A kind exists only if somebody acts
//! differently on it. Mapping a kind to a wire code happens in `wire::status` and nowhere else.

/// Longest text of an error that leaves the process, in bytes. A client refuses headers of more than 8 to 16 kB, and a byte
/// may take three in a header.
pub const MAX_TEXT_BYTES: usize = 2000;

/// Cuts a text that is too long in its middle and says so: most texts repeat a client's value there, and end with what is
/// wrong with it.
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

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong and stays wrong; the text names field, value and limit.
    Invalid,
    /// What the caller named does not exist. Never what something of our own names (a record, an object): were it
    /// missing, that would be [`ErrorKind::Corrupt`].
    NotFound,
    /// The named thing exists already, with other content.
    Conflict,
    /// Right request, wrong moment (not loaded, switched off): the caller has to change the state first.
    Precondition,
    /// Stored bytes can't be right, or are not there though something stored names them. Retrying does not help; the
    /// text names the object and, if there is one, the offset.
    Corrupt,
    /// A store or a peer did not answer; trying again may help.
    Transient,
    /// A limit of this process was reached (size, memory, disk).
    Exhausted,
    /// Somebody asked for the work to stop.
    Cancelled,
    /// The writer is not the leader any more (P6).
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

    /// True if the same call may succeed later without anybody changing anything.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Exhausted)
    }
}

/// Implemented by the error enum of every module.
pub trait Classify {
    /// What a caller can do about this error.
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

//! Text that is never printed.

use zeroize::Zeroizing;

/// Printed in place of a secret.
pub(super) const MASK: &str = "***";

/// A password or a key. `Debug` and `Display` print a mask; the memory is cleared when the last copy is dropped.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. It must go where it is needed and nowhere else: no log line, no error, no answer.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `text` without this secret, for texts of others that may repeat it.
    pub fn removed_from(&self, text: String) -> String {
        // A secret of few letters is in every text by chance; taking it out would tell it.
        if self.0.len() < SHORTEST_REMOVED || !text.contains(self.expose()) {
            return text;
        }
        text.replace(self.expose(), MASK)
    }
}

/// Shorter secrets are left in texts of others.
const SHORTEST_REMOVED: usize = 4;

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

impl Eq for Secret {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(MASK)
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_a_mask_and_is_taken_out_of_other_texts() {
        let secret = Secret::new("opensesame");
        assert_eq!((format!("{secret}"), format!("{secret:?}")), ("***".to_owned(), "***".to_owned()));
        assert_eq!(secret.removed_from("key opensesame is refused".to_owned()), "key *** is refused");
        assert_eq!(Secret::new("a").removed_from("a banana".to_owned()), "a banana");
        assert_eq!(Secret::default().removed_from("nothing".to_owned()), "nothing");
    }
}

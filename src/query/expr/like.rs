//! Patterns of `like`: `%` is any text, `_` any one character, a backslash takes the next character literally.
//!
//! Milvus 2.3 accepts `%` at the end only and has no other wildcard; this is the language of later versions, and of
//! SQL. It differs in two patterns that 2.3 accepts: `_` is a wildcard, and an empty pattern matches the empty text
//! (there: any text, which in a delete would be every row).

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Pieces between the `%`s; one more than there are `%`s.
    pieces: Vec<Vec<Unit>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Is(char),
    Any,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut pieces = vec![Vec::new()];
        let mut piece = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '%' => {
                    pieces.pop();
                    pieces.extend([std::mem::take(&mut piece), Vec::new()]);
                }
                '_' => piece.push(Unit::Any),
                '\\' => piece.push(Unit::Is(chars.next().unwrap_or('\\'))),
                c => piece.push(Unit::Is(c)),
            }
        }
        pieces.pop();
        pieces.push(piece);
        Self { pieces }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.pieces.split_first() else { return false };
        let Some(mut text) = strip(first, text) else { return false };
        let Some((last, middle)) = rest.split_last() else { return text.is_empty() };
        for piece in middle {
            // The leftmost place is never worse than a later one.
            let Some(behind) = find(piece, text) else { return false };
            text = behind;
        }
        ends_with(last, text)
    }
}

/// What follows the piece at the beginning of `text`.
fn strip<'t>(piece: &[Unit], text: &'t str) -> Option<&'t str> {
    let mut chars = text.chars();
    for unit in piece {
        let c = chars.next()?;
        if matches!(unit, Unit::Is(expected) if *expected != c) {
            return None;
        }
    }
    Some(chars.as_str())
}

fn find<'t>(piece: &[Unit], text: &'t str) -> Option<&'t str> {
    let mut text = text;
    loop {
        if let Some(behind) = strip(piece, text) {
            return Some(behind);
        }
        let mut chars = text.chars();
        chars.next()?;
        text = chars.as_str();
    }
}

fn ends_with(piece: &[Unit], text: &str) -> bool {
    let mut chars = text.chars();
    piece.iter().rev().all(|unit| match (unit, chars.next_back()) {
        (_, None) => false,
        (Unit::Any, Some(_)) => true,
        (Unit::Is(expected), Some(c)) => *expected == c,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("ab%", "abc", true),
            ("ab%", "ab", true),
            ("ab%", "xab", false),
            ("%", "", true),
            ("", "", true),
            ("", "a", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("%c", "abc", true),
            ("%c", "cb", false),
            ("%b%", "abc", true),
            ("a%c", "abbc", true),
            ("a%c", "ac", true),
            ("a%c", "a", false),
            ("a%a", "a", false),
            ("a_c%", "abc", true),
            ("a_c%", "ac", false),
            ("_", "é", true),
            ("%ab%ab%", "ab", false),
            ("%ab%ab%", "abab", true),
            ("%a_%c", "xaabc", true),
            (r"a\_c", "a_c", true),
            (r"a\_c", "abc", false),
            (r"100\%", "100%", true),
            (r"100\%", "1000", false),
            (r"a\", r"a\", true),
            ("a%%c", "ac", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{text:?} like {pattern:?}");
        }
    }
}

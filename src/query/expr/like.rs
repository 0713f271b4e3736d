//! Patterns of `like`: `%` is any text, `_` any one character, a backslash takes the next character literally.
//!
//! Milvus 2.3 accepts `%` only at the end and has no other wildcard. These patterns are those of later versions, and of
//! SQL. Two patterns that 2.3 accepts have another meaning there: `_` is an ordinary character, and an empty pattern
//! matches any text, so a delete would hit every row. Here it matches the empty text.
//!
//! A pattern is compiled once. Matching reads the text once, for any pattern: the first and the last piece have fixed
//! places, and each piece between two `%`s is searched behind the previous one. The leftmost place is never worse than a
//! later one, so no search goes back.

use std::{collections::HashMap, fmt};

use memchr::memmem;

/// Longest pattern in bytes: four times the longest text of a field.
const MAX_PATTERN: usize = 256 << 10;

/// Longest piece with a `_` between two `%`s, in characters. For each character of the text, the search takes a step per 64
/// characters of the piece.
const MAX_FLOATING: usize = 1_024;
const WORDS: usize = MAX_FLOATING / 64;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(in crate::query) struct Pattern {
    /// The piece before the first `%`.
    first: PatternPiece,
    /// The pieces between two `%`s; none is empty.
    middle: Vec<Floating>,
    /// The piece behind the last `%`; None: there is no `%`.
    last: Option<PatternPiece>,
    /// Length of the shortest text that can match.
    min_bytes: usize,
}

/// A pattern that is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TooLong {
    Pattern(usize),
    PatternPiece(usize),
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(bytes) => write!(f, "pattern of like has {bytes} bytes, more than {MAX_PATTERN}"),
            Self::PatternPiece(chars) => {
                write!(f, "pattern of like has {chars} characters with '_' between two '%', more than {MAX_FLOATING}")
            }
        }
    }
}

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, TooLong> {
        if text.len() > MAX_PATTERN {
            return Err(TooLong::Pattern(text.len()));
        }
        let mut pieces = pieces(text);
        let min_bytes = pieces.iter().map(PatternPiece::min_bytes).sum();
        let last = if pieces.len() > 1 { pieces.pop() } else { None };
        let mut pieces = pieces.into_iter();
        let first = pieces.next().unwrap_or_default();
        let middle = pieces.filter(|piece| !piece.0.is_empty()).map(Floating::new).collect::<Result<_, _>>()?;
        Ok(Self { first, middle, last, min_bytes })
    }

    pub(in crate::query) fn matches(&self, text: &str) -> bool {
        if text.len() < self.min_bytes {
            return false;
        }
        let Some(mut rest) = self.first.strip(text) else { return false };
        let Some(last) = &self.last else { return rest.is_empty() };
        for piece in &self.middle {
            let Some(behind) = piece.find(rest).and_then(|end| rest.get(end..)) else { return false };
            rest = behind;
        }
        last.ends(rest)
    }
}

/// Memory of the compiled form of a pattern, at most.
pub(super) fn compiled_bytes(text: &str) -> u64 {
    /// A piece that is searched.
    const PIECE: usize = 512;
    /// A character in the tables of such a piece, which have room for as many again.
    const CHAR: usize = 4 * (size_of::<(char, Bits)>() + 1);
    let pieces = 1 + text.bytes().filter(|byte| *byte == b'%').count();
    let per_byte = if text.contains('_') { CHAR } else { 4 };
    (pieces * PIECE + text.len() * per_byte) as u64
}

/// The pieces between the `%`s, one more than there are `%`s.
fn pieces(text: &str) -> Vec<PatternPiece> {
    let mut pieces = vec![PatternPiece::default()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '%' {
            pieces.push(PatternPiece::default());
        } else if let Some(piece) = pieces.last_mut() {
            match c {
                '_' => piece.push_any(),
                '\\' => piece.push(chars.next().unwrap_or('\\')),
                c => piece.push(c),
            }
        }
    }
    pieces
}

/// Text with wildcards for single characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct PatternPiece(Vec<PatternPart>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum PatternPart {
    Text(String),
    /// Any text of so many characters.
    Any(usize),
}

impl PatternPiece {
    fn push(&mut self, c: char) {
        match self.0.last_mut() {
            Some(PatternPart::Text(text)) => text.push(c),
            _ => self.0.push(PatternPart::Text(c.to_string())),
        }
    }

    fn push_any(&mut self) {
        match self.0.last_mut() {
            Some(PatternPart::Any(count)) => *count += 1,
            _ => self.0.push(PatternPart::Any(1)),
        }
    }

    fn min_bytes(&self) -> usize {
        self.0.iter().map(|part| if let PatternPart::Text(text) = part { text.len() } else { part.chars() }).sum()
    }

    /// The rest of `text` behind the piece, if the piece is at its beginning.
    fn strip<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.0.iter().try_fold(text, |text, part| match part {
            PatternPart::Text(wanted) => text.strip_prefix(wanted.as_str()),
            PatternPart::Any(count) => {
                let mut chars = text.chars();
                for _ in 0..*count {
                    chars.next()?;
                }
                Some(chars.as_str())
            }
        })
    }

    /// True if `text` ends with the piece.
    fn ends(&self, text: &str) -> bool {
        let rest = self.0.iter().rev().try_fold(text, |text, part| match part {
            PatternPart::Text(wanted) => text.strip_suffix(wanted.as_str()),
            PatternPart::Any(count) => {
                let mut chars = text.chars();
                for _ in 0..*count {
                    chars.next_back()?;
                }
                Some(chars.as_str())
            }
        });
        rest.is_some()
    }
}

impl PatternPart {
    fn chars(&self) -> usize {
        match self {
            Self::Text(text) => text.chars().count(),
            Self::Any(count) => *count,
        }
    }
}

/// A piece that may be at any place.
#[derive(Debug, Clone)]
enum Floating {
    Text(Box<memmem::Finder<'static>>),
    Wild(Box<Wild>),
}

impl Floating {
    fn new(piece: PatternPiece) -> Result<Self, TooLong> {
        if let [PatternPart::Text(text)] = piece.0.as_slice() {
            return Ok(Self::Text(Box::new(memmem::Finder::new(text).into_owned())));
        }
        Wild::new(&piece).map(|wild| Self::Wild(Box::new(wild)))
    }

    /// Byte offset of the end of the leftmost match.
    fn find(&self, text: &str) -> Option<usize> {
        match self {
            Self::Text(finder) => finder.find(text.as_bytes()).map(|at| at + finder.needle().len()),
            Self::Wild(wild) => wild.find(text),
        }
    }
}

/// A bit per character of a piece.
type Bits = [u64; WORDS];

/// Searches for a piece with wildcards. Bit i of the state is set if the last i + 1 characters of the text match the first
/// i + 1 characters of the piece. One shift per character of the text updates all bits.
#[derive(Debug, Clone)]
struct Wild {
    words: usize,
    /// Word and mask of the bit of the piece's last character.
    last: (usize, u64),
    /// Places of the piece where any character fits.
    any: Bits,
    /// Places of the piece where this character fits, wildcards included.
    places: HashMap<char, Bits>,
}

impl Wild {
    fn new(piece: &PatternPiece) -> Result<Self, TooLong> {
        let length = piece.0.iter().map(PatternPart::chars).sum();
        if length > MAX_FLOATING {
            return Err(TooLong::PatternPiece(length));
        }
        let mut any = Bits::default();
        let mut exact: HashMap<char, Bits> = HashMap::new();
        let mut at = 0;
        let set = |bits: &mut Bits, at: usize| {
            if let Some(word) = bits.get_mut(at / 64) {
                *word |= 1 << (at % 64);
            }
        };
        for part in &piece.0 {
            match part {
                PatternPart::Text(text) => {
                    for c in text.chars() {
                        set(exact.entry(c).or_default(), at);
                        at += 1;
                    }
                }
                PatternPart::Any(count) => {
                    for _ in 0..*count {
                        set(&mut any, at);
                        at += 1;
                    }
                }
            }
        }
        for bits in exact.values_mut() {
            bits.iter_mut().zip(any).for_each(|(word, any)| *word |= any);
        }
        let end = at.saturating_sub(1);
        Ok(Self { words: at.div_ceil(64), last: (end / 64, 1 << (end % 64)), any, places: exact })
    }

    fn find(&self, text: &str) -> Option<usize> {
        let mut state = Bits::default();
        for (at, c) in text.char_indices() {
            let places = self.places.get(&c).unwrap_or(&self.any);
            let mut carry = 1;
            for (word, places) in state.iter_mut().zip(places).take(self.words) {
                let shifted = *word << 1 | carry;
                carry = *word >> 63;
                *word = shifted & places;
            }
            if state.get(self.last.0).is_some_and(|word| word & self.last.1 != 0) {
                return Some(at + c.len_utf8());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            ("%_é_%", "aéa", true),
            ("%_é_%", "aé", false),
            ("%__%", "é", false),
            ("%__%", "éé", true),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().matches(text), expected, "{text:?} like {pattern:?}");
        }
    }

    /// Each text and pattern would take minutes if a place were looked at once per character of the pattern.
    #[test]
    fn like_goes_through_a_text_once() {
        let text = "a".repeat(65_000);
        let long = "a".repeat(30_000);
        let wild = format!("{}_{}", "a".repeat(500), "a".repeat(500));
        for pattern in [
            format!("%{long}b%"),
            format!("%{long}%b{long}%"),
            format!("%{}b%", "a%".repeat(30_000)),
            format!("%{}b", "%".repeat(200_000)),
            format!("%{wild}b%"),
            format!("%{wild}%{wild}%b"),
        ] {
            let pattern = Pattern::new(&pattern).unwrap();
            for _ in 0..50 {
                assert!(!pattern.matches(&text));
            }
        }
    }

    #[test]
    fn long_patterns_are_refused() {
        let floating = format!("%_{}%", "a".repeat(MAX_FLOATING));
        assert_eq!(Pattern::new(&floating).unwrap_err(), TooLong::PatternPiece(MAX_FLOATING + 1));
        assert!(Pattern::new(&floating[..MAX_FLOATING + 1]).unwrap().matches(&"a".repeat(MAX_FLOATING)));
        // At a fixed place a piece may be as long as the pattern.
        assert!(Pattern::new(&floating[1..]).unwrap().matches(&"a".repeat(MAX_FLOATING + 1)));
        assert_eq!(Pattern::new(&"a".repeat(MAX_PATTERN + 1)).unwrap_err(), TooLong::Pattern(MAX_PATTERN + 1));
    }

    /// The definition, by trying everything.
    fn fits(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            (['%', rest @ ..], text) => (0..=text.len()).any(|n| fits(rest, &text[n..])),
            (['_', rest @ ..], [_, text @ ..]) => fits(rest, text),
            ([c, rest @ ..], [d, text @ ..]) => c == d && fits(rest, text),
            (_, []) => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn matches_by_definition(pattern in "[ab_%é]{0,9}", text in "[abé]{0,12}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = fits(&chars(&pattern), &chars(&text));
            prop_assert_eq!(Pattern::new(&pattern).unwrap().matches(&text), expected);
        }

        /// Pieces of more than a word.
        #[test]
        fn long_pieces_match_by_definition(head in "[ab_]{60,70}", tail in "[ab_]{60,70}", shift in 0usize..4, damage in 0usize..140) {
            let piece: Vec<char> = format!("_{head}{tail}").chars().collect();
            let mut text: Vec<char> = piece.iter().map(|c| if *c == '_' { 'x' } else { *c }).collect();
            if let Some(c) = text.get_mut(damage) {
                *c = 'b';
            }
            let text: Vec<char> = std::iter::repeat_n('a', shift).chain(text).chain(['a']).collect();
            let pattern: Vec<char> = ['%'].into_iter().chain(piece).chain(['%']).collect();
            let expected = fits(&pattern, &text);
            let pattern = Pattern::new(&pattern.iter().collect::<String>()).unwrap();
            prop_assert_eq!(pattern.matches(&text.iter().collect::<String>()), expected);
        }
    }
}

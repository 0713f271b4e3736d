//! Which part of the keys a scan looks at.

/// Keys that begin with `prefix`, are not below `from` and are below `before`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub prefix: String,
    /// None: from the first.
    pub from: Option<String>,
    /// None: to the last.
    pub before: Option<String>,
}

impl Span {
    /// Everything below a prefix.
    pub fn of(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), from: None, before: None }
    }

    /// A prefix cut at these keys, in any order: spans that follow each other, lose no key and share none.
    pub(super) fn cut(prefix: &str, mut at: Vec<String>) -> Vec<Self> {
        at.sort_unstable();
        let ends = at.iter().cloned().map(Some).chain([None]);
        let starts = [None].into_iter().chain(at.iter().cloned().map(Some));
        starts.zip(ends).map(|(from, before)| Self { prefix: prefix.to_owned(), from, before }).collect()
    }

    /// The first key that may be inside, and the first one behind it, which is absent if every greater key is inside.
    /// None: no key can be inside.
    pub(super) fn bounds(&self) -> Option<(&str, Option<Vec<u8>>)> {
        let from = self.from.as_deref().map_or(self.prefix.as_str(), |from| from.max(&self.prefix));
        let before = self.before.as_ref().map(|before| before.as_bytes().to_vec());
        let end = match (prefix_end(self.prefix.as_bytes()), before) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let is_empty = end.as_deref().is_some_and(|end| end <= from.as_bytes());
        (!is_empty).then_some((from, end))
    }
}

/// The smallest string of bytes that is greater than everything with this prefix; none if there is no such string.
pub(super) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|b| *b != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end)
}

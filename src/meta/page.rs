//! Pages: each call of a scan returns one.
//!
//! A scan over pages has no moment of its own. Each page is as of one moment, which is not before that of the page
//! before it. A key that exists throughout the scan is in exactly one page; a key that is written or deleted meanwhile
//! may be in a page or in none.

use super::{Span, Tally, tally::pair_checksum};

/// Where a page ends. A store may end one earlier, but never without a pair while the span has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    pub pairs: usize,
    /// Bytes of keys and values. The pair that reaches the limit is the last one, so one large pair still fits.
    pub bytes: usize,
}

impl PageLimit {
    pub const fn new(pairs: usize, bytes: usize) -> Self {
        Self { pairs, bytes }
    }
}

/// Pairs in the order of their keys, in two allocations however many they are.
#[derive(Debug, Default)]
pub struct Page {
    keys: String,
    values: Vec<u8>,
    /// Where each pair's key and value end.
    ends: Vec<(usize, usize)>,
    /// Number and checksum of the pairs.
    pub tally: Tally,
    /// The rest of the span. None: this was the last page.
    pub rest: Option<Span>,
}

impl Page {
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let starts = [(0, 0)].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|((key, value), (key_end, value_end))| {
            (self.keys.get(key..*key_end).unwrap_or_default(), self.values.get(value..*value_end).unwrap_or_default())
        })
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.keys.len() + self.values.len()
    }

    pub(super) fn last_key(&self) -> Option<&str> {
        let start = self.ends.len().checked_sub(2).and_then(|at| self.ends.get(at)).map_or(0, |(key, _)| *key);
        self.ends.last().and_then(|(end, _)| self.keys.get(start..*end))
    }

    pub(super) fn push(&mut self, key: &str, value: &[u8], checksum: u32) {
        self.keys.push_str(key);
        self.values.extend_from_slice(value);
        self.ends.push((self.keys.len(), self.values.len()));
        self.tally.add(checksum);
    }

    /// [`Self::push`] for a store that keeps no checksums.
    pub(super) fn push_unchecked(&mut self, key: &str, value: &[u8]) {
        self.push(key, value, pair_checksum(key.as_bytes(), value));
    }

    pub(super) fn is_full(&self, limit: PageLimit) -> bool {
        !self.ends.is_empty() && (self.ends.len() >= limit.pairs || self.bytes() >= limit.bytes)
    }

    /// Ends the page although its span has another pair, which has this key.
    pub(super) fn cut(&mut self, span: &Span, next: &str) {
        self.rest = Some(Span { from: Some(next.to_owned()), ..span.clone() });
    }
}

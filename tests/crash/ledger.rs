//! The rows that one client is sure of, and those that an unanswered call left in doubt.
//!
//! The keys are the client's alone. A key in doubt is not used again before [`Ledger::settle`]: the call may still take
//! effect, so nothing later may depend on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use anyhow::{Result, ensure};
use rand::{RngExt, rngs::StdRng, seq::IteratorRandom};

/// The effect of a call on keys: their value afterwards, or none.
pub type Change = BTreeMap<i64, Option<i64>>;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Acknowledged,
    /// No answer, or one that does not say whether it was done.
    Unknown,
}

#[derive(Debug)]
pub struct Ledger {
    pub keys: Range<i64>,
    next: i64,
    /// Acknowledged and not deleted: key → value.
    sure: BTreeMap<i64, i64>,
    doubts: Vec<Doubt>,
}

#[derive(Debug)]
struct Doubt {
    before: Change,
    after: Change,
    /// Keys that a later delete by value may have hit.
    perhaps_deleted: BTreeSet<i64>,
}

impl Doubt {
    fn may_hold(&self, key: i64, value: Option<i64>) -> bool {
        [&self.before, &self.after].into_iter().any(|rows| rows.get(&key) == Some(&value))
            || (value.is_none() && self.perhaps_deleted.contains(&key))
    }

    /// All of the call happened, or nothing.
    fn is_whole(&self, found: &BTreeMap<i64, i64>) -> bool {
        let holds = |rows: &Change| {
            rows.iter()
                .filter(|(key, _)| !self.perhaps_deleted.contains(key))
                .all(|(key, value)| found.get(key).copied() == *value)
        };
        holds(&self.before) || holds(&self.after)
    }
}

impl Ledger {
    pub fn new(keys: Range<i64>) -> Self {
        Self { next: keys.start, keys, sure: BTreeMap::new(), doubts: Vec::new() }
    }

    pub fn rows(&self) -> usize {
        self.sure.len()
    }

    /// Acknowledged rows that no unanswered call can have changed: key and value.
    pub fn known(&self) -> impl Iterator<Item = (i64, i64)> {
        self.sure.iter().map(|(key, value)| (*key, *value))
    }

    /// Whether a key may have this value now.
    pub fn may_hold(&self, key: i64, value: i64) -> bool {
        let is_sure = self.sure.get(&key) == Some(&value);
        is_sure || !self.sure.contains_key(&key) && self.doubts.iter().any(|doubt| doubt.may_hold(key, Some(value)))
    }

    pub fn fresh(&mut self, count: usize) -> Vec<i64> {
        let first = self.next;
        self.next = (first + count as i64).min(self.keys.end);
        (first..self.next).collect()
    }

    /// Some keys whose value is known.
    pub fn sample(&self, most: usize, rng: &mut StdRng) -> Vec<i64> {
        let count = rng.random_range(1..=most);
        self.sure.keys().copied().sample(rng, count)
    }

    /// The known effect of a delete of all rows of this value.
    pub fn with_value(&self, value: i64) -> Change {
        self.sure.iter().filter(|(_, v)| **v == value).map(|(key, _)| (*key, None)).collect()
    }

    /// A delete of all rows of this value was sent: rows in doubt may have been hit, too.
    pub fn doubt_value(&mut self, value: i64) {
        for doubt in &mut self.doubts {
            let hit = [&doubt.before, &doubt.after].into_iter().flatten().filter(|(_, v)| **v == Some(value));
            let hit: Vec<i64> = hit.map(|(key, _)| *key).collect();
            doubt.perhaps_deleted.extend(hit);
        }
    }

    pub fn note(&mut self, change: Change, ending: Ending) {
        match ending {
            Ending::Acknowledged => self.apply(change),
            Ending::Unknown => {
                let before = change.keys().map(|key| (*key, self.sure.remove(key))).collect();
                self.doubts.push(Doubt { before, after: change, perhaps_deleted: BTreeSet::new() });
            }
        }
    }

    fn apply(&mut self, change: Change) {
        for (key, value) in change {
            match value {
                Some(value) => self.sure.insert(key, value),
                None => self.sure.remove(&key),
            };
        }
    }

    /// Neighbouring keys, at most `most`. Every key in use may be among them.
    pub fn window(&self, most: usize, rng: &mut StdRng) -> Range<i64> {
        let last_start = (self.next - most as i64).max(self.keys.start);
        let start = rng.random_range(self.keys.start..=last_start);
        start..(start + most as i64).min(self.keys.end)
    }

    /// Compares rows of a window of keys that the server returned, while calls may be under way, with those that are known.
    ///
    /// # Errors
    /// The first keys that are lost, changed or back, with the promise that this breaks.
    pub fn compare(&self, window: Range<i64>, found: &BTreeMap<i64, i64>) -> Result<()> {
        let known = self.sure.range(window);
        let lost: Vec<_> = known.filter(|(key, value)| found.get(key) != Some(value)).take(5).collect();
        ensure!(lost.is_empty(), "acknowledged rows are lost or changed (P3): {lost:?}");
        let unexplained = |(key, value): &(&i64, &i64)| {
            !self.sure.contains_key(key) && !self.doubts.iter().any(|doubt| doubt.may_hold(**key, Some(**value)))
        };
        let back: Vec<_> = found.iter().filter(unexplained).take(5).collect();
        ensure!(back.is_empty(), "deleted rows are back (P4): {back:?}");
        Ok(())
    }

    /// The same, when no call is under way any more. Afterwards nothing is in doubt.
    ///
    /// # Errors
    /// Those of [`Self::compare`], and a call that was carried out by half.
    pub fn settle(&mut self, found: &BTreeMap<i64, i64>) -> Result<()> {
        self.compare(self.keys.clone(), found)?;
        for doubt in std::mem::take(&mut self.doubts) {
            for key in doubt.before.keys() {
                let value = found.get(key).copied();
                ensure!(doubt.may_hold(*key, value), "key {key} holds {value:?} after {doubt:?}");
            }
            ensure!(doubt.is_whole(found), "half of an unacknowledged request happened: {doubt:?}");
            self.apply(doubt.before.keys().map(|key| (*key, found.get(key).copied())).collect());
        }
        Ok(())
    }
}

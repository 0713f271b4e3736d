//! The nearest rows of one query vector so far: one per key, or one per group, bounded in number.
//!
//! Rows are ordered by rank, then by key, then the newest first. Of the rows of one key or group the first in this order
//! counts. One order has to decide both which rows count and which are dropped. Then the rows that are left don't depend on
//! the order in which rows come.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
};

use crate::{
    model::PrimaryKey,
    query::{scan::KeyColumn, select::RowPlace},
};

/// Estimated memory of a row here: twice its key, its rank, its place and its group.
pub(super) const HIT_BYTES: u64 = 320;

/// A rank that is a number. Smaller is nearer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rank(pub(super) f32);

impl Eq for Rank {}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// A row in the order of an answer. Of the rows of one key or group the first one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) rank: Rank,
    pub(super) key: PrimaryKey,
    pub(super) place: RowPlace,
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Hit {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = (self.rank, &self.key).cmp(&(other.rank, &other.key));
        order.then_with(|| self.place.precedence(&other.place))
    }
}

#[derive(Debug)]
pub(super) struct Nearest {
    most: usize,
    /// With the key or the value of the group of each row.
    rows: BTreeMap<Hit, PrimaryKey>,
    /// The row of each key or group. Clients choose them, so the hash function is one whose collisions they can't provoke.
    best: HashMap<PrimaryKey, Hit>,
    /// The rank of the last row, once there are as many as possible. Nothing farther gets in.
    worst: Option<Rank>,
    /// Number of rows of each rank, if rows that are as near as the last one stay, however many they are.
    ties: Option<BTreeMap<Rank, usize>>,
}

impl Nearest {
    pub(super) fn new(most: usize) -> Self {
        Self { most, rows: BTreeMap::new(), best: HashMap::new(), worst: None, ties: None }
    }

    /// The same, and all rows that are as near as the last one.
    pub(super) fn with_ties(most: usize) -> Self {
        Self { ties: Some(BTreeMap::new()), ..Self::new(most) }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// False if a row of this rank is not among the nearest with any key. Only a finite number is a
    /// rank.
    pub(super) fn may_take(&self, rank: f32) -> bool {
        rank.is_finite() && self.worst.is_none_or(|worst| Rank(rank) <= worst)
    }

    /// Takes a row if it is among the nearest. The caller has asked [`Self::may_take`].
    pub(super) fn offer(
        &mut self,
        rank: f32,
        place: RowPlace,
        keys: &KeyColumn,
        groups: Option<&KeyColumn>,
        index: usize,
    ) {
        let rank = Rank(rank);
        let last = || self.rows.last_key_value();
        if self.ties.is_none()
            && self.worst == Some(rank)
            && last().is_some_and(|(last, _)| keys.exceeds(index, &last.key))
        {
            return;
        }
        let key = keys.get(index);
        let unique = groups.map_or_else(|| key.clone(), |groups| groups.get(index));
        self.put(Hit { rank, key, place }, unique);
    }

    fn put(&mut self, hit: Hit, unique: PrimaryKey) {
        match self.best.get(&unique) {
            Some(known) if hit >= *known => return,
            Some(known) => {
                self.rows.remove(known);
                if let Some(count) = self.ties.as_mut().and_then(|ties| ties.get_mut(&known.rank)) {
                    *count -= 1;
                }
            }
            None => {}
        }
        if let Some(ties) = &mut self.ties {
            *ties.entry(hit.rank).or_default() += 1;
        }
        self.best.insert(unique.clone(), hit.clone());
        self.rows.insert(hit, unique);
        self.drop_last();
        if self.rows.len() >= self.most {
            self.worst = self.rows.last_key_value().map(|(last, _)| last.rank);
        }
    }

    /// Drops the rows that are too many: one after the other, or with all that are equally near.
    fn drop_last(&mut self) {
        while self.rows.len() > self.most {
            let last = self.ties.as_ref().and_then(BTreeMap::last_key_value).map_or(1, |(_, count)| *count);
            if self.rows.len() - last < self.most {
                return;
            }
            for _ in 0..last {
                if let Some((_, unique)) = self.rows.pop_last() {
                    self.best.remove(&unique);
                }
            }
            if let Some(ties) = &mut self.ties {
                ties.pop_last();
            }
        }
    }

    /// Takes the rows of another part of the same search.
    pub(super) fn merge(&mut self, other: Self) {
        for (hit, unique) in other.rows {
            if !self.may_take(hit.rank.0) {
                break;
            }
            self.put(hit, unique);
        }
    }

    /// The groups of the rows, the nearest first.
    pub(super) fn groups(&self) -> impl Iterator<Item = &PrimaryKey> {
        self.rows.values()
    }

    /// The nearest first.
    pub(super) fn into_hits(self) -> impl Iterator<Item = Hit> {
        self.rows.into_keys()
    }
}

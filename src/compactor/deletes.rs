//! Which keys are dead, and since when: all delta entries of a plan's inputs in one map.
//!
//! A delete kills every row of its key with a strictly smaller timestamp in whichever input it was
//! logged. Only the greatest timestamp of a key matters, so the result does not depend on the order of the logs.
//! Entries newer than the plan's horizon are *retained*: they kill nothing here and are passed on to the outputs.
//!
//! The map may be larger than the memory a plan has. Then the keys are taken shard by shard, each with its own pass
//! over the key columns ([`Shard`]).
//!
//! Must never: drop an entry silently, or let an entry beyond the horizon kill a row.

use std::{collections::BTreeSet, hash::BuildHasher, sync::Arc};

use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::{
    fault::{self, Planted},
    model::{DataType, Delete, LogFile, PrimaryKey, Timestamp},
};

/// Bytes that an entry with an int64 key takes at the worst moment, when the map has just doubled and the decoded log
/// is still there: two tables (17 bytes a slot, a quarter to a half full) and the 32 bytes of the decoded entry.
const INT_ENTRY_BYTES: u64 = 112;
/// The same for string keys, without the characters: the slots are wider and each key is an allocation of its own.
const STR_ENTRY_BYTES: u64 = 192;

/// The keys of one pass: those whose hash falls into part `index` of `of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shard {
    index: u64,
    of: u64,
}

impl Shard {
    /// As many shards as keep each map below `budget_bytes`; always at least one.
    pub(super) fn split(map_bytes: u64, budget_bytes: u64) -> impl ExactSizeIterator<Item = Self> {
        let of = map_bytes.div_ceil(budget_bytes.max(1)).clamp(1, u64::from(u16::MAX)) as u16;
        (0..of).map(move |index| Self { index: index.into(), of: of.into() })
    }

    pub(super) fn is_last(self) -> bool {
        self.index + 1 == self.of
    }

    fn holds(self, key: &PrimaryKey) -> bool {
        // The map's own hash uses the high bits well and the low ones badly; a second multiplication mixes them.
        self.of == 1 || {
            let hash = FxBuildHasher.hash_one(key).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            hash % self.of == self.index
        }
    }
}

/// A delta entry whose key is of the other type than the collection's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrongKeyType {
    pub(super) key: PrimaryKey,
    pub(super) expected: DataType,
}

/// Key → greatest timestamp of its deletes up to the horizon.
#[derive(Debug)]
pub(super) enum DeleteMap {
    Int(FxHashMap<i64, Timestamp>),
    Str(FxHashMap<Arc<str>, Timestamp>),
}

impl DeleteMap {
    /// An empty map for keys of `key_type`: VarChar, or else Int64.
    pub(super) fn new(key_type: DataType) -> Self {
        match key_type {
            DataType::VarChar => Self::Str(FxHashMap::default()),
            _ => Self::Int(FxHashMap::default()),
        }
    }

    /// Upper estimate of the bytes of a map of all entries of `logs`.
    pub(super) fn estimate_bytes<'a>(key_type: DataType, logs: impl IntoIterator<Item = &'a LogFile>) -> u64 {
        logs.into_iter()
            .map(|log| match key_type {
                DataType::VarChar => log.rows.saturating_mul(STR_ENTRY_BYTES).saturating_add(log.memory_bytes),
                _ => log.rows.saturating_mul(INT_ENTRY_BYTES),
            })
            .fold(0, u64::saturating_add)
    }

    /// Takes the entries of one log that belong to `shard`; returns how many of them are beyond `horizon`.
    pub(super) fn absorb(
        &mut self,
        deletes: Vec<Delete>,
        horizon: Timestamp,
        shard: Shard,
    ) -> Result<u64, WrongKeyType> {
        let mut retained = 0;
        for Delete { key, ts } in deletes {
            // The type is checked first: a bad log is found even if the entry is not used in this pass.
            if !self.accepts(&key) {
                return Err(WrongKeyType { key, expected: self.key_type() });
            }
            if !shard.holds(&key) {
                continue;
            }
            if ts > horizon && !fault::planted(Planted::RetentionIgnored) {
                retained += 1;
                continue;
            }
            let slot = match (&mut *self, key) {
                (Self::Int(map), PrimaryKey::Int(key)) => map.entry(key).or_default(),
                (Self::Str(map), PrimaryKey::Str(key)) => map.entry(key).or_default(),
                (_, key) => return Err(WrongKeyType { key, expected: self.key_type() }),
            };
            *slot = (*slot).max(ts);
        }
        Ok(retained)
    }

    /// Fails on the first entry that a map of this type does not take.
    pub(super) fn check(&self, deletes: &[Delete]) -> Result<(), WrongKeyType> {
        match deletes.iter().find(|delete| !self.accepts(&delete.key)) {
            Some(delete) => Err(WrongKeyType { key: delete.key.clone(), expected: self.key_type() }),
            None => Ok(()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Int(map) => map.is_empty(),
            Self::Str(map) => map.is_empty(),
        }
    }

    fn accepts(&self, key: &PrimaryKey) -> bool {
        matches!((self, key), (Self::Int(_), PrimaryKey::Int(_)) | (Self::Str(_), PrimaryKey::Str(_)))
    }

    fn key_type(&self) -> DataType {
        match self {
            Self::Int(_) => DataType::Int64,
            Self::Str(_) => DataType::VarChar,
        }
    }
}

/// Entries of `shard` beyond the horizon, oldest first, each once however many inputs logged it.
#[derive(Debug, Default)]
pub(super) struct Retained(BTreeSet<(Timestamp, PrimaryKey)>);

impl Retained {
    pub(super) fn absorb(&mut self, deletes: Vec<Delete>, horizon: Timestamp, shard: Shard) {
        let kept = deletes.into_iter().filter(|d| d.ts > horizon && shard.holds(&d.key));
        self.0.extend(kept.map(|d| (d.ts, d.key)));
    }

    pub(super) fn into_deletes(self) -> Vec<Delete> {
        self.0.into_iter().map(|(ts, key)| Delete { key, ts }).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kit::model::{delete_of_int as int, delete_of_text as text};

    fn one_shard() -> Shard {
        Shard::split(0, 1).next().unwrap()
    }

    fn ints(map: &DeleteMap) -> Vec<(i64, u64)> {
        let DeleteMap::Int(map) = map else { panic!("not a map of ints") };
        let mut entries: Vec<_> = map.iter().map(|(k, t)| (*k, t.0)).collect();
        entries.sort_unstable();
        entries
    }

    #[test]
    fn the_greatest_timestamp_up_to_the_horizon_wins_in_any_order() {
        let mut entries = vec![int(1, 30), int(1, 10), int(2, 20), int(1, 99), int(3, 41), int(3, 40)];
        for _ in 0..entries.len() {
            entries.rotate_left(1);
            let mut map = DeleteMap::new(DataType::Int64);
            assert_eq!(map.absorb(entries.clone(), Timestamp(40), one_shard()), Ok(2));
            assert_eq!(ints(&map), [(1, 30), (2, 20), (3, 40)]);
        }
    }

    #[test]
    fn retained_entries_are_kept_once_and_in_order() {
        let mut retained = Retained::default();
        retained.absorb(vec![text("b", 50), text("a", 40), text("a", 41)], Timestamp(40), one_shard());
        retained.absorb(vec![text("b", 50), text("a", 60)], Timestamp(40), one_shard());
        assert_eq!(retained.into_deletes(), [text("a", 41), text("b", 50), text("a", 60)]);
    }

    #[test]
    fn a_key_of_the_other_type_is_an_error_in_every_shard() {
        for shard in Shard::split(5, 1) {
            let mut map = DeleteMap::new(DataType::VarChar);
            let error = map.absorb(vec![text("a", 1), int(7, 1)], Timestamp::MAX, shard).unwrap_err();
            assert_eq!(error, WrongKeyType { key: PrimaryKey::Int(7), expected: DataType::VarChar });
        }
    }

    #[test]
    fn shards_follow_the_budget() {
        let count = |bytes, budget| Shard::split(bytes, budget).len();
        assert_eq!([count(0, 10), count(10, 10), count(11, 10), count(100, 10), count(5, 0)], [1, 1, 2, 10, 5]);
        let last: Vec<bool> = Shard::split(30, 10).map(Shard::is_last).collect();
        assert_eq!(last, [false, false, true]);
    }

    proptest! {
        #[test]
        fn every_key_is_in_exactly_one_shard_and_no_shard_is_much_too_large(of in 1u64..9) {
            let keys: Vec<i64> = (0..4000).collect();
            let mut all = Vec::new();
            for shard in Shard::split(of, 1) {
                let mut map = DeleteMap::new(DataType::Int64);
                map.absorb(keys.iter().map(|k| int(*k, 1)).collect(), Timestamp::MAX, shard).unwrap();
                let held = ints(&map);
                prop_assert!(held.len() as u64 <= 4000 / of * 5 / 4 + 1, "{} of {}", held.len(), of);
                all.extend(held.into_iter().map(|(k, _)| k));
            }
            all.sort_unstable();
            prop_assert_eq!(all, keys);
        }
    }
}

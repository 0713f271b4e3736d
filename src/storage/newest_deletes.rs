//! The newest delete of every key: tells whether a row is dead.
//!
//! Must never: hold more than one entry of a key.

use std::{collections::HashMap, sync::Arc};

use crate::model::{Delete, PrimaryKey, Timestamp};

/// Memory of an entry, estimated: key and timestamp in a table that is half full, and a text of usual length.
const ENTRY_BYTES: u64 = 96;

/// Clients choose the keys, so the hash function is one whose collisions they can't provoke.
#[derive(Debug, Default)]
pub struct NewestDeletes {
    ints: HashMap<i64, Timestamp>,
    texts: HashMap<Arc<str>, Timestamp>,
}

impl NewestDeletes {
    pub fn add(&mut self, Delete { key, ts }: Delete) {
        let newest = match key {
            PrimaryKey::Int(key) => self.ints.entry(key).or_default(),
            PrimaryKey::Str(key) => self.texts.entry(key).or_default(),
        };
        *newest = ts.max(*newest);
    }

    pub fn is_empty(&self) -> bool {
        self.ints.is_empty() && self.texts.is_empty()
    }

    pub fn of_int(&self, key: i64) -> Option<Timestamp> {
        self.ints.get(&key).copied()
    }

    pub fn of_text(&self, key: &str) -> Option<Timestamp> {
        self.texts.get(key).copied()
    }

    /// Memory of so many deletes, in bytes, estimated.
    pub fn estimate_bytes(deletes: u64) -> u64 {
        deletes.saturating_mul(ENTRY_BYTES)
    }

    /// Memory that it takes, in bytes, estimated.
    pub fn bytes_in_memory(&self) -> u64 {
        let texts: u64 = self.texts.keys().map(|key| key.len() as u64).sum();
        Self::estimate_bytes((self.ints.len() + self.texts.len()) as u64) + texts
    }
}

impl FromIterator<Delete> for NewestDeletes {
    fn from_iter<I: IntoIterator<Item = Delete>>(deletes: I) -> Self {
        let mut newest = Self::default();
        deletes.into_iter().for_each(|delete| newest.add(delete));
        newest
    }
}

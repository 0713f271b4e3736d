//! The truth about every key, as far as clients can know it: the states that its row may have.
//!
//! A call that was answered leaves one state. A call that failed, that was cut off, or whose process ended leaves two: it
//! has happened or not. Clients never make two calls of one key at once, so each later call begins with a state that the one
//! before may have left. A write whose client has given up goes on: it comes before every later call by key, which the log
//! takes in order, and it may come after the read of a delete by expression, which spares its row then.
//! A read may see every state that a key could have at any moment between its beginning and its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use crate::{
    kit::numbers::Numbers,
    rows::{Key, Version},
};

/// The row of a key; none: there is none.
pub type RowState = Option<Version>;
type RowStates = BTreeSet<RowState>;

/// Keys of each table.
pub const KEYS: Key = 48;
/// Partitions of each table; a key belongs to one of them.
pub const PARTITIONS: [&str; 2] = ["_default", "p1"];

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Live,
    /// A call that would make or drop it was not answered.
    Unsure,
    Gone,
}

/// The effect of a call on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Set(Version),
    Delete,
    /// Deletes a row of this version or an older one.
    DeleteUpTo(Version),
}

impl Change {
    fn of(self, state: RowState) -> RowState {
        match self {
            Self::Set(version) => Some(version),
            Self::Delete => None,
            Self::DeleteUpTo(limit) => state.filter(|version| *version > limit),
        }
    }
}

#[derive(Debug)]
struct Row {
    states: RowStates,
    /// The version of a write that was not answered, and that may still be under way.
    late: Option<Version>,
    /// A call that changes it is under way.
    is_busy: bool,
}

#[derive(Debug)]
pub struct Table {
    pub name: String,
    pub strings: bool,
    pub standing: Standing,
    pub partitions: [Standing; PARTITIONS.len()],
    rows: BTreeMap<Key, Row>,
    /// Reads under way, and the states that each may see.
    watches: BTreeMap<u64, BTreeMap<Key, RowStates>>,
    /// Counts changes of the definition: a read across one proves nothing.
    pub generation: u64,
    /// Calls of clients under way.
    pub calls: u64,
}

pub fn partition_of(key: Key) -> usize {
    key as usize % PARTITIONS.len()
}

impl Table {
    fn new(name: String, strings: bool) -> Self {
        let row = || Row { states: RowStates::from([None]), late: None, is_busy: false };
        Self {
            name,
            strings,
            standing: Standing::Unsure,
            partitions: [Standing::Live, Standing::Gone],
            rows: (0..KEYS).map(|key| (key, row())).collect(),
            watches: BTreeMap::new(),
            generation: 0,
            calls: 0,
        }
    }

    fn set(&mut self, key: Key, states: RowStates) {
        for watch in self.watches.values_mut() {
            if let Some(seen) = watch.get_mut(&key) {
                seen.extend(&states);
            }
        }
        if let Some(row) = self.rows.get_mut(&key) {
            row.states = states;
        }
    }

    fn states(&self, key: Key) -> RowStates {
        self.rows[&key].states.clone()
    }

    /// Free keys of one partition, drawn.
    pub fn free(&self, numbers: &mut Numbers, partition: usize, most: u64) -> Vec<Key> {
        let mut free: Vec<Key> = self
            .rows
            .iter()
            .filter(|(key, row)| partition_of(**key) == partition && !row.is_busy)
            .map(|(k, _)| *k)
            .collect();
        let mut drawn = Vec::new();
        for _ in 0..=numbers.below(most) {
            if !free.is_empty() {
                drawn.push(free.swap_remove(numbers.below(free.len() as u64) as usize));
            }
        }
        drawn
    }

    /// Whether there is no row for sure.
    pub fn is_absent(&self, key: Key) -> bool {
        self.rows[&key].states == RowStates::from([None])
    }

    pub fn begin(&mut self, changes: &[(Key, Change)]) {
        for (key, change) in changes {
            let before = self.states(*key);
            let after = before.iter().map(|state| change.of(*state));
            let both = before.iter().copied().chain(after).collect();
            self.set(*key, both);
            self.rows.get_mut(key).unwrap().is_busy = true;
        }
        self.calls += 1;
    }

    /// `before`: the states when the call began. `done`: it was answered with success.
    pub fn end(&mut self, changes: &[(Key, Change)], done: bool) {
        for (key, change) in changes {
            let late = self.rows[key].late;
            if done {
                // States that the change makes are unchanged by it once more.
                let mut after: RowStates = self.states(*key).into_iter().map(|state| change.of(state)).collect();
                if matches!(change, Change::DeleteUpTo(_)) {
                    after.extend(late.map(Some));
                }
                self.set(*key, after);
            }
            let row = self.rows.get_mut(key).unwrap();
            row.late = match (change, done) {
                (Change::Set(version), false) => Some(*version),
                (Change::Set(_) | Change::Delete, true) => None,
                _ => late,
            };
            row.is_busy = false;
        }
        self.calls -= 1;
    }

    /// All keys of some partitions lose their rows; `done`: for sure.
    pub fn clear(&mut self, partitions: &[usize], done: bool) {
        for key in 0..KEYS {
            if partitions.contains(&partition_of(key)) {
                let mut states = if done { RowStates::new() } else { self.states(key) };
                states.insert(None);
                self.set(key, states);
            }
        }
    }

    pub fn watch(&mut self, number: u64, keys: &[Key]) {
        let states = keys.iter().map(|key| (*key, self.states(*key))).collect();
        self.watches.insert(number, states);
    }

    /// Ends a read; the states that it may have seen.
    pub fn unwatch(&mut self, number: u64) -> BTreeMap<Key, RowStates> {
        self.watches.remove(&number).unwrap_or_default()
    }

    /// Nothing is under way, and these rows are there: from now on nothing else is possible.
    fn settle(&mut self, found: &BTreeMap<Key, Version>) {
        for (key, row) in &mut self.rows {
            row.states = RowStates::from([found.get(key).copied()]);
            row.late = None;
        }
    }

    /// Compares an answer with the states that its keys may have.
    pub fn judge(
        &self,
        allowed: &BTreeMap<Key, RowStates>,
        found: &[(Key, Version)],
        sees: impl Fn(Version) -> bool,
    ) -> Result<(), String> {
        let mut by_key: BTreeMap<Key, Version> = BTreeMap::new();
        for (key, version) in found {
            if by_key.insert(*key, *version).is_some() {
                return Err(format!("{}: key {key} is there twice", self.name));
            }
            if !allowed.contains_key(key) {
                return Err(format!("{}: key {key} was not asked for", self.name));
            }
        }
        for (key, states) in allowed {
            let found = by_key.get(key).copied();
            let is_allowed = states.iter().any(|state| state.filter(|version| sees(*version)) == found);
            if !is_allowed {
                let promise = match found {
                    None => "P3: a row is lost",
                    Some(_) if states.iter().all(Option::is_none) => "P4: a deleted row is back",
                    Some(_) => "a row is not the newest",
                };
                return Err(format!("{}: {promise}: key {key} is {found:?}, expected one of {states:?}", self.name));
            }
        }
        Ok(())
    }
}

/// Compares a count with the states of all keys.
pub fn judge_count(table: &str, allowed: &BTreeMap<Key, RowStates>, count: u64) -> Result<(), String> {
    let least = allowed.values().filter(|states| !states.contains(&None)).count() as u64;
    let most = allowed.values().filter(|states| states.iter().any(Option::is_some)).count() as u64;
    if (least..=most).contains(&count) {
        Ok(())
    } else {
        Err(format!("{table}: {count} rows are counted, expected {least} to {most}"))
    }
}

/// All tables of a life. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    tables: Arc<Mutex<BTreeMap<usize, Table>>>,
}

impl Oracle {
    /// The next table; whether it exists is unsure.
    pub fn add(&self, strings: bool) -> usize {
        let mut tables = self.tables.lock().unwrap();
        let number = tables.len();
        tables.insert(number, Table::new(format!("t{number}"), strings));
        number
    }

    pub fn with<T>(&self, table: usize, change: impl FnOnce(&mut Table) -> T) -> T {
        change(self.tables.lock().unwrap().get_mut(&table).expect("a table that was added"))
    }

    /// Numbers of the tables that `which` holds of.
    pub fn which(&self, which: impl Fn(&Table) -> bool) -> Vec<usize> {
        self.tables.lock().unwrap().iter().filter(|(_, table)| which(table)).map(|(number, _)| *number).collect()
    }

    /// Takes the rows of a quiet process for the truth from now on.
    pub fn settle(&self, table: usize, found: &[(Key, Version)]) {
        let found = found.iter().copied().collect();
        self.with(table, |table| table.settle(&found));
    }

    /// The process has ended, and with it all calls.
    pub fn process_ended(&self) {
        for table in self.tables.lock().unwrap().values_mut() {
            table.watches.clear();
            table.calls = 0;
            table.rows.values_mut().for_each(|row| row.is_busy = false);
        }
    }
}

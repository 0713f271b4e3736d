//! Finds the deletes that hit a row of a segment: the exact check, key by key.
//!
//! A delete hits a row with its key and a strictly smaller timestamp. Pure; takes time in proportion to rows and
//! deletes, so callers run it off the async threads.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow_array::{Int64Array, StringArray, cast::AsArray, types::Int64Type};
use rustc_hash::FxHashMap;

use super::chunk::Chunk;
use crate::{
    fault::{self, Planted},
    model::{CollectionSchema, Delete, FieldId, PrimaryKey, Timestamp},
};

/// The deletes that hit a row of `chunks`, in their order; each (key, timestamp) once.
pub(super) fn hits<'a>(
    schema: &CollectionSchema,
    chunks: impl IntoIterator<Item = &'a Chunk>,
    deletes: Vec<Delete>,
) -> Vec<Delete> {
    if deletes.is_empty() {
        return deletes;
    }
    let mut oldest = OldestRow::of(&deletes);
    let (key_column, ts_column) = (schema.primary_key().column_name(), FieldId::TIMESTAMP.to_string());
    let newest_delete = deletes.iter().map(|d| d.ts).max().unwrap_or_default();
    for chunk in chunks.into_iter().filter(|c| c.ts_from < newest_delete) {
        let Some(keys) = chunk.batch.column_by_name(&key_column) else { continue };
        let stamps = chunk.batch.column_by_name(&ts_column).and_then(|c| c.as_primitive_opt::<Int64Type>());
        let Some(stamps) = stamps else { continue };
        if let Some(keys) = keys.as_primitive_opt::<Int64Type>() {
            oldest.see_ints(keys, stamps);
        } else if let Some(keys) = keys.as_string_opt::<i32>() {
            oldest.see_strings(keys, stamps);
        }
    }
    let hit: Vec<bool> = deletes.iter().map(|d| oldest.of_key(d).is_some_and(|row| is_older(row, d.ts))).collect();
    let mut seen = HashSet::new();
    let mut hit = hit.into_iter();
    deletes.into_iter().filter(|d| hit.next().unwrap_or(false) && seen.insert(d.clone())).collect()
}

fn is_older(row: Timestamp, delete: Timestamp) -> bool {
    row < delete || (fault::planted(Planted::EqualHitsInFlush) && row == delete)
}

/// Timestamp of the oldest row of every key that is deleted.
#[derive(Default)]
struct OldestRow {
    ints: FxHashMap<i64, Timestamp>,
    strings: HashMap<Arc<str>, Timestamp>,
}

impl OldestRow {
    fn of(deletes: &[Delete]) -> Self {
        let mut out = Self::default();
        for delete in deletes {
            match &delete.key {
                PrimaryKey::Int(key) => drop(out.ints.insert(*key, Timestamp::MAX)),
                PrimaryKey::Str(key) => drop(out.strings.insert(key.clone(), Timestamp::MAX)),
            }
        }
        out
    }

    fn see_ints(&mut self, keys: &Int64Array, stamps: &Int64Array) {
        for (key, ts) in keys.values().iter().zip(stamps.values()) {
            lower(self.ints.get_mut(key), *ts);
        }
    }

    fn see_strings(&mut self, keys: &StringArray, stamps: &Int64Array) {
        for (key, ts) in keys.iter().zip(stamps.values()) {
            lower(key.and_then(|key| self.strings.get_mut(key)), *ts);
        }
    }

    fn of_key(&self, delete: &Delete) -> Option<Timestamp> {
        match &delete.key {
            PrimaryKey::Int(key) => self.ints.get(key).copied(),
            PrimaryKey::Str(key) => self.strings.get(key).copied(),
        }
    }
}

fn lower(slot: Option<&mut Timestamp>, ts: i64) {
    if let Some(slot) = slot {
        *slot = (*slot).min(Timestamp(ts as u64));
    }
}

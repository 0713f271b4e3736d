//! Which rows of an input batch survive, decided from its key, timestamp and row-id columns alone.
//!
//! First deletes (a row dies if its key was deleted at a strictly greater timestamp), then expiry; a row that both
//! would drop counts as deleted. Columns come in slices of any length, so nothing here needs
//! a whole key column in memory.
//!
//! Must never: look at another batch. Equal keys without a delete between them all survive.

use std::{ops::Range, time::Duration};

use arrow_array::{Array, ArrayRef, BooleanArray, cast::AsArray, types::Int64Type};
use arrow_buffer::{BooleanBuffer, Buffer};

use super::deletes::DeleteMap;
use crate::{
    fault::{self, Planted},
    model::Timestamp,
};

/// The surviving rows of one batch, in file order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Keep {
    All,
    None,
    Some(BooleanBuffer),
}

impl Keep {
    /// Surviving rows among `len` rows from `offset` on.
    pub(super) fn slice(&self, offset: usize, len: usize) -> Self {
        match self {
            Self::Some(bits) => match bits.slice(offset, len) {
                part if part.count_set_bits() == len => Self::All,
                part if part.count_set_bits() == 0 => Self::None,
                part => Self::Some(part),
            },
            whole => whole.clone(),
        }
    }

    /// Whether the row survives; it has to be one of the batch.
    pub(super) fn has(&self, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Some(bits) => row < bits.len() && bits.value(row),
        }
    }

    /// Surviving rows, of `len` rows in all.
    pub(super) fn count(&self, len: usize) -> usize {
        match self {
            Self::All => len,
            Self::None => 0,
            Self::Some(bits) => bits.count_set_bits(),
        }
    }

    /// The surviving rows of `column`, whose rows are exactly those of this selection.
    pub(super) fn apply(&self, column: &ArrayRef) -> Result<ArrayRef, arrow_schema::ArrowError> {
        match self {
            Self::All => Ok(column.clone()),
            Self::None => Ok(column.slice(0, 0)),
            Self::Some(bits) => arrow_select::filter::filter(column, &BooleanArray::new(bits.clone(), None)),
        }
    }
}

/// A selection under construction: every row survives until it is dropped.
#[derive(Debug)]
pub(super) struct Mask {
    rows: usize,
    kept: usize,
    /// One bit per row, set while the row survives; absent until the first row is dropped.
    bits: Option<Vec<u8>>,
}

impl Mask {
    pub(super) fn new(rows: usize) -> Self {
        Self { rows, kept: rows, bits: None }
    }

    /// Rows that survive so far.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    fn is_kept(&self, row: usize) -> bool {
        self.bits.as_ref().is_none_or(|bits| bits.get(row / 8).is_some_and(|byte| byte & (1 << (row % 8)) != 0))
    }

    /// True if the row survived until now.
    fn drop_row(&mut self, row: usize) -> bool {
        if row >= self.rows || !self.is_kept(row) {
            return false;
        }
        let bits = self.bits.get_or_insert_with(|| vec![0xFF; self.rows.div_ceil(8)]);
        if let Some(byte) = bits.get_mut(row / 8) {
            *byte &= !(1 << (row % 8));
        }
        self.kept -= 1;
        true
    }

    /// Drops the rows of `keys`, which begin at row `offset`, that `deletes` kills. `timestamps` are those of the same
    /// rows. Returns how many went; None if `keys` is no key column or longer than the batch.
    pub(super) fn drop_deleted(
        &mut self,
        offset: usize,
        keys: &ArrayRef,
        timestamps: &[i64],
        deletes: &DeleteMap,
    ) -> Option<u64> {
        if timestamps.len() != keys.len() || offset.checked_add(keys.len())? > self.rows {
            return None;
        }
        let before = self.kept;
        match deletes {
            DeleteMap::Int(map) => {
                let keys = keys.as_primitive_opt::<Int64Type>()?.values();
                for (row, (key, ts)) in keys.iter().zip(timestamps).enumerate() {
                    if map.get(key).is_some_and(|deleted| kills(*deleted, *ts)) {
                        self.drop_row(offset + row);
                    }
                }
            }
            DeleteMap::Str(map) => {
                let keys = keys.as_string_opt::<i32>()?;
                for (row, ts) in timestamps.iter().enumerate() {
                    if map.get(keys.value(row)).is_some_and(|deleted| kills(*deleted, *ts)) {
                        self.drop_row(offset + row);
                    }
                }
            }
        }
        Some((before - self.kept) as u64)
    }

    /// Drops the rows from `offset` on that have outlived `ttl` at `now_ms`. Returns how many went.
    pub(super) fn drop_expired(&mut self, offset: usize, timestamps: &[i64], ttl: Duration, now_ms: u64) -> u64 {
        let before = self.kept;
        for (row, ts) in timestamps.iter().enumerate() {
            if Timestamp(*ts as u64).is_expired(ttl, now_ms) {
                self.drop_row(offset + row);
            }
        }
        (before - self.kept) as u64
    }

    /// Grows `range` to hold the timestamps of the rows from `offset` on that survive.
    pub(super) fn extend_range(&self, offset: usize, timestamps: &[i64], range: &mut Option<TimeRange>) {
        let kept = timestamps.iter().enumerate().filter(|(row, _)| self.is_kept(offset + row));
        kept.for_each(|(_, ts)| TimeRange::extend(range, *ts));
    }

    pub(super) fn finish(self) -> Keep {
        match self.bits {
            None if self.rows == 0 => Keep::None,
            None => Keep::All,
            Some(_) if self.kept == 0 => Keep::None,
            Some(bits) => Keep::Some(BooleanBuffer::new(Buffer::from_vec(bits), 0, self.rows)),
        }
    }
}

/// A delete kills rows that are strictly older.
fn kills(delete: Timestamp, row: i64) -> bool {
    delete.0 > row as u64 || (fault::planted(Planted::EqualKillsInMerge) && delete.0 == row as u64)
}

/// Smallest and largest timestamp of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TimeRange {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl TimeRange {
    /// Takes a timestamp as it is stored.
    pub(super) fn extend(range: &mut Option<Self>, ts: i64) {
        let ts = Timestamp(ts as u64);
        *range = Some(range.map_or(Self { from: ts, to: ts }, |r| Self { from: r.from.min(ts), to: r.to.max(ts) }));
    }
}

/// Row ids of a batch's surviving rows: their range, and whether they ascend already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowIds {
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) ascending: bool,
    last: i64,
}

impl RowIds {
    /// Takes the row ids of the next surviving rows.
    pub(super) fn extend(range: &mut Option<Self>, ids: &[i64]) {
        for id in ids.iter().copied() {
            match range {
                None => *range = Some(Self { min: id, max: id, ascending: true, last: id }),
                Some(range) => {
                    range.min = range.min.min(id);
                    range.max = range.max.max(id);
                    range.ascending &= range.last <= id;
                    range.last = id;
                }
            }
        }
    }
}

/// Result of the first pass for one batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Selection {
    pub(super) keep: Keep,
    pub(super) kept: u64,
    /// Rows that survive in all outputs together: more than `kept` if other ranges of a clustering take the rest.
    pub(super) survivors: u64,
    pub(super) deleted: u64,
    pub(super) expired: u64,
    /// Time range of the surviving rows; both 0 if there are none.
    pub(super) ts_from: Timestamp,
    pub(super) ts_to: Timestamp,
    /// None if no row survives.
    pub(super) row_ids: Option<RowIds>,
    /// Stock readers accept the batch's objects as they are: judged by the object of the row ids and, unless something
    /// else rules copying out, by the large ones.
    pub(super) readable: bool,
}

impl Selection {
    /// Where in a batch of `rows` rows these survivors are, counted among the survivors: from the first to the last.
    pub(super) fn rows_of(&self, kept: &Range<u64>, rows: u64) -> Range<u64> {
        match &self.keep {
            _ if *kept == (0..self.kept) => 0..rows,
            Keep::Some(bits) if !kept.is_empty() => {
                let mut survivors = bits.set_indices().map(|row| row as u64);
                let first = survivors.nth(kept.start as usize).unwrap_or(rows);
                let behind = (kept.end - kept.start - 1) as usize;
                let last = if behind == 0 { Some(first) } else { survivors.nth(behind - 1) };
                first..last.map_or(rows, |last| (last + 1).min(rows))
            }
            _ => kept.clone(),
        }
    }
}

#[cfg(test)]
mod tests;

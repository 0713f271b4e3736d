//! Checks that the bytes read from an object are those that were written: the record of its segment has their CRC-32C.
//!
//! An object that is read whole is checked before it is decoded. An object that is read in windows is checked when its last
//! byte has been read, in any order. A reader of only a part (a header, a footer, the first rows) can't check: it decodes
//! the bytes as they are, and the scrubber finds the damage.
//!
//! Must never: report an object without a checksum (written by Milvus or an older release) as damaged.

use std::{collections::BTreeMap, ops::Range};

use parking_lot::Mutex;

use super::{error::StorageError, path::LogPath};
use crate::{
    binlog::{BinlogError, LogIds},
    fault::{self, Planted},
    model::{FieldId, IndexPart, LogFile, Segment, SegmentIndex, SegmentLogs},
};

/// An object as the record of its segment describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredObject {
    pub path: LogPath,
    pub bytes: u64,
    /// `None`: not recorded.
    pub checksum: Option<u32>,
}

impl StoredObject {
    pub fn insert(ids: LogIds, field: FieldId, file: &LogFile) -> Self {
        Self::of(LogPath::insert(ids, field, file.id), file)
    }

    /// `field` is the primary key.
    pub fn stats(ids: LogIds, field: FieldId, file: &LogFile) -> Self {
        Self::of(LogPath::stats(ids, field, file.id), file)
    }

    pub fn delta(ids: LogIds, file: &LogFile) -> Self {
        Self::of(LogPath::delta(ids, file.id), file)
    }

    /// A part of an index.
    pub fn index(ids: LogIds, index: &SegmentIndex, number: usize, part: &IndexPart) -> Self {
        let path = LogPath::index(ids, index, number as i64);
        Self { path, bytes: part.bytes, checksum: Some(part.checksum) }
    }

    /// All objects of a segment's indexes.
    pub fn indexes(segment: &Segment) -> Vec<Self> {
        let ids = segment.log_ids();
        let parts = |index: &SegmentIndex| -> Vec<Self> {
            index.parts.iter().enumerate().map(|(number, part)| Self::index(ids, index, number, part)).collect()
        };
        segment.indexes.iter().flat_map(parts).collect()
    }

    /// All objects of a segment but those of its indexes.
    pub fn all(ids: LogIds, logs: &SegmentLogs) -> Vec<Self> {
        let files = |list: &'_ [(FieldId, Vec<LogFile>)], of: fn(LogIds, FieldId, &LogFile) -> Self| -> Vec<Self> {
            list.iter().flat_map(|(field, files)| files.iter().map(move |file| of(ids, *field, file))).collect()
        };
        let mut all = files(&logs.insert, Self::insert);
        all.extend(files(&logs.stats, Self::stats));
        all.extend(logs.delta.iter().map(|file| Self::delta(ids, file)));
        all
    }

    /// A check for a reader of windows. `None` without a checksum.
    pub fn running_check(&self) -> Option<RunningCheck> {
        self.checksum.map(|expected| RunningCheck::new(self.path, self.bytes, expected))
    }

    fn of(path: LogPath, file: &LogFile) -> Self {
        Self { path, bytes: file.bytes, checksum: file.checksum }
    }

    /// Fails unless `bytes` have the recorded checksum. CPU work: not for async threads.
    pub fn check(&self, bytes: &[u8]) -> Result<(), StorageError> {
        match self.checksum {
            Some(expected) => compare(&self.path, expected, crc32c::crc32c(bytes)),
            None => Ok(()),
        }
    }
}

fn compare(path: &LogPath, expected: u32, found: u32) -> Result<(), StorageError> {
    if found == expected || fault::planted(Planted::ChecksumIgnored) {
        return Ok(());
    }
    Err(StorageError::Damaged { object: path.to_string(), expected, found })
}

/// Checks an object whose bytes arrive in parts, in any order and from several readers.
#[derive(Debug)]
pub struct RunningCheck {
    path: LogPath,
    bytes: u64,
    expected: u32,
    /// Parts that were added, joined where they touch: start → end and checksum.
    passed: Mutex<BTreeMap<u64, (u64, u32)>>,
}

impl RunningCheck {
    /// A check of an object of `bytes` bytes.
    pub fn new(path: LogPath, bytes: u64, expected: u32) -> Self {
        Self { path, bytes, expected, passed: Mutex::default() }
    }

    pub fn path(&self) -> &LogPath {
        &self.path
    }

    /// Fails unless the object has the size that was written.
    pub(super) fn is_of_size(&self, bytes: u64) -> Result<(), StorageError> {
        if bytes == self.bytes {
            return Ok(());
        }
        let what = format!("object has {bytes} bytes, {} were written", self.bytes);
        let source = BinlogError::Corrupt { offset: bytes.min(self.bytes), what };
        Err(StorageError::Object { object: self.path.to_string(), source })
    }

    /// Adds the bytes at `at`; bytes that were added before are ignored. Fails when the object is complete and damaged.
    pub fn add(&self, at: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let mut passed = self.passed.lock();
        let end = (at + bytes.len() as u64).min(self.bytes);
        let mut from = at;
        while from < end {
            let before = passed.range(..=from).next_back().map(|(_, (end, _))| *end).filter(|end| *end > from);
            if let Some(end) = before {
                from = end;
                continue;
            }
            let until = passed.range(from..).next().map_or(end, |(start, _)| end.min(*start));
            let part = bytes.get((from - at) as usize..(until - at) as usize).unwrap_or_default();
            insert(&mut passed, from, until, crc32c::crc32c(part));
            from = until;
        }
        match passed.first_key_value() {
            Some((0, (end, found))) if *end == self.bytes => compare(&self.path, self.expected, *found),
            None if self.bytes == 0 => compare(&self.path, self.expected, crc32c::crc32c(&[])),
            _ => Ok(()),
        }
    }

    /// Adds all bytes of a gap. Fails if there are fewer, because a loop over the gaps would not end.
    pub fn fill(&self, gap: &Range<u64>, bytes: &[u8]) -> Result<(), StorageError> {
        if bytes.len() as u64 != gap.end - gap.start {
            let what = format!("{} of {} bytes at {}", bytes.len(), gap.end - gap.start, gap.start);
            return Err(StorageError::Unavailable { operation: "get", object: self.path.to_string(), what });
        }
        self.add(gap.start, bytes)
    }

    /// The first bytes that are missing, at most `most`. `None`: all were added.
    pub fn next_gap(&self, most: u64) -> Option<Range<u64>> {
        let passed = self.passed.lock();
        let from = passed.get(&0).map_or(0, |(end, _)| *end);
        let until = passed.range(from..).find(|(start, _)| **start > from).map_or(self.bytes, |(start, _)| *start);
        (from < until).then(|| from..until.min(from.saturating_add(most.max(1))))
    }
}

/// Inserts a part that overlaps no other, and joins it with the parts that it touches.
fn insert(passed: &mut BTreeMap<u64, (u64, u32)>, mut from: u64, mut until: u64, mut sum: u32) {
    let joined = |first: u32, second: u32, bytes: u64| crc32c::crc32c_combine(first, second, bytes as usize);
    if let Some((start, (_, before))) = passed.range(..from).next_back().filter(|(_, (end, _))| *end == from) {
        (from, sum) = (*start, joined(*before, sum, until - from));
    }
    if let Some((end, after)) = passed.remove(&until) {
        (until, sum) = (end, joined(sum, after, end - until));
    }
    passed.insert(from, (until, sum));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        error::{Classify, ErrorKind},
        model::{CollectionId, LogId, PartitionId, SegmentId},
    };

    fn path() -> LogPath {
        let ids = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(3) };
        LogPath::insert(ids, FieldId(100), LogId(5))
    }

    /// Adds the parts to a check, and then everything that is missing.
    fn shown(check: &RunningCheck, bytes: &[u8], parts: &[(usize, usize)], most: u64) -> Result<(), StorageError> {
        for (at, len) in parts {
            let at = at % bytes.len();
            check.add(at as u64, &bytes[at..(at + len).min(bytes.len())])?;
        }
        while let Some(gap) = check.next_gap(most) {
            check.add(gap.start, &bytes[gap.start as usize..gap.end as usize])?;
        }
        check.add(0, bytes)
    }

    proptest! {
        #[test]
        fn parts_in_any_order_make_the_checksum_of_the_whole(
            bytes in prop::collection::vec(any::<u8>(), 1..2000),
            parts in prop::collection::vec((0usize..2000, 0usize..400), 0..30),
            most in 1u64..500,
            flip in (any::<prop::sample::Index>(), 0u8..8),
        ) {
            let expected = crc32c::crc32c(&bytes);
            let check = || RunningCheck::new(path(), bytes.len() as u64, expected);
            let sound = check();
            prop_assert!(shown(&sound, &bytes, &parts, most).is_ok());
            prop_assert_eq!(sound.passed.lock().len(), 1, "parts that touch become one");
            prop_assert_eq!(sound.next_gap(most), None);

            let mut damaged = bytes.clone();
            damaged[flip.0.index(bytes.len())] ^= 1 << flip.1;
            let found = crc32c::crc32c(&damaged);
            let error = shown(&check(), &damaged, &parts, most).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
            let expected = format!("object insert_log/1/2/3/100/5 is damaged: checksum {expected:08x} expected, {found:08x} found");
            prop_assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn an_object_without_a_checksum_is_not_a_damaged_one() {
        let object = StoredObject { path: path(), bytes: 3, checksum: None };
        assert!(object.check(b"any").is_ok());
        assert!(StoredObject { checksum: Some(0), ..object }.check(b"any").is_err());
        assert!(StoredObject { checksum: Some(crc32c::crc32c(b"any")), ..object }.check(b"any").is_ok());
    }
}

//! Whether the bytes that were read of an object are those that were written: the record of its segment has a CRC-32C of
//! all of them.
//!
//! An object that is read whole is checked before anything is decoded. One that is read window by window is checked when
//! the last of its bytes has passed, in whatever order they came. A reader that sees only a part (a header, a footer, the
//! first rows) can't know: it decodes what it gets, and the scrubber finds the damage.
//!
//! Must never: take an object without a checksum (Milvus' own, an older release's) for a damaged one.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{LogPath, Paced, RangedObject, SegmentStore, StorageError};
use crate::{
    binlog::{BinlogError, LogBytes, LogIds},
    model::{FieldId, LogFile, SegmentLogs},
};

/// An object as the record of its segment describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredObject {
    pub path: LogPath,
    pub bytes: u64,
    /// None: not known.
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

    /// All objects of a segment.
    pub fn all(ids: LogIds, logs: &SegmentLogs) -> Vec<Self> {
        let files = |list: &'_ [(FieldId, Vec<LogFile>)], of: fn(LogIds, FieldId, &LogFile) -> Self| -> Vec<Self> {
            list.iter().flat_map(|(field, files)| files.iter().map(move |file| of(ids, *field, file))).collect()
        };
        let mut all = files(&logs.insert, Self::insert);
        all.extend(files(&logs.stats, Self::stats));
        all.extend(logs.delta.iter().map(|file| Self::delta(ids, file)));
        all
    }

    fn of(path: LogPath, file: &LogFile) -> Self {
        Self { path, bytes: file.bytes, checksum: file.checksum }
    }

    /// Fails unless `bytes` are the object. CPU work: not for async threads.
    pub fn check(&self, bytes: &[u8]) -> Result<(), StorageError> {
        match self.checksum {
            Some(expected) => compare(&self.path, expected, crc32c::crc32c(bytes)),
            None => Ok(()),
        }
    }
}

fn compare(path: &LogPath, expected: u32, found: u32) -> Result<(), StorageError> {
    if found == expected {
        return Ok(());
    }
    Err(StorageError::Damaged { object: path.to_string(), expected, found })
}

/// Bytes that are read at once to be compared.
const VERIFIED_BYTES: u64 = 1 << 20;

/// Reads an object from end to end, a little at a time, and compares it with its record. Returns the bytes that were read:
/// none of an object without a checksum, which only has to be there.
///
/// # Errors
/// Of kind corrupt: it is damaged, or missing.
pub async fn verify(store: &SegmentStore, pace: &Paced, object: &StoredObject) -> Result<u64, StorageError> {
    let bytes = store.size(&object.path).await?;
    let Some(expected) = object.checksum else { return Ok(0) };
    let check = RunningCheck::new(object.path, object.bytes, expected);
    check.is_of_size(bytes)?;
    // An object of no bytes is one that was written so.
    check.add(0, &[])?;
    while let Some(gap) = check.next_gap(VERIFIED_BYTES) {
        check.fill(&gap, &store.get_range_at(pace, &object.path, gap.clone()).await?)?;
    }
    Ok(bytes)
}

/// The bytes of an object that is going to be decoded.
pub enum Fetched {
    Whole {
        object: StoredObject,
        bytes: Bytes,
    },
    /// Checked on the way, if it has a [`RunningCheck`].
    Ranged(Arc<RangedObject>),
}

impl Fetched {
    /// What a decoder reads, and what to ask about an error. What is whole is checked here. CPU work: not for async
    /// threads.
    pub fn open(self) -> Result<(LogBytes, Option<Arc<RangedObject>>), StorageError> {
        match self {
            Self::Whole { object, bytes } => {
                object.check(&bytes)?;
                Ok((bytes.into(), None))
            }
            Self::Ranged(object) => Ok((object.log_bytes(), Some(object))),
        }
    }

    pub(super) fn has_windows(&self) -> bool {
        matches!(self, Self::Ranged(_))
    }
}

/// The checksum of an object whose bytes come in parts, in any order and by several readers.
#[derive(Debug)]
pub struct RunningCheck {
    path: LogPath,
    bytes: u64,
    expected: u32,
    /// Parts that have passed, none touching another: where each begins, its end and its checksum.
    passed: Mutex<BTreeMap<u64, (u64, u32)>>,
}

impl RunningCheck {
    /// Of an object that has so many bytes.
    pub fn new(path: LogPath, bytes: u64, expected: u32) -> Self {
        Self { path, bytes, expected, passed: Mutex::default() }
    }

    pub fn path(&self) -> &LogPath {
        &self.path
    }

    /// Fails if the object has another size than was written.
    pub(super) fn is_of_size(&self, bytes: u64) -> Result<(), StorageError> {
        if bytes == self.bytes {
            return Ok(());
        }
        let what = format!("object has {bytes} bytes, {} were written", self.bytes);
        let source = BinlogError::Corrupt { offset: bytes.min(self.bytes), what };
        Err(StorageError::Object { object: self.path.to_string(), source })
    }

    /// Takes the bytes from `at` on, those that have not passed yet. Fails when all have passed and are not the object.
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

    /// Takes all bytes of a gap. Fails if they are fewer: a reader that asks until there is no gap would ask for ever.
    pub fn fill(&self, gap: &Range<u64>, bytes: &[u8]) -> Result<(), StorageError> {
        if bytes.len() as u64 != gap.end - gap.start {
            let what = format!("{} of {} bytes at {}", bytes.len(), gap.end - gap.start, gap.start);
            return Err(StorageError::Unavailable { operation: "get", object: self.path.to_string(), what });
        }
        self.add(gap.start, bytes)
    }

    /// The first bytes that have not passed, at most so many; None: all have.
    pub fn next_gap(&self, most: u64) -> Option<Range<u64>> {
        let passed = self.passed.lock();
        let from = passed.get(&0).map_or(0, |(end, _)| *end);
        let until = passed.range(from..).find(|(start, _)| **start > from).map_or(self.bytes, |(start, _)| *start);
        (from < until).then(|| from..until.min(from.saturating_add(most.max(1))))
    }
}

/// Adds a part that overlaps none, and makes one of those that touch.
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

    /// Shows a check the parts, and then whatever is missing.
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

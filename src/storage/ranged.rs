//! Reads an object that is too large for memory in windows, and fetches the next window while the current one is decoded.
//!
//! Must never: let a store that does not answer look like a damaged object. A decoder sees only an IO error, so the store's
//! error is kept for [`RangedObject::take_failure`].

use std::{
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{checksum::RunningCheck, error::StorageError, pace::Paced, path::LogPath, store::SegmentStore};
use crate::{
    background::wait_in,
    binlog::{LogBytes, PEEK_BYTES, ReadRange},
};

/// Bytes read at the end of an object to get its footer.
const TAIL_BYTES: u64 = 64 * 1024;
/// Windows in memory at once: the current one, the next one, and a read that spans both.
const WINDOWS: u64 = 3;

/// How an object is read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Approximate limit on the bytes of the object in memory. A smaller object is fetched whole.
    pub held_bytes: u64,
    /// Cancels running requests, which ends the decoder's wait with an error.
    pub stop: CancellationToken,
    /// Counts the bytes read.
    pub read: Arc<AtomicU64>,
    /// Limits how fast the object is read.
    pub pace: Paced,
    /// Checks every window. Readers of the same object may share it. `None`: there is no checksum.
    pub check: Option<Arc<RunningCheck>>,
}

/// An object that is read in windows. Reads block; requests run on the runtime that opened it.
pub struct RangedObject {
    store: SegmentStore,
    path: LogPath,
    len: u64,
    window: u64,
    reading: Reading,
    runtime: Handle,
    current: Mutex<Window>,
    failure: Mutex<Option<StorageError>>,
}

/// The current window.
#[derive(Default)]
struct Window {
    at: u64,
    bytes: Bytes,
    next: Option<ReadAhead>,
}

/// A window that is being fetched.
struct ReadAhead {
    range: Range<u64>,
    bytes: AbortOnDropHandle<Result<Bytes, StorageError>>,
}

impl RangedObject {
    /// Opens an object. Asks the store for its size only.
    pub async fn open(store: &SegmentStore, path: LogPath, reading: Reading) -> Result<Arc<Self>, StorageError> {
        let window = (reading.held_bytes / (WINDOWS + 1)).max(1);
        let len = store.size(&path).await?;
        if let Some(check) = &reading.check {
            check.is_of_size(len)?;
        }
        let (store, runtime) = (store.clone(), Handle::current());
        let (current, failure) = (Mutex::default(), Mutex::default());
        Ok(Arc::new(Self { store, path, len, window, reading, runtime, current, failure }))
    }

    /// Bytes of the object.
    pub fn bytes(&self) -> u64 {
        self.len
    }

    /// The source for a decoder.
    pub fn log_bytes(self: &Arc<Self>) -> LogBytes {
        LogBytes::in_store(Arc::clone(self) as Arc<dyn ReadRange>, self.len)
    }

    /// The error of the store behind the last failed read. `None`: the bytes themselves are wrong.
    pub fn take_failure(&self) -> Option<StorageError> {
        self.failure.lock().take()
    }

    /// Completes the check at the end of reading: reads the bytes that no window has covered. Blocks.
    pub(super) fn check_rest(&self) -> Result<(), StorageError> {
        let Some(check) = &self.reading.check else { return Ok(()) };
        while let Some(gap) = check.next_gap(self.window) {
            check.fill(&gap, &wait_in(&self.runtime, self.fetch(gap.clone()))?)?;
        }
        Ok(())
    }

    fn fetch(&self, range: Range<u64>) -> impl Future<Output = Result<Bytes, StorageError>> + Send + 'static {
        let (store, path, reading) = (self.store.clone(), self.path, self.reading.clone());
        async move {
            let stopped = || StorageError::Task(format!("read of {path}: stopped"));
            let got = reading.stop.run_until_cancelled(store.get_range_paced(&reading.pace, &path, range)).await;
            let bytes = got.ok_or_else(stopped)??;
            reading.read.fetch_add(bytes.len() as u64, Relaxed);
            Ok(bytes)
        }
    }

    /// Replaces the window by one that begins at `from` and reaches at least `end`. A small non-sequential read is a header
    /// peek, so only those bytes are fetched.
    fn advance(&self, state: &mut Window, from: u64, end: u64) -> Result<(), StorageError> {
        let follows = from == state.at + state.bytes.len() as u64 && from > 0;
        let least =
            if !follows && end - from <= PEEK_BYTES { end } else { end.max((from + self.window).min(self.len)) };
        let ahead = state.next.take().filter(|next| next.range.start == from && next.range.end >= end);
        // Frees the old window before the new one arrives.
        state.bytes = Bytes::new();
        let bytes = match ahead {
            Some(next) => wait_in(&self.runtime, next.bytes)
                .unwrap_or_else(|e| Err(StorageError::Task(format!("read ahead of {}: {e}", self.path))))?,
            None => wait_in(&self.runtime, self.fetch(from..least))?,
        };
        *state = Window { at: from, bytes, next: None };
        if let Some(check) = &self.reading.check {
            check.add(from, &state.bytes)?;
        }
        let next = state.at + state.bytes.len() as u64;
        if follows && next < self.len && !state.bytes.is_empty() {
            let range = next..(next + self.window).min(self.len);
            let bytes = AbortOnDropHandle::new(self.runtime.spawn(self.fetch(range.clone())));
            state.next = Some(ReadAhead { range, bytes });
        }
        Ok(())
    }

    fn read(&self, range: &Range<u64>) -> Result<Bytes, StorageError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let mut state = self.current.lock();
        let held = state.at..state.at + state.bytes.len() as u64;
        let part = |state: &Window, from: u64, to: u64| {
            let end = (to.saturating_sub(state.at) as usize).min(state.bytes.len());
            state.bytes.slice(((from.saturating_sub(state.at)) as usize).min(end)..end)
        };
        if held.contains(&range.start) && range.end <= held.end {
            return Ok(part(&state, range.start, range.end));
        }
        if held.contains(&range.start) {
            let mut whole = BytesMut::with_capacity((range.end - range.start) as usize);
            whole.extend_from_slice(&part(&state, range.start, held.end));
            self.advance(&mut state, held.end, range.end)?;
            whole.extend_from_slice(&part(&state, held.end, range.end));
            return Ok(whole.freeze());
        }
        // A decoder reads a footer backwards: its length first, then the footer.
        let is_footer = range.end == self.len && range.start != held.end;
        let from = if is_footer { range.start.min(self.len.saturating_sub(TAIL_BYTES)) } else { range.start };
        self.advance(&mut state, from, range.end)?;
        Ok(part(&state, range.start, range.end))
    }
}

impl ReadRange for RangedObject {
    fn read_range(&self, range: Range<u64>) -> io::Result<Bytes> {
        let wanted = range.end - range.start;
        match self.read(&range) {
            Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
            Ok(bytes) => {
                let what = format!("{} of {wanted} bytes at {}", bytes.len(), range.start);
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
            }
            Err(error) => {
                let what = error.to_string();
                *self.failure.lock() = Some(error);
                Err(io::Error::other(what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        binlog::LogIds,
        model::{CollectionId, FieldId, LogId, PartitionId, SegmentId},
    };

    fn path() -> LogPath {
        let ids = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(3) };
        LogPath::insert(ids, FieldId(100), LogId(5))
    }

    fn stored(runtime: &tokio::runtime::Runtime, bytes: &[u8], window: u64) -> Arc<RangedObject> {
        runtime.block_on(async {
            let store = SegmentStore::in_memory();
            store.put(&path(), Bytes::copy_from_slice(bytes)).await.unwrap();
            let reading = Reading { held_bytes: window * (WINDOWS + 1), ..Reading::default() };
            RangedObject::open(&store, path(), reading).await.unwrap()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_ranges_in_any_order_are_those_of_the_object(
            len in 1usize..5000,
            window in 1u64..700,
            reads in prop::collection::vec((0usize..5000, 0usize..900), 1..40),
            in_order in any::<bool>(),
        ) {
            let bytes: Vec<u8> = (0..len).map(|n| (n * 31 % 251) as u8).collect();
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let object = stored(&runtime, &bytes, window);
            prop_assert_eq!(object.bytes(), len as u64);
            let mut reads: Vec<Range<usize>> =
                reads.into_iter().map(|(at, n)| at.min(len)..(at + n).min(len).max(at.min(len))).collect();
            if in_order {
                // As a decoder reads pages: each begins where the last one ended.
                let mut at = 0;
                for read in &mut reads {
                    *read = at..(at + read.len()).min(len);
                    at = read.end;
                }
            }
            for read in reads {
                let found = object.read_range(read.start as u64..read.end as u64).unwrap();
                prop_assert_eq!(&found[..], &bytes[read]);
            }
        }
    }

    /// Damage shows when the last byte has been read, in any order; `check_rest` reads the bytes that a reader skipped.
    #[test]
    fn damage_is_found_when_all_has_passed() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (bytes, window) = (vec![7; 10_000], 1000);
        let sum = crc32c::crc32c(&bytes);
        let opened = |expected| {
            let object = stored(&runtime, &bytes, window);
            let check = Some(Arc::new(RunningCheck::new(path(), 10_000, expected)));
            let reading = Reading { held_bytes: window * (WINDOWS + 1), check, ..Reading::default() };
            runtime.block_on(RangedObject::open(&object.store, path(), reading)).unwrap()
        };
        let ranges = || std::iter::once(9000..10_000u64).chain((0..9).map(|n| n * 1000..(n + 1) * 1000));
        let sound = opened(sum);
        ranges().for_each(|range| drop(sound.read_range(range).unwrap()));
        sound.check_rest().unwrap();

        let damaged = opened(sum ^ 1);
        assert!(ranges().any(|range| damaged.read_range(range).is_err()), "all has passed");
        assert!(matches!(damaged.take_failure(), Some(StorageError::Damaged { .. })));

        let skipped = opened(sum ^ 1);
        skipped.read_range(3000..4000).unwrap();
        assert!(matches!(skipped.check_rest(), Err(StorageError::Damaged { .. })));

        let other_size = RunningCheck::new(path(), 9_999, sum);
        assert!(other_size.is_of_size(10_000).is_err());
    }

    #[test]
    fn skipped_bytes_are_not_read_and_others_are_read_once() {
        const PAGE: u64 = 100_000;
        let (runtime, pages) = (tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap(), 20);
        let read = |object: &RangedObject| object.reading.read.load(Relaxed);
        let object = stored(&runtime, &vec![7; (pages * PAGE) as usize], 3 * PAGE);
        for page in 0..pages {
            object.read_range(page * PAGE..page * PAGE + PEEK_BYTES).unwrap();
        }
        assert_eq!(read(&object), pages * PEEK_BYTES);

        let object = stored(&runtime, &vec![7; (pages * PAGE) as usize], 3 * PAGE);
        for page in 0..pages {
            object.read_range(page * PAGE..page * PAGE + PEEK_BYTES).unwrap();
            object.read_range(page * PAGE + 30..(page + 1) * PAGE).unwrap();
        }
        assert_eq!(read(&object), pages * PAGE);
    }

    #[test]
    fn shutdown_does_not_wait_for_store() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let object = stored(&runtime, &[7; 100], 10);
        object.reading.stop.cancel();
        object.read_range(0..20).unwrap_err();
        assert!(matches!(object.take_failure(), Some(StorageError::Task(_))));
    }

    #[test]
    fn a_missing_object_is_not_a_damaged_one() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let object = stored(&runtime, &[7; 100], 10);
        runtime.block_on(object.store.delete(&path())).unwrap();
        object.read_range(0..20).unwrap_err();
        assert!(matches!(object.take_failure(), Some(StorageError::NotFound { .. })));
        assert!(object.take_failure().is_none());
    }
}

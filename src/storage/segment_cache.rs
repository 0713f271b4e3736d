//! Decoded columns and open indexes of flushed segments that were read lately, bounded by bytes together. The least
//! recently used go first.
//!
//! Reading and decoding a log takes some twenty times as long as comparing its vectors, or as evaluating a filter. Must
//! never hold rows that are not flushed: a log in the cache never changes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use arrow_array::ArrayRef;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter, sync::Cache, sync::DefaultLifecycle};

use super::{MappedFolder, NewestDeletes, OpenIndex, StorageError, Vectors};
use crate::model::{FieldId, LogFile, LogId, SegmentId, SegmentIndex};

/// Expected entries; sizes the table only.
const EXPECTED: usize = 1_000;
/// An entry takes this much beside its vectors.
const ENTRY_BYTES: u64 = 256;
/// Share of the cache that entries may take which were used more than once. A larger log is never kept.
const HOT_SHARE: f64 = 0.95;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum CachedObject {
    /// The vectors of one log: segment, field, and number of the log.
    Log(SegmentId, FieldId, usize),
    /// A column without vectors, of all rows.
    Column(SegmentId, FieldId),
    /// The index of one build.
    Index(SegmentId, i64),
    /// The deletes of the delta logs up to one of them. Later logs come behind it.
    Deletes(SegmentId, LogId, usize),
}

impl CachedObject {
    fn deletes(segment: SegmentId, logs: &[LogFile]) -> Self {
        Self::Deletes(segment, logs.last().map_or(LogId(0), |log| log.id), logs.len())
    }

    fn segment(&self) -> SegmentId {
        match *self {
            Self::Log(segment, ..)
            | Self::Column(segment, _)
            | Self::Index(segment, _)
            | Self::Deletes(segment, ..) => segment,
        }
    }
}

#[derive(Debug, Clone)]
enum Kept {
    Vectors(Arc<[Vectors]>),
    Column(ArrayRef),
    Index(Arc<OpenIndex>),
    Deletes(Arc<NewestDeletes>),
}

#[derive(Debug, Clone)]
struct SegmentWeight;

impl Weighter<CachedObject, Kept> for SegmentWeight {
    fn weight(&self, _: &CachedObject, kept: &Kept) -> u64 {
        let bytes = match kept {
            Kept::Vectors(vectors) => vectors.iter().map(Vectors::bytes_in_memory).sum::<u64>(),
            Kept::Column(column) => column.get_array_memory_size() as u64,
            Kept::Index(index) => index.bytes_in_memory(),
            Kept::Deletes(deletes) => deletes.bytes_in_memory(),
        };
        ENTRY_BYTES + bytes
    }
}

#[derive(Debug)]
pub struct SegmentCache {
    /// Where the bytes of indexes are. None: in memory.
    mapped: Option<MappedFolder>,
    cache: Cache<CachedObject, Kept, SegmentWeight>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl SegmentCache {
    pub fn new(capacity_bytes: u64) -> Self {
        // One shard: an entry may take nearly all of a small cache.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(EXPECTED)
            .weight_capacity(capacity_bytes)
            .hot_allocation(HOT_SHARE)
            .build();
        let cache = match options {
            Ok(options) => {
                Cache::with_options(options, SegmentWeight, DefaultHashBuilder::default(), DefaultLifecycle::default())
            }
            // The options lack nothing, so this is never reached.
            Err(_) => Cache::with_weighter(EXPECTED, capacity_bytes, SegmentWeight),
        };
        Self { mapped: None, cache, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// Indexes that are opened from now on are mapped into memory from files in a folder. They count like others.
    pub fn with_mapped(mut self, folder: MappedFolder) -> Self {
        self.mapped = Some(folder);
        self
    }

    pub fn mapped(&self) -> Option<&MappedFolder> {
        self.mapped.as_ref()
    }

    pub fn used_bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// False if vectors of so many bytes are never kept.
    pub fn fits(&self, bytes: u64) -> bool {
        bytes.saturating_add(ENTRY_BYTES) as f64 <= self.cache.capacity() as f64 * HOT_SHARE
    }

    /// True if so many bytes can be kept and nothing has to go for them.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.fits(self.used_bytes().saturating_add(bytes))
    }

    pub fn get(&self, segment: SegmentId, field: FieldId, log: usize) -> Option<Arc<[Vectors]>> {
        let found = match self.cache.get(&CachedObject::Log(segment, field, log)) {
            Some(Kept::Vectors(vectors)) => Some(vectors),
            _ => None,
        };
        self.count(found.is_some());
        found
    }

    /// The values of a field in all rows of a segment. Counts as no lookup: [`SegmentCache::keep_column`] does.
    pub fn column(&self, segment: SegmentId, field: FieldId) -> Option<ArrayRef> {
        match self.cache.get(&CachedObject::Column(segment, field)) {
            Some(Kept::Column(column)) => Some(column),
            _ => None,
        }
    }

    /// Reads a column and keeps it, unless it is there. Of concurrent calls for one column only one reads it.
    pub async fn keep_column(
        &self,
        segment: SegmentId,
        field: FieldId,
        read: impl Future<Output = Result<ArrayRef, StorageError>>,
    ) -> Result<(), StorageError> {
        let read = async {
            self.count(false);
            read.await.map(Kept::Column)
        };
        self.cache.get_or_insert_async(&CachedObject::Column(segment, field), read).await.map(|_| ())
    }

    fn count(&self, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Relaxed);
    }

    /// An index that is open, for a search through it.
    pub fn open_index(&self, segment: SegmentId, index: &SegmentIndex) -> Option<Arc<OpenIndex>> {
        let found = self.indexed_rows(segment, index);
        self.count(found.is_some());
        found
    }

    /// An index that is open, for the keys and timestamps in it. Counts as no lookup: one read asks for each of these
    /// columns, and more than once.
    pub fn indexed_rows(&self, segment: SegmentId, index: &SegmentIndex) -> Option<Arc<OpenIndex>> {
        match self.cache.get(&CachedObject::Index(segment, index.build)) {
            Some(Kept::Index(index)) => Some(index),
            _ => None,
        }
    }

    /// Opens an index and keeps it. Of concurrent calls for one index only one opens it.
    pub async fn open(
        &self,
        segment: SegmentId,
        index: &SegmentIndex,
        open: impl Future<Output = Result<OpenIndex, StorageError>>,
    ) -> Result<Option<Arc<OpenIndex>>, StorageError> {
        let open = async { open.await.map(|index| Kept::Index(Arc::new(index))) };
        match self.cache.get_or_insert_async(&CachedObject::Index(segment, index.build), open).await? {
            Kept::Index(index) => Ok(Some(index)),
            Kept::Vectors(_) | Kept::Column(_) | Kept::Deletes(_) => Ok(None),
        }
    }

    /// The deletes in the delta logs of a segment, if they were kept.
    pub fn kept_deletes(&self, segment: SegmentId, logs: &[LogFile]) -> Option<Arc<NewestDeletes>> {
        match self.cache.get(&CachedObject::deletes(segment, logs)) {
            Some(Kept::Deletes(deletes)) => Some(deletes),
            _ => None,
        }
    }

    /// Reads the deletes in the delta logs of a segment, and keeps them. Of concurrent calls for the same logs only one
    /// reads them.
    pub async fn keep_deletes(
        &self,
        segment: SegmentId,
        logs: &[LogFile],
        read: impl Future<Output = Result<NewestDeletes, StorageError>>,
    ) -> Result<Arc<NewestDeletes>, StorageError> {
        let read = async { read.await.map(|deletes| Kept::Deletes(Arc::new(deletes))) };
        match self.cache.get_or_insert_async(&CachedObject::deletes(segment, logs), read).await? {
            Kept::Deletes(deletes) => Ok(deletes),
            Kept::Vectors(_) | Kept::Column(_) | Kept::Index(_) => {
                Err(StorageError::Task(format!("the deletes of segment {segment} are something else in the cache")))
            }
        }
    }

    /// Logs, columns and indexes that were found, and those that were not.
    pub fn looked_up(&self) -> (u64, u64) {
        (self.hits.load(Relaxed), self.misses.load(Relaxed))
    }

    pub fn put(&self, segment: SegmentId, field: FieldId, log: usize, vectors: Arc<[Vectors]>) {
        self.cache.insert(CachedObject::Log(segment, field, log), Kept::Vectors(vectors));
    }

    /// Frees all of segments that nobody will read. A search that holds one of them may put some back. They are
    /// never asked for again, so they are the next to go.
    pub fn forget(&self, is_gone: impl Fn(SegmentId) -> bool) {
        self.cache.retain(|key, _| !is_gone(key.segment()));
    }
}

#[cfg(test)]
mod tests {
    use arrow_buffer::Buffer;

    use super::*;

    const FIELD: FieldId = FieldId(101);
    const KIB: u64 = 1 << 10;

    fn vectors(kib: u64) -> Arc<[Vectors]> {
        Arc::new([Vectors::dense(Buffer::from_vec(vec![0u8; (kib * KIB) as usize]), 1024)])
    }

    fn kept(cache: &SegmentCache, segment: i64) -> usize {
        (0..100).filter(|log| cache.get(SegmentId(segment), FIELD, *log).is_some()).count()
    }

    #[test]
    fn never_more_than_its_bytes() {
        let cache = SegmentCache::new(100 * KIB);
        for log in 0..100 {
            cache.put(SegmentId(1), FIELD, log, vectors(8));
            assert!(cache.used_bytes() <= 100 * KIB, "{}", cache.used_bytes());
        }
        assert!((8..13).contains(&kept(&cache, 1)), "{}", kept(&cache, 1));
    }

    #[test]
    fn a_log_beyond_the_cache_is_not_kept_and_pushes_nothing_out() {
        let cache = SegmentCache::new(100 * KIB);
        for (kib, fits) in [(8, true), (90, true), (100, false), (1 << 20, false)] {
            assert_eq!(cache.fits(kib * KIB), fits, "{kib}");
        }
        assert!(!cache.fits(u64::MAX) && !SegmentCache::new(0).fits(0));
        cache.put(SegmentId(1), FIELD, 0, vectors(8));
        cache.put(SegmentId(1), FIELD, 1, vectors(100));
        assert!(cache.get(SegmentId(1), FIELD, 0).is_some() && cache.get(SegmentId(1), FIELD, 1).is_none());
        // Nearly all of it.
        cache.put(SegmentId(2), FIELD, 0, vectors(90));
        assert!(cache.get(SegmentId(2), FIELD, 0).is_some());
    }

    #[test]
    fn the_vectors_of_a_segment_that_is_gone_are_freed() {
        let cache = SegmentCache::new(1 << 20);
        for segment in 1..4 {
            (0..5).for_each(|log| cache.put(SegmentId(segment), FIELD, log, vectors(8)));
        }
        cache.forget(|segment| segment == SegmentId(2));
        assert_eq!([1, 2, 3].map(|segment| kept(&cache, segment)), [5, 0, 5]);
        cache.forget(|_| true);
        assert_eq!(cache.used_bytes(), 0);
    }
}

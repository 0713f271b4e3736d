//! The world around the write path: a catalog, a store, a clock, and log files that fail when told to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    io::{self, IoSlice},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arrow_array::{Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int64Type};
use arrow_schema::Schema;
use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};

use super::super::{
    wal::{DiskFiles, WalFiles, files::WalFile, identity::LogIdentity},
    *,
};
use crate::{
    clock::{Clock, ManualClock},
    config::IngestConfig,
    error::ErrorKind,
    ids::{self, IdAllocator, MemoryBounds, Numbers},
    kit::model as fixture,
    model::*,
};

pub(super) const COLLECTION: CollectionId = CollectionId(7);
pub(super) const START_MS: u64 = 1_700_000_000_000;

pub(super) fn schema() -> Arc<CollectionSchema> {
    let limited = |field| Field { max_length: Some(100), ..field };
    let fields = vec![
        limited(fixture::key(100, "f100", DataType::Int64)),
        limited(fixture::field(101, "f101", DataType::VarChar)),
    ];
    Arc::new(fixture::schema("c", fields))
}

pub(super) fn channel(shard: usize) -> Channel {
    Channel::new(format!("by-dev-rootcoord-dml_{shard}_7v{shard}"))
}

/// The shard that a key's hash leads to.
pub(super) fn shard(key: i64) -> usize {
    key.rem_euclid(2) as usize
}

pub(super) fn group(partition: i64, shard: usize) -> Arc<Group> {
    Arc::new(Group { collection: COLLECTION, partition: PartitionId(partition), channel: channel(shard) })
}

/// Rows as a caller hands them over: no timestamps yet.
pub(super) fn rows(first_id: i64, keys: &[i64]) -> RecordBatch {
    let stored = schema().arrow_schema();
    let fields: Vec<_> = stored.fields().iter().filter(|f| f.name() != "1").cloned().collect();
    let ids = Int64Array::from_iter_values(first_id..first_id + keys.len() as i64);
    let texts = StringArray::from_iter_values(keys.iter().map(|k| format!("text of {k}")));
    let keys = Int64Array::from_iter_values(keys.iter().copied());
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(ids), Arc::new(keys), Arc::new(texts)]).unwrap()
}

/// A row as a reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Row {
    pub(super) key: i64,
    pub(super) id: i64,
    pub(super) ts: u64,
}

pub(super) fn read_rows(batch: &RecordBatch) -> Vec<Row> {
    let column = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
    let (ids, stamps, keys) = (column("0"), column("1"), column("100"));
    let texts = batch.column_by_name("101").unwrap().as_string::<i32>().clone();
    (0..batch.num_rows())
        .map(|n| {
            assert_eq!(texts.value(n), format!("text of {}", keys.value(n)), "columns of a row stay together");
            Row { key: keys.value(n), id: ids.value(n), ts: stamps.value(n) as u64 }
        })
        .collect()
}

/// Steps at which the outside can be held up or fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Point {
    WriteSegment,
    CommitFlush,
    /// The flush is committed, the answer is not there yet.
    FlushCommitted,
    CommitDeltas,
    /// The deltas are committed, the answer is not there yet.
    DeltasCommitted,
}

pub(super) const POINTS: [Point; 5] =
    [Point::WriteSegment, Point::CommitFlush, Point::FlushCommitted, Point::CommitDeltas, Point::DeltasCommitted];

/// Holds every call until it is released.
#[derive(Debug)]
pub(super) struct Gate {
    came: Semaphore,
    open: Semaphore,
}

impl Gate {
    /// Waits until a call has come to the gate.
    pub(super) async fn arrived(&self) {
        self.came.acquire().await.unwrap().forget();
    }

    /// Lets one pass.
    pub(super) fn release(&self) {
        self.open.add_permits(1);
    }
}

/// A segment in the catalog.
#[derive(Debug, Clone)]
pub(super) struct StoredSegment {
    pub(super) group: Arc<Group>,
    pub(super) rows: Vec<Row>,
    pub(super) deletes: Vec<Delete>,
    pub(super) live: bool,
    pub(super) from: Vec<SegmentId>,
}

#[derive(Default)]
pub(super) struct Contents {
    written: HashMap<SegmentId, SealedRows>,
    pub(super) segments: BTreeMap<SegmentId, StoredSegment>,
    pub(super) delta_lsn: HashMap<Channel, Lsn>,
    pub(super) end_lsn: Lsn,
    pub(super) log: KnownLog,
    pub(super) partitions: HashSet<PartitionId>,
    /// The collection is gone.
    pub(super) dropped: bool,
    /// Row ids of each segment as it was handed over to be written.
    pub(super) order: HashMap<SegmentId, Vec<i64>>,
    pub(super) delta_batches: Vec<DeltaBatch>,
}

#[derive(Default)]
pub(super) struct Catalog {
    pub(super) contents: Mutex<Contents>,
    gates: Mutex<HashMap<Point, Arc<Gate>>>,
    refusals: Mutex<HashMap<Point, VecDeque<FlushError>>>,
}

impl Catalog {
    pub(super) fn hold(&self, point: Point) -> Arc<Gate> {
        let gate = Arc::new(Gate { came: Semaphore::new(0), open: Semaphore::new(0) });
        self.gates.lock().insert(point, gate.clone());
        gate
    }

    /// Opens a gate for good.
    pub(super) fn unhold(&self, point: Point) {
        if let Some(gate) = self.gates.lock().remove(&point) {
            gate.open.add_permits(10_000);
        }
    }

    /// Lets one pass a gate, if there is one.
    pub(super) fn release(&self, point: Point) {
        if let Some(gate) = self.gates.lock().get(&point) {
            gate.release();
        }
    }

    pub(super) fn refuse(&self, point: Point, kind: ErrorKind) {
        self.refusals
            .lock()
            .entry(point)
            .or_default()
            .push_back(FlushError::new(kind, format!("refused at {point:?}")));
    }

    pub(super) fn stop_refusing(&self) {
        self.refusals.lock().clear();
    }

    async fn pass(&self, point: Point) -> Result<(), FlushError> {
        let gate = self.gates.lock().get(&point).cloned();
        if let Some(gate) = gate {
            gate.came.add_permits(1);
            gate.open.acquire().await.unwrap().forget();
        }
        match self.refusals.lock().get_mut(&point).and_then(VecDeque::pop_front) {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    pub(super) fn recovered(&self) -> RecoveredCatalog {
        let contents = self.contents.lock();
        let collection = RecoveredCollection {
            schema: schema(),
            partitions: contents.partitions.clone(),
            has_segment: {
                let known: HashSet<SegmentId> = contents.segments.keys().copied().collect();
                Box::new(move |id| known.contains(&id))
            },
            delta_lsn: contents.delta_lsn.clone(),
        };
        let (end_lsn, log) = (contents.end_lsn, contents.log);
        RecoveredCatalog { collections: [(COLLECTION, collection)].into(), end_lsn, log }
    }

    /// Merges the live segments of each group into one without deletes; forgets the sources if told to.
    pub(super) fn compact(&self, ids: &IdAllocator, collect_garbage: bool) {
        let mut contents = self.contents.lock();
        let mut groups: BTreeMap<String, Vec<SegmentId>> = BTreeMap::new();
        for (id, held) in contents.segments.iter().filter(|(_, h)| h.live) {
            groups.entry(held.group.to_string()).or_default().push(*id);
        }
        for sources in groups.into_values() {
            let group = contents.segments[&sources[0]].group.clone();
            let mut merged = StoredSegment { group, rows: vec![], deletes: vec![], live: true, from: sources.clone() };
            for source in &sources {
                let held = contents.segments.get_mut(source).unwrap();
                held.live = false;
                let held = held.clone();
                merged.rows.extend(held.rows.iter().filter(|r| !is_dead(r, &held.deletes)));
                if collect_garbage {
                    contents.segments.remove(source);
                }
            }
            contents.segments.insert(SegmentId(ids.next().now_or_never().unwrap().unwrap()), merged);
        }
    }
}

fn is_dead(row: &Row, deletes: &[Delete]) -> bool {
    deletes.iter().any(|d| d.key == PrimaryKey::Int(row.key) && d.ts.0 > row.ts)
}

#[async_trait]
impl SegmentWriter for Catalog {
    async fn write(&self, rows: SealedRows) -> Result<FlushedSegment, FlushError> {
        self.pass(Point::WriteSegment).await?;
        let segment = Segment {
            rows: rows.rows.rows(),
            delta_rows: rows.deletes.len() as u64,
            compaction_from: Box::new([]),
            compaction_to: Box::new([]),
            end_lsn: rows.end_lsn,
            version: 1,
            ..Segment::new(rows.id, rows.group.clone())
        };
        self.contents.lock().written.insert(rows.id, rows);
        Ok(FlushedSegment { segment, logs: SegmentLogs::default(), stats: Vec::new() })
    }
}

#[async_trait]
impl FlushSink for Catalog {
    async fn commit_flush(&self, flushed: FlushedSegment) -> Result<Committed, FlushError> {
        self.pass(Point::CommitFlush).await?;
        {
            let mut contents = self.contents.lock();
            let id = flushed.segment.id;
            let written = contents.written.remove(&id).unwrap();
            if !contents.partitions.contains(&written.group.partition) {
                return Ok(Committed::Gone(Gone::Partition(written.group.partition)));
            }
            let rows: Vec<Row> = written.rows.batches().flat_map(|batch| read_rows(&batch.unwrap())).collect();
            assert_eq!((rows.len() as u64, written.rows.rows()), (flushed.segment.rows, flushed.segment.rows));
            for delete in &written.deletes {
                let hits = rows.iter().any(|r| is_dead(r, std::slice::from_ref(delete)));
                assert!(hits, "{delete:?} hits no row of {id}");
            }
            contents.order.insert(id, rows.iter().map(|r| r.id).collect());
            contents.end_lsn = contents.end_lsn.max(flushed.segment.end_lsn);
            let held = StoredSegment { group: written.group, rows, deletes: written.deletes, live: true, from: vec![] };
            contents.segments.entry(id).or_insert(held);
        }
        self.pass(Point::FlushCommitted).await.map(|()| Committed::Here)
    }

    async fn commit_deltas(&self, batch: DeltaBatch) -> Result<Committed, FlushError> {
        self.pass(Point::CommitDeltas).await?;
        {
            let mut contents = self.contents.lock();
            if contents.dropped {
                return Ok(Committed::Gone(Gone::Collection(COLLECTION)));
            }
            for (id, held) in contents.segments.iter_mut().filter(|(_, h)| h.live && h.group.channel == batch.channel) {
                let may_hold = |d: &Delete| held.rows.iter().any(|r| d.key == PrimaryKey::Int(r.key));
                let deletes: Vec<Delete> = batch.for_segment(*id, held.group.partition).filter(may_hold).collect();
                held.deletes.extend(deletes);
            }
            let upto = contents.delta_lsn.entry(batch.channel.clone()).or_default();
            *upto = batch.upto.max(*upto);
            contents.end_lsn = contents.end_lsn.max(batch.upto);
            contents.delta_batches.push(batch);
        }
        self.pass(Point::DeltasCommitted).await.map(|()| Committed::Here)
    }
}

/// Faults of the log files, made on purpose.
#[derive(Default)]
pub(super) struct LogFaults {
    pub(super) syncs: AtomicU64,
    pub(super) fail_sync: AtomicBool,
    pub(super) removals: AtomicU64,
    /// Remove files, and fail then.
    pub(super) fail_removed: AtomicBool,
    /// Write only so many bytes of the next append, then fail.
    pub(super) tear: Mutex<Option<usize>>,
    /// Syncs wait until the other end is dropped.
    pub(super) hold: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
}

struct FaultyFiles {
    disk: DiskFiles,
    faults: Arc<LogFaults>,
    /// Dropped with the log thread.
    _ended: mpsc::Sender<()>,
}

impl WalFiles for FaultyFiles {
    fn create(&mut self, first: Lsn) -> io::Result<Box<dyn WalFile>> {
        Ok(Box::new(FaultyFile { disk: self.disk.create(first)?, faults: self.faults.clone() }))
    }

    fn remove(&mut self, first: Lsn) -> io::Result<()> {
        self.disk.remove(first)?;
        self.faults.removals.fetch_add(1, Ordering::SeqCst);
        if self.faults.fail_removed.load(Ordering::SeqCst) {
            return Err(io::Error::other("fails on purpose after it was done"));
        }
        Ok(())
    }

    fn note(&mut self, identity: &LogIdentity) -> io::Result<()> {
        self.disk.note(identity)
    }
}

struct FaultyFile {
    disk: Box<dyn WalFile>,
    faults: Arc<LogFaults>,
}

impl WalFile for FaultyFile {
    fn append(&mut self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        match self.faults.tear.lock().take() {
            None => self.disk.append(slices),
            Some(keep) => {
                let all: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).collect();
                self.disk.append(&mut [IoSlice::new(&all[..keep.min(all.len())])])?;
                Err(io::Error::other("torn on purpose"))
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        if let Some(held) = self.faults.hold.lock().take() {
            let _ = held.recv();
        }
        if self.faults.fail_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("sync fails on purpose"));
        }
        self.disk.sync()
    }
}

/// The parts that outlive a process.
pub(super) struct World {
    pub(super) dir: tempfile::TempDir,
    pub(super) clock: Arc<ManualClock>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) config: IngestConfig,
    bounds: MemoryBounds,
}

/// One process.
pub(super) struct Process {
    pub(super) ingest: Ingest,
    pub(super) report: RecoveryReport,
    pub(super) ids: Arc<IdAllocator>,
    pub(super) faults: Arc<LogFaults>,
    pub(super) catalog: Arc<Catalog>,
    log_ended: mpsc::Receiver<()>,
}

impl World {
    pub(super) fn new() -> Self {
        let catalog = Catalog::default();
        catalog.contents.lock().partitions = [PartitionId(1), PartitionId(2)].into();
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::at(START_MS)),
            catalog: Arc::new(catalog),
            config: IngestConfig { wal_file_bytes: 4 << 10, ..IngestConfig::default() },
            bounds: MemoryBounds::default(),
        }
    }

    pub(super) fn wal(&self) -> std::path::PathBuf {
        self.dir.path().join("wal")
    }

    pub(super) async fn open(&self) -> Process {
        self.try_open().await.unwrap()
    }

    pub(super) async fn open_with_writer(&self, writer: Arc<dyn SegmentWriter>) -> Process {
        self.open_parts(writer).await.unwrap()
    }

    pub(super) async fn try_open(&self) -> Result<Process, IngestError> {
        self.open_parts(self.catalog.clone()).await
    }

    async fn open_parts(&self, writer: Arc<dyn SegmentWriter>) -> Result<Process, IngestError> {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let Numbers { ids, tso, .. } = ids::open(Arc::new(self.bounds.clone()), clock.clone()).await?;
        // Stores the first bound, so that later ids need no await.
        ids.next().await?;
        let (config, wal_dir, sink) = (self.config.clone(), self.wal(), self.catalog.clone());
        let known = self.catalog.recovered();
        let parts = IngestParts { config, wal_dir, ids: ids.clone(), tso, clock, writer, sink, known };
        let (ended, log_ended) = mpsc::channel(1);
        let faults = Arc::new(LogFaults::default());
        let files = FaultyFiles { disk: DiskFiles::new(self.wal()), faults: faults.clone(), _ended: ended };
        let (ingest, report) = Ingest::open_log(Box::new(files), parts).await?;
        self.catalog.contents.lock().log.noted = Some(report.log);
        Ok(Process { ingest, report, ids, faults, catalog: self.catalog.clone(), log_ended })
    }
}

impl Ingest {
    /// Commands that wait for the log thread.
    pub(super) fn queued(&self) -> usize {
        self.inner.commands.max_capacity() - self.inner.commands.capacity()
    }

    /// Told of every flush that ended, well or not.
    pub(super) fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.flusher.shared.changes()
    }
}

impl Process {
    /// Ends it as a kill would: nothing is finished, and only the bytes in the files are left.
    pub(super) async fn kill(mut self) {
        self.ingest.inner.stop.cancel();
        self.ingest.inner.tasks.wait().await;
        drop(self.ingest);
        assert_eq!(self.log_ended.recv().await, None);
    }

    pub(super) fn insert_op(&self, partition: i64, keys: &[i64]) -> (Write, Vec<Row>) {
        let mut inserts = Vec::new();
        let mut expected = Vec::new();
        for s in 0..2 {
            let keys: Vec<i64> = keys.iter().copied().filter(|k| shard(*k) == s).collect();
            if keys.is_empty() {
                continue;
            }
            let first = self.ids.alloc(keys.len() as u64).now_or_never().unwrap().unwrap().start;
            inserts.push(InsertPart { group: group(partition, s), rows: rows(first, &keys) });
            expected.extend(keys.iter().enumerate().map(|(n, key)| Row { key: *key, id: first + n as i64, ts: 0 }));
        }
        (Write { collection: COLLECTION, schema: schema(), deletes: vec![], inserts }, expected)
    }

    pub(super) fn delete_ops(partition: Option<i64>, keys: &[i64]) -> Vec<DeleteOp> {
        (0..2)
            .map(|s| DeleteOp {
                channel: channel(s),
                partition: partition.map(PartitionId),
                keys: keys.iter().filter(|k| shard(**k) == s).map(|k| PrimaryKey::Int(*k)).collect(),
                older_than: None,
            })
            .collect()
    }

    /// Inserts rows and returns them as they were acknowledged.
    pub(super) async fn insert(&self, partition: i64, keys: &[i64]) -> Result<Vec<Row>, IngestError> {
        let (write, mut rows) = self.insert_op(partition, keys);
        let ack = self.ingest.write(write).await?;
        rows.iter_mut().for_each(|r| r.ts = ack.ts.0);
        Ok(rows)
    }

    pub(super) async fn delete(&self, partition: Option<i64>, keys: &[i64]) -> Result<WriteAck, IngestError> {
        self.delete_older(partition, keys, None).await
    }

    /// A delete that was decided by an earlier read.
    pub(super) async fn delete_older(
        &self,
        partition: Option<i64>,
        keys: &[i64],
        than: Option<Timestamp>,
    ) -> Result<WriteAck, IngestError> {
        let mut deletes = Self::delete_ops(partition, keys);
        deletes.iter_mut().for_each(|op| op.older_than = than);
        self.ingest.write(Write { collection: COLLECTION, schema: schema(), deletes, inserts: vec![] }).await
    }

    pub(super) async fn upsert(&self, partition: i64, keys: &[i64]) -> Result<Vec<Row>, IngestError> {
        let (mut write, mut rows) = self.insert_op(partition, keys);
        write.deletes = Self::delete_ops(None, keys);
        let ack = self.ingest.write(write).await?;
        rows.iter_mut().for_each(|r| r.ts = ack.ts.0);
        Ok(rows)
    }

    /// Seals everything and waits until it is flushed.
    pub(super) async fn flush(&self) -> Vec<SegmentId> {
        let sealed = self.ingest.seal(COLLECTION).await.unwrap();
        self.ingest.wait_flushed(&sealed).await.unwrap();
        sealed
    }

    /// The live rows as a reader sees them, following the protocol of the module overview.
    pub(super) fn live(&self) -> BTreeSet<Row> {
        let snapshot = self.ingest.snapshot(COLLECTION);
        self.live_with(&snapshot)
    }

    /// The same, with a snapshot that was taken earlier.
    pub(super) fn live_with(&self, snapshot: &GrowingSnapshot) -> BTreeSet<Row> {
        let contents = self.catalog.contents.lock();
        let known = |id: SegmentId| {
            contents.segments.contains_key(&id) || contents.segments.values().any(|h| h.from.contains(&id))
        };
        let waiting = |group: &Group| -> Vec<Delete> {
            let lists = snapshot.deletes.iter().filter(|(c, _)| *c == group.channel).map(|(_, list)| list);
            let runs = lists.flat_map(DeleteList::iter).filter(|r| r.covers(group.partition));
            runs.flat_map(|r| r.keys.iter().map(|key| Delete { key: key.clone(), ts: r.ts })).collect()
        };
        let mut seen = BTreeSet::new();
        let mut see = |row: Row, own: &[Delete], waiting: &[Delete]| {
            if !is_dead(&row, own) && !is_dead(&row, waiting) {
                assert!(seen.insert(row), "{row:?} is seen twice");
            }
        };
        for segment in snapshot.segments.iter().filter(|s| !known(s.id)) {
            let waiting = waiting(&segment.group);
            let rows = segment.chunks.iter().flat_map(|c| read_rows(&c.batch));
            rows.for_each(|row| see(row, &segment.deletes, &waiting));
        }
        for held in contents.segments.values().filter(|h| h.live && contents.partitions.contains(&h.group.partition)) {
            let waiting = waiting(&held.group);
            held.rows.iter().for_each(|row| see(*row, &held.deletes, &waiting));
        }
        seen
    }

    pub(super) fn live_keys(&self) -> Vec<i64> {
        self.live().into_iter().map(|r| r.key).collect()
    }
}

/// The newest log file.
pub(super) fn newest_log(dir: &Path) -> std::path::PathBuf {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "log"));
    files.sort();
    files.pop().unwrap()
}

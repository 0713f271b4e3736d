//! The handle that the rest of the program uses, and the start and stop of everything behind it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    DeltaBatch, FlushSink, GrowingSnapshot, Health, IngestError, IngestStats, RecoveredCatalog, RecoveryReport,
    SegmentWriter, UnflushedInfo, Write, WriteAck,
    assign::Assigner,
    chunk::row_bytes,
    flush::{Flusher, WORKERS},
    log_thread::{Append, Appended, EncodedInsert, EncodedWrite, LogBody, LogCommand, LogThread},
    recovery::{Recovered, recover},
    seal::size_threshold,
    shared::IngestShared,
    wal::{Control, DiskFiles, EncodedRecord, LogCut, LogWriter, MAX_BODY_BYTES, WalFiles},
};
use crate::{
    background::{self, blocking},
    clock::Clock,
    config::IngestConfig,
    fault::{self, Planted},
    ids::{IdAllocator, Tso},
    model::{Channel, CollectionId, DataType, PartitionId, PrimaryKey, SegmentId, SegmentState, WriteAheadLog},
};

/// Bytes of requests that wait for the log or are being written, all together.
const QUEUE_BYTES: u64 = 128 << 20;
/// One permit of the queue.
const QUEUE_UNIT: u64 = 1 << 10;
/// Requests and other commands that wait, at most.
const QUEUE_COMMANDS: usize = 8_192;
/// Encoding more than this would hold up an async thread.
const INLINE_BYTES: u64 = 1 << 20;
/// How often the rules that depend on time are looked at.
const TICK: Duration = Duration::from_secs(1);

/// The write path. Clones share it; it ends when it is stopped or the last clone is gone.
#[derive(Clone)]
pub struct Ingest {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) commands: mpsc::Sender<LogCommand>,
    queue: Arc<Semaphore>,
    pub(super) flusher: Flusher,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

/// The parts of a write path.
pub struct IngestParts {
    pub config: IngestConfig,
    pub wal_dir: PathBuf,
    pub ids: Arc<IdAllocator>,
    pub tso: Arc<Tso>,
    pub clock: Arc<dyn Clock>,
    pub writer: Arc<dyn SegmentWriter>,
    pub sink: Arc<dyn FlushSink>,
    /// The catalog as it is at this moment.
    pub known: RecoveredCatalog,
}

impl Ingest {
    /// Reads the log back and begins to accept writes. Sealed segments are flushed at once. Between reading
    /// [`IngestParts::known`] and this call's return only the sink may change the catalog's collections, partitions and
    /// segments.
    ///
    /// Fails if the log is damaged anywhere but at its torn end, naming file and offset, and if it is not the one that
    /// the catalog knows, or not all of it. [`RecoveryReport::log`] has to be stored in the catalog before the first
    /// request is served.
    pub async fn open(parts: IngestParts) -> Result<(Self, RecoveryReport), IngestError> {
        let files = Box::new(DiskFiles::new(parts.wal_dir.clone()));
        Self::open_log(files, parts).await
    }

    /// [`Ingest::open`] over files that are written in another way. They are read as those of the directory
    /// [`IngestParts::wal_dir`], also when other code writes them.
    pub async fn open_log(files: Box<dyn WalFiles>, parts: IngestParts) -> Result<(Self, RecoveryReport), IngestError> {
        let IngestParts { config, wal_dir, ids, tso, clock, writer, sink, known } = parts;
        let (full_bytes, roll_bytes) = (size_threshold(&config), config.wal_file_bytes);
        let accepted = config.accept_lost_log;
        let log_dir = wal_dir.clone();
        let begin = move || {
            let Recovered { owner, state, log, growing, last_segment, unnoted, mut report } =
                recover(&wal_dir, known, full_bytes, accepted)?;
            let log = LogWriter::begin(files, log, roll_bytes, owner).map_err(|source| IngestError::Io {
                action: "begin a log file in",
                path: wal_dir,
                source,
            })?;
            report.log = WriteAheadLog { id: owner.log, newest: log.newest() };
            Ok::<_, IngestError>((state, log, growing, last_segment, unnoted, report))
        };
        let (mut state, log, growing, last_segment, unnoted, report) = blocking(begin).await?;
        tso.advance_past(log.last_ts());
        ids.advance_past(last_segment.0);
        let mut assigner = Assigner::new(ids, full_bytes);
        growing.into_iter().for_each(|(group, id, bytes)| assigner.resume(group, id, bytes));

        // A log may have no frames, or only frames that are older than rows which an earlier process has flushed and let
        // go. The timestamp taken now is newer than every row of any process.
        state.last_ts = tso.next().await?;
        let shared = Arc::new(IngestShared::new(config, state));
        let (commands, received) = mpsc::channel(QUEUE_COMMANDS);
        let thread = LogThread {
            commands: received,
            shared: shared.clone(),
            writer: log,
            wal_dir: log_dir,
            assigner,
            tso,
            clock: clock.clone(),
        };
        background::thread("datacoord-log", move || thread.run()).map_err(|source| IngestError::Io {
            action: "start a thread for",
            path: PathBuf::from("the log"),
            source,
        })?;

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let commands_weak = commands.downgrade();
        let flusher =
            Flusher { shared, writer, sink, clock, commands: commands_weak, tasks: tasks.clone(), stop: stop.clone() };
        for _ in 0..WORKERS {
            tasks.spawn(flusher.clone().run(stop.clone()));
        }
        tasks.spawn(flusher.clone().run_deltas(stop.clone()));
        tasks.spawn(tick(commands.downgrade(), flusher.shared.clone(), stop.clone()));
        tasks.close();
        let queue = Arc::new(Semaphore::new((QUEUE_BYTES / QUEUE_UNIT) as usize));
        let inner = Inner { commands, queue, flusher, tasks, _stop_on_drop: stop.clone().drop_guard(), stop };
        let ingest = Self { inner: Arc::new(inner) };
        if !unnoted.is_empty() {
            ingest.append(LogBody::Control(Control::Flushed(unnoted)), None).await?;
        }
        Ok((ingest, report))
    }

    /// Logs a request and applies it. When this returns Ok the request is durable and every later snapshot shows it.
    ///
    /// Waits while the queue is full or unflushed rows hold more than twice the memory limit. A caller that stops
    /// waiting after the request was queued does not take it back. After an error of the log it is unknown whether the
    /// request will be there after a restart.
    pub async fn write(&self, write: Write) -> Result<WriteAck, IngestError> {
        let Write { collection, schema, deletes, inserts } = write;
        let layout = self.inner.flusher.shared.layout(collection, &schema);
        let wrong = |detail: String| IngestError::Schema { collection, detail };
        let mut parts = Vec::with_capacity(inserts.len());
        let mut bytes = 0;
        for part in inserts.into_iter().filter(|p| p.rows.num_rows() > 0) {
            if part.group.collection != collection {
                return Err(wrong(format!("rows are for group {}", part.group)));
            }
            layout.check(&part.rows).map_err(wrong)?;
            let insert = EncodedInsert { bytes: row_bytes(&part.rows), group: part.group, rows: part.rows };
            bytes += insert.bytes;
            parts.push(insert);
        }
        let strings = layout.schema.primary_key().data_type == DataType::VarChar;
        let mut ops = Vec::with_capacity(deletes.len());
        for op in deletes.into_iter().filter(|op| !op.keys.is_empty()) {
            if let Some(key) = op.keys.iter().find(|key| matches!(key, PrimaryKey::Str(_)) != strings) {
                return Err(wrong(format!("primary key {key} is of another type")));
            }
            bytes += op.keys.iter().map(key_bytes).sum::<u64>();
            ops.push(op);
        }
        if parts.is_empty() && ops.is_empty() {
            return Err(IngestError::Empty { collection });
        }
        if bytes > MAX_BODY_BYTES {
            return Err(IngestError::TooLarge { bytes, limit: MAX_BODY_BYTES });
        }
        self.admit().await?;
        let units = bytes.div_ceil(QUEUE_UNIT).clamp(1, QUEUE_BYTES / QUEUE_UNIT) as u32;
        let permit = self.inner.queue.clone().acquire_many_owned(units).await.map_err(|_| IngestError::Stopped)?;
        let encode = move || {
            let rows: Vec<_> = parts.iter().map(|p| (p.group.clone(), p.rows.clone())).collect();
            let record = EncodedRecord::write(collection, &ops, &rows)?;
            Ok::<_, IngestError>(EncodedWrite { record, collection, layout, inserts: parts, deletes: ops })
        };
        let encoded = if bytes > INLINE_BYTES { blocking(encode).await? } else { encode()? };
        Ok(self.append(LogBody::Write(encoded), Some(permit)).await?.ack)
    }

    /// Seals the growing segments of a collection. Returns all of its segments that are sealed and not yet flushed, those
    /// that were sealed earlier included: waiting for them is waiting for every row written so far.
    pub async fn seal(&self, collection: CollectionId) -> Result<Vec<SegmentId>, IngestError> {
        {
            let state = self.inner.flusher.shared.state.lock();
            if state.segments_of(collection).all(|s| s.state != SegmentState::Growing) {
                return Ok(state.segments_of(collection).map(|s| s.id).collect());
            }
        }
        self.seal_all(collection).await
    }

    /// [`Ingest::seal`], and every write that was queued before the call is in one of those segments: all rows of later
    /// writes go to other ones.
    pub async fn seal_all(&self, collection: CollectionId) -> Result<Vec<SegmentId>, IngestError> {
        Ok(self.append(LogBody::SealCollection(collection), None).await?.sealed)
    }

    /// Waits until each of these segments is flushed and committed, or dropped.
    pub async fn wait_flushed(&self, segments: &[SegmentId]) -> Result<(), IngestError> {
        let mut changes = self.inner.flusher.shared.changes();
        while !segments.iter().all(|s| self.is_flushed(*s)) {
            tokio::select! {
                biased;
                changed = changes.changed() => changed.map_err(|_| IngestError::Stopped)?,
                () = self.inner.stop.cancelled() => return Err(IngestError::Stopped),
            }
        }
        Ok(())
    }

    /// False while a segment grows, is sealed or is being flushed here. True for every other id, known or not.
    pub fn is_flushed(&self, segment: SegmentId) -> bool {
        self.inner.flusher.shared.state.lock().segment(segment).is_none()
    }

    /// Gives every delete that waits for a collection to the catalog's side. When this returns Ok, every delete
    /// acknowledged before the call is in the delta logs of the flushed segments that may hold its key.
    pub async fn flush_deltas(&self, collection: CollectionId) -> Result<(), IngestError> {
        self.inner.flusher.flush_deltas(collection).await
    }

    /// The batches, one per channel, that [`Ingest::flush_deltas`] would give to the catalog's side now. Gives none.
    pub fn pending_deltas(&self, collection: CollectionId) -> Vec<DeltaBatch> {
        let state = self.inner.flusher.shared.state.lock();
        let batch = |channel: Channel| {
            let (deletes, flushed) = state.pending(collection, &channel)?;
            Some(DeltaBatch { collection, channel, deletes, upto: state.last_lsn, flushed })
        };
        state.pending_channels(collection).into_iter().filter_map(batch).collect()
    }

    /// Rows and deletes of a collection that are in memory. To be taken before the catalog's list: see the module overview.
    pub fn snapshot(&self, collection: CollectionId) -> GrowingSnapshot {
        self.inner.flusher.shared.state.lock().snapshot(collection)
    }

    /// Every unflushed segment, ascending by id.
    pub fn unflushed(&self) -> Vec<UnflushedInfo> {
        self.inner.flusher.shared.state.lock().unflushed()
    }

    /// Drops all rows and deletes of a collection that are in memory. To be called when the catalog has dropped it.
    pub async fn forget_collection(&self, collection: CollectionId) -> Result<(), IngestError> {
        self.append(LogBody::Control(Control::ForgetCollection(collection)), None).await.map(drop)
    }

    /// Drops the sealed segments of a collection with smaller ids. To be called when the catalog has truncated them:
    /// a flush of them that is under way gets [`Gone::Truncated`](super::Gone) for an answer.
    pub async fn forget_segments(&self, collection: CollectionId, before: SegmentId) -> Result<(), IngestError> {
        let shared = &self.inner.flusher.shared;
        let all = shared.state.lock().segments_of(collection).map(|s| s.id).collect::<Vec<_>>();
        let gone: Vec<SegmentId> = all.into_iter().filter(|id| *id < before).collect();
        if gone.is_empty() {
            return Ok(());
        }
        // With the note a replay leaves the rows out without a look into the catalog.
        self.append(LogBody::Control(Control::Flushed(gone.clone())), None).await?;
        self.inner.flusher.forget(&gone, |state, id| drop(state.remove(id)));
        Ok(())
    }

    /// Drops all rows of a partition that are in memory. To be called when the catalog has dropped it.
    pub async fn forget_partition(&self, collection: CollectionId, partition: PartitionId) -> Result<(), IngestError> {
        self.append(LogBody::Control(Control::ForgetPartition(collection, partition)), None).await.map(drop)
    }

    /// Waits until the log itself notes every segment that was committed before this call as flushed. To be called
    /// before the catalog forgets segments altogether (removes the records of dropped ones): from then on only the log
    /// can tell a restart that their rows are not to be brought back.
    pub async fn flushes_noted(&self) -> Result<(), IngestError> {
        let (reply, answered) = oneshot::channel();
        self.inner.commands.send(LogCommand::Barrier(Some(reply))).await.map_err(|_| IngestError::Stopped)?;
        answered.await.map_err(|_| IngestError::Stopped)?;
        let shared = &self.inner.flusher.shared;
        if shared.failure().is_some() { Err(shared.log_failed()) } else { Ok(()) }
    }

    /// The log as of one moment: every write acknowledged before the call is in it, and it has no part of one that is
    /// acknowledged after the answer. A later shrinking of the log takes nothing from it.
    pub async fn cut(&self) -> Result<LogCut, IngestError> {
        let (reply, answered) = oneshot::channel();
        self.inner.commands.send(LogCommand::Cut(reply)).await.map_err(|_| IngestError::Stopped)?;
        answered.await.map_err(|_| IngestError::Stopped)?
    }

    pub fn health(&self) -> Health {
        self.inner.flusher.shared.health()
    }

    pub fn stats(&self) -> IngestStats {
        self.inner.flusher.shared.stats()
    }

    /// Applies the rules that depend on time at once instead of at the next tick.
    pub async fn tick(&self) -> Result<(), IngestError> {
        let (reply, answered) = oneshot::channel();
        self.inner.commands.send(LogCommand::Tick(Some(reply))).await.map_err(|_| IngestError::Stopped)?;
        answered.await.map_err(|_| IngestError::Stopped)
    }

    /// Finishes queued requests and ends. Flushes under way are given up: the log has their rows. Other clones get
    /// `Stopped` from now on.
    pub async fn stop(self) {
        let (reply, answered) = oneshot::channel();
        if self.inner.commands.send(LogCommand::Stop(reply)).await.is_ok() {
            // When this is answered, all queued requests are durable. An error means that the thread has ended.
            let _ = answered.await;
        }
        self.inner.stop.cancel();
        self.inner.queue.close();
        self.inner.tasks.wait().await;
    }

    async fn append(
        &self,
        body: LogBody,
        permit: Option<tokio::sync::OwnedSemaphorePermit>,
    ) -> Result<Appended, IngestError> {
        let (reply, answered) = oneshot::channel();
        let append = Box::new(Append { body, reply: Some(reply), permit });
        self.inner.commands.send(LogCommand::Append(append)).await.map_err(|_| IngestError::Stopped)?;
        answered.await.map_err(|_| IngestError::Stopped)?
    }

    /// Waits until unflushed rows leave room.
    async fn admit(&self) -> Result<(), IngestError> {
        let shared = &self.inner.flusher.shared;
        let limit = shared.config.memory_limit_bytes.saturating_mul(2);
        let mut changes = None;
        loop {
            if shared.failure().is_some() {
                return Err(shared.log_failed());
            }
            let bytes = shared.state.lock().memory_bytes();
            if bytes <= limit || fault::planted(Planted::WritesNotHeldBack) {
                return Ok(());
            }
            if let Health::FlushFailing { error: cause, .. } = shared.health() {
                return Err(IngestError::MemoryFull { bytes, limit, cause });
            }
            // Subscribe first and look once more, or a change in between would be missed.
            let Some(changes) = &mut changes else {
                changes = Some(shared.changes());
                continue;
            };
            tokio::select! {
                biased;
                changed = changes.changed() => changed.map_err(|_| IngestError::Stopped)?,
                () = self.inner.stop.cancelled() => return Err(IngestError::Stopped),
            }
        }
    }
}

/// Rough size of a key in the log.
fn key_bytes(key: &PrimaryKey) -> u64 {
    match key {
        PrimaryKey::Int(_) => 8,
        PrimaryKey::Str(text) => text.len() as u64 + 4,
    }
}

/// Has the log thread apply the rules that depend on time once a second, while there is something to apply them to.
async fn tick(commands: mpsc::WeakSender<LogCommand>, shared: Arc<IngestShared>, stop: CancellationToken) {
    #[expect(clippy::disallowed_methods, reason = "a background loop; tests move tokio's clock")]
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = interval.tick() => {}
            () = stop.cancelled() => return,
        }
        let Some(commands) = commands.upgrade() else { return };
        if shared.state.lock().is_empty() {
            continue;
        }
        // A full queue means that the log thread is busy: the next tick comes in a second.
        let _ = commands.try_send(LogCommand::Tick(None));
    }
}

//! The thread that writes the log: takes all queued requests, writes and syncs them once, applies and acknowledges them.
//!
//! Only this thread gives requests their positions, timestamps and segments, and only this thread adds to the state. It
//! never applies or acknowledges a record before it is durable, and never touches the log again after one failed write or
//! sync.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use arrow_array::RecordBatch;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    DeleteOp, IngestError, WriteAck,
    assign::Assigner,
    chunk::{RowLayout, merge},
    seal::{SealReason, decide, deltas_due, size_threshold},
    shared::IngestShared,
    state::{Effect, Insert, Record},
    wal::{Control, EncodedRecord, FrameHeader, FramePart, LogCut, LogWriter},
};
use crate::{
    background::wait,
    clock::Clock,
    fault::{self, Planted, Point},
    ids::Tso,
    model::{CollectionId, Group, Lsn, SegmentId, SegmentState},
};

/// A sync covers at most about this much: more would make all callers wait longer for the same throughput.
const GROUP_BYTES: u64 = 32 << 20;
const GROUP_FRAMES: usize = 4_096;

pub(super) enum LogCommand {
    Append(Box<Append>),
    /// Apply the rules that depend on time. Answered when their decisions are in the state.
    Tick(Option<oneshot::Sender<()>>),
    /// Shrink the log if possible. Answered when all requests queued before are durable, or the log has failed.
    Barrier(Option<oneshot::Sender<()>>),
    /// Open the files of the log as they are once all requests queued before are durable.
    Cut(oneshot::Sender<Result<LogCut, IngestError>>),
    /// Finish the queued requests, then end.
    Stop(oneshot::Sender<()>),
}

pub(super) struct Append {
    pub(super) body: LogBody,
    pub(super) reply: Option<oneshot::Sender<Result<Appended, IngestError>>>,
    /// Its share of the queue, given back when the record is applied or refused.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

pub(super) enum LogBody {
    Write(EncodedWrite),
    /// Seals the growing segments of a collection.
    SealCollection(CollectionId),
    Control(Control),
}

/// A request that was checked and encoded by its caller.
pub(super) struct EncodedWrite {
    pub(super) record: EncodedRecord,
    pub(super) collection: CollectionId,
    pub(super) layout: Arc<RowLayout>,
    pub(super) inserts: Vec<EncodedInsert>,
    pub(super) deletes: Vec<DeleteOp>,
}

pub(super) struct EncodedInsert {
    pub(super) group: Arc<Group>,
    pub(super) rows: RecordBatch,
    /// Bytes of the values in memory.
    pub(super) bytes: u64,
}

/// The record is durable and applied.
#[derive(Debug)]
pub(super) struct Appended {
    pub(super) ack: WriteAck,
    /// For SealCollection: the segments of the collection that are sealed and not yet flushed.
    pub(super) sealed: Vec<SegmentId>,
}

/// A record with everything but durability.
struct PreparedRecord {
    header: Vec<u8>,
    encoded: EncodedRecord,
    record: Record,
    ack: WriteAck,
    /// Segments to be sealed after it.
    filled: Vec<(SegmentId, u64)>,
    seals: Option<CollectionId>,
    reply: Option<oneshot::Sender<Result<Appended, IngestError>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

pub(super) struct LogThread {
    pub(super) commands: mpsc::Receiver<LogCommand>,
    pub(super) shared: Arc<IngestShared>,
    pub(super) writer: LogWriter,
    pub(super) wal_dir: PathBuf,
    pub(super) assigner: Assigner,
    pub(super) tso: Arc<Tso>,
    pub(super) clock: Arc<dyn Clock>,
}

impl LogThread {
    /// Runs until it is told to stop or every sender is gone.
    pub(super) fn run(mut self) {
        self.publish_size();
        let mut stopped = None;
        while let Some(first) = wait(self.commands.recv()) {
            let mut group = Vec::new();
            let mut waiting = Vec::new();
            let mut cuts = Vec::new();
            let mut ticked = false;
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(command) = next.take() {
                match command {
                    LogCommand::Append(append) => {
                        if let LogBody::Write(write) = &append.body {
                            bytes += write.record.bytes();
                        }
                        group.push(*append);
                    }
                    LogCommand::Tick(reply) => {
                        ticked = true;
                        waiting.extend(reply);
                    }
                    LogCommand::Barrier(reply) => waiting.extend(reply),
                    LogCommand::Cut(reply) => cuts.push(reply),
                    LogCommand::Stop(reply) => {
                        self.commands.close();
                        stopped = Some(reply);
                    }
                }
                if bytes < GROUP_BYTES && group.len() < GROUP_FRAMES {
                    next = self.commands.try_recv().ok();
                }
            }
            self.commit(group);
            // The requests of the group are answered, so the cut has them all.
            for reply in cuts {
                let _ = reply.send(self.cut());
            }
            self.seal_by_rule(ticked);
            self.shrink();
            self.publish_size();
            for reply in waiting {
                // The caller may have stopped waiting.
                let _ = reply.send(());
            }
        }
        // The caller may open the same files again once it is answered.
        drop(self);
        if let Some(reply) = stopped {
            let _ = reply.send(());
        }
    }

    fn cut(&self) -> Result<LogCut, IngestError> {
        if self.shared.failure().is_some() {
            return Err(self.shared.log_failed());
        }
        LogCut::open(&self.wal_dir, &self.writer)
    }

    /// Writes a group of records, makes it durable, applies it and answers.
    fn commit(&mut self, group: Vec<Append>) {
        if group.is_empty() {
            return;
        }
        let mut prepared: Vec<PreparedRecord> = Vec::with_capacity(group.len());
        let mut log_offset = self.writer.end_offset();
        for Append { body, reply, permit } in group {
            if self.shared.failure().is_some() {
                answer(reply, Err(self.shared.log_failed()));
                continue;
            }
            let lsn = Lsn(self.writer.next().0 + prepared.len() as u64);
            match self.prepare(body, lsn, log_offset) {
                Ok((mut record, bytes)) => {
                    log_offset += bytes;
                    record.reply = reply;
                    record._permit = permit;
                    prepared.push(record);
                }
                Err(error) => answer(reply, Err(error)),
            }
        }
        if prepared.is_empty() {
            return;
        }
        let before = self.writer.end_offset();
        let frames: Vec<(&[u8], &EncodedRecord)> = prepared.iter().map(|p| (p.header.as_slice(), &p.encoded)).collect();
        if let Err(error) = self.writer.commit(&frames)
            && !fault::planted(Planted::LogErrorIgnored)
        {
            if !fault::planted(Planted::LogGoesOnAfterFailure) {
                self.shared.fail(error.to_string());
            }
            prepared.into_iter().for_each(|p| answer(p.reply, Err(self.shared.log_failed())));
            return;
        }
        let counters = &self.shared.counters;
        counters.fsyncs.fetch_add(1, Ordering::Relaxed);
        counters.appended_frames.fetch_add(prepared.len() as u64, Ordering::Relaxed);
        counters.appended_bytes.fetch_add(self.writer.end_offset() - before, Ordering::Relaxed);
        fault::reached(Point::LogSynced);
        self.apply(prepared);
    }

    /// Gives a record its position, timestamp and segments. Also the bytes of its frame.
    fn prepare(&mut self, body: LogBody, lsn: Lsn, log_offset: u64) -> Result<(PreparedRecord, u64), IngestError> {
        let ts = self.tso.next_blocking()?;
        let (mut filled, mut seals, mut parts) = (Vec::new(), None, Vec::new());
        let (encoded, effect) = match body {
            LogBody::Write(write) => {
                let EncodedWrite { record, collection, layout, inserts, deletes } = write;
                if let Some(newer) = deletes.iter().filter_map(|op| op.older_than).find(|t| *t > ts) {
                    // It would kill rows that are not written yet, and a replay would refuse the frame.
                    return Err(IngestError::Internal(format!("deletes of timestamp {newer} in a request of {ts}")));
                }
                let mut assigned = Vec::with_capacity(inserts.len());
                for (insert, part) in inserts.into_iter().zip(&record.parts) {
                    let chunk = layout.stamp(&insert.rows, ts, insert.bytes);
                    let chunk = chunk.map_err(|e| IngestError::Internal(format!("can't stamp rows: {e}")))?;
                    let to = self.assigner.assign(&insert.group, insert.bytes)?;
                    filled.extend(to.filled.map(|bytes| (to.segment, bytes)));
                    parts.push(FramePart { segment: to.segment, rows: part.rows, bytes: part.bytes });
                    assigned.push(Insert { segment: to.segment, group: to.group, layout: layout.clone(), chunk });
                }
                (record, Effect::Write { collection, inserts: assigned, deletes })
            }
            LogBody::SealCollection(collection) => {
                seals = Some(collection);
                let control = Control::Seal(self.assigner.close_collection(collection));
                (EncodedRecord::control(&control)?, Effect::Control(control))
            }
            LogBody::Control(control) => {
                match &control {
                    Control::ForgetCollection(c) => drop(self.assigner.close_collection(*c)),
                    Control::ForgetPartition(c, p) => drop(self.assigner.close_partition(*c, *p)),
                    Control::Seal(_) | Control::Flushed(_) => {}
                }
                (EncodedRecord::control(&control)?, Effect::Control(control))
            }
        };
        let header = FrameHeader {
            kind: encoded.kind,
            lsn,
            ts,
            durable: self.writer.durable(),
            preamble_bytes: encoded.preamble.len() as u32,
            body_crc: encoded.crc,
            parts,
        };
        let header = header.encode()?;
        let bytes = header.len() as u64 + encoded.bytes();
        let record = Record { lsn, ts, log_offset, effect };
        let ack = WriteAck { ts, lsn };
        Ok((PreparedRecord { header, encoded, record, ack, filled, seals, reply: None, _permit: None }, bytes))
    }

    /// Folds durable records into the state and answers their callers.
    fn apply(&mut self, prepared: Vec<PreparedRecord>) {
        let mut answers = Vec::with_capacity(prepared.len());
        let mut touched = BTreeSet::new();
        let mut forgotten = Vec::new();
        {
            let mut state = self.shared.state.lock();
            for PreparedRecord { record, ack, filled, seals, reply, _permit, encoded: _, header: _ } in prepared {
                match &record.effect {
                    Effect::Write { inserts, .. } => touched.extend(inserts.iter().map(|i| i.segment)),
                    Effect::Control(Control::ForgetCollection(c)) => forgotten.push(*c),
                    Effect::Control(_) => {}
                }
                state.apply(record);
                for (segment, bytes) in filled {
                    let threshold_bytes = size_threshold(&self.shared.config);
                    state.seal(segment, SealReason::Size { bytes, threshold_bytes });
                }
                let unflushed = seals.into_iter().flat_map(|c| state.segments_of(c));
                let sealed = unflushed.filter(|s| s.state != SegmentState::Growing).map(|s| s.id).collect();
                answers.push((reply, Appended { ack, sealed }));
            }
            if state.has_sealed() {
                self.shared.flush_wanted.notify_one();
            }
        }
        if !forgotten.is_empty() {
            forgotten.into_iter().for_each(|c| self.shared.forget_collection(c));
            self.shared.wake();
        }
        fault::reached(Point::LogApplied);
        answers.into_iter().for_each(|(reply, appended)| answer(reply, Ok(appended)));
        self.merge_small(touched);
    }

    /// Merges small chunks. The rows are copied outside the lock: no other thread adds to a growing segment.
    fn merge_small(&mut self, touched: BTreeSet<SegmentId>) {
        for id in touched {
            let tail = self.shared.state.lock().segment(id).and_then(|s| s.small_tail());
            let Some(tail) = tail else { continue };
            match merge(&tail) {
                Ok(Some(merged)) => {
                    let mut state = self.shared.state.lock();
                    if let Some(segment) = state.segment_mut(id).filter(|s| s.state == SegmentState::Growing) {
                        segment.replace_tail(tail.len(), merged);
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(segment = %id, %error, "small chunks stay as they are"),
            }
        }
    }

    /// Applies the sealing rules: at every tick, and as soon as growing segments hold too much.
    fn seal_by_rule(&mut self, ticked: bool) {
        let config = &self.shared.config;
        let mut state = self.shared.state.lock();
        if !ticked && state.growing_bytes() <= config.memory_limit_bytes {
            return;
        }
        let (now_ms, log_end) = (self.clock.now_ms(), self.writer.end_offset());
        // The frames that failed may be in the log all the same, and have more rows of the growing segments. A replay
        // takes no rows of a segment that the catalog has, but it takes the deletes of an upsert.
        let growing = if self.shared.failure().is_some() { Vec::new() } else { state.growing(log_end) };
        for (segment, reason) in decide(&growing, config, now_ms) {
            tracing::debug!(%segment, %reason, "sealed");
            self.assigner.close(segment);
            state.seal(segment, reason);
        }
        if state.has_sealed() {
            self.shared.flush_wanted.notify_one();
        }
        if state.pending_stats(log_end).iter().any(|(_, _, pending)| deltas_due(pending, config, now_ms)) {
            self.shared.deltas_wanted.notify_one();
        }
    }

    fn shrink(&mut self) {
        if !self.shared.shrink_wanted.swap(false, Ordering::AcqRel) {
            return;
        }
        let low_water = self.shared.state.lock().low_water();
        if let Err(error) = self.writer.shrink(low_water) {
            // Costs only space: the next flush tries again.
            tracing::warn!(%error, "a log file could not be removed");
        }
    }

    fn publish_size(&self) {
        let (bytes, files) = self.writer.size();
        self.shared.counters.wal_bytes.store(bytes, Ordering::Relaxed);
        self.shared.counters.wal_files.store(files, Ordering::Relaxed);
        self.shared.counters.wal_end.store(self.writer.end_offset(), Ordering::Relaxed);
    }
}

/// A caller may have stopped waiting. Its record counts all the same.
fn answer(reply: Option<oneshot::Sender<Result<Appended, IngestError>>>, result: Result<Appended, IngestError>) {
    if let Some(reply) = reply {
        let _ = reply.send(result);
    }
}

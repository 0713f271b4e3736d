//! Moves sealed segments into the object store and the catalog.
//!
//! Never drops a segment that could not be flushed: it stays sealed, keeps the error, and is tried again later.
//!
//! # Why flushes and delta flushes of a channel exclude each other
//! A flush collects the deletes that hit its segment, writes them as its delta log, commits. A delta flush takes the
//! waiting deletes up to a position U, attaches them to the segments in memory that they hit, has the catalog give them
//! to the flushed ones, and forgets them. If the two overlapped, a delete could be lost between them:
//!
//! ```text
//!   flush of S     collect ─────────── write ─────────── commit
//!   delta flush             attach to S ─ commit_deltas ─ forget       S has collected already: attached in vain;
//!                                                                      S is not in the catalog yet: not routed there
//! ```
//!
//! So a flush holds the channel's lock shared from collecting to forgetting the segment, a delta flush holds it alone.
//! With the lock there are two orders, and each delete that hits S reaches it in both:
//! - flush first: S is in the catalog with the deletes up to L, its collecting point; later ones still wait and the
//!   delta flush routes them to S as to any flushed segment (and [`FlushedUpTo`] says to leave out those up to L);
//! - delta flush first: S carries those up to U that hit it, and collects the later ones itself.
//!
//! A crash between the two finds S's rows and all deletes after them in the log, because the log is kept from the first
//! row of any unflushed segment on. The catalog's `delta_lsn` only says which deletes flushed segments have; replay
//! applies the earlier ones to segments in memory all the same (`recovery`).
//!
//! The lock is given back between attempts, so a store that is away holds up no delta flush for longer than one attempt.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use super::{
    Committed, FlushError, FlushSink, FlushedSegment,
    chunk::Chunk,
    hits::hits,
    log_thread::{Append, LogBody, LogCommand},
    order::RowsInOrder,
    pending::{DeleteList, DeleteRun},
    shared::IngestShared,
    state::WriteState,
    wal::Control,
};
use crate::{
    background::blocking,
    clock::Clock,
    error::ErrorKind,
    fault::{self, Planted, Point},
    model::{CollectionSchema, Delete, Group, Lsn, SegmentId, SegmentState},
};

/// Segments flushed at once.
pub const WORKERS: usize = 2;
/// Pause after the first failure; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A sealed segment, ready to be written.
#[derive(Debug)]
pub struct SealedRows {
    pub id: SegmentId,
    pub group: Arc<Group>,
    pub schema: Arc<CollectionSchema>,
    /// All stored columns.
    pub rows: RowsInOrder,
    /// Deletes that hit at least one of the rows, ascending by timestamp.
    pub deletes: Vec<Delete>,
    /// Position of the last row.
    pub end_lsn: Lsn,
}

/// Writes the objects of a segment. Implemented over `storage`; a fake keeps the rows.
#[async_trait]
pub trait SegmentWriter: Send + Sync {
    /// The objects are durable when this returns; nothing names them yet.
    async fn write(&self, rows: SealedRows) -> Result<FlushedSegment, FlushError>;
}

/// Shared by the flush tasks.
#[derive(Clone)]
pub(super) struct Flusher {
    pub(super) shared: Arc<IngestShared>,
    pub(super) writer: Arc<dyn SegmentWriter>,
    pub(super) sink: Arc<dyn FlushSink>,
    pub(super) clock: Arc<dyn Clock>,
    /// Weak, so that the log thread ends when the last handle is gone.
    pub(super) commands: mpsc::WeakSender<LogCommand>,
    /// Flushes that run, also those whose worker has stopped waiting.
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// A segment as it was when its flush began.
struct FlushJob {
    id: SegmentId,
    group: Arc<Group>,
    schema: Arc<CollectionSchema>,
    chunks: Vec<Arc<Chunk>>,
    attached: Vec<Delete>,
    waiting: DeleteList,
    /// Deletes up to here are in `attached` or `waiting`.
    upto: Lsn,
    end_lsn: Lsn,
}

impl Flusher {
    /// Flushes sealed segments that are due, until cancelled. A flush that has begun is given up then: its objects are
    /// garbage, its rows are in the log.
    pub(super) async fn run(self, stop: CancellationToken) {
        let work = async {
            loop {
                let due = self.shared.state.lock().next_to_flush(self.clock.now_ms());
                match due {
                    Some((id, group)) => {
                        // There may be work for the others, too.
                        self.shared.flush_wanted.notify_one();
                        // A task of its own: a panic fails one attempt, not the worker.
                        let flusher = self.clone();
                        let attempt = tokio::spawn(async move { flusher.flush(id, &group).await });
                        let attempt = AbortOnDropHandle::new(attempt);
                        if let Err(error) = attempt.await {
                            self.failed(
                                id,
                                FlushError::new(ErrorKind::Internal, format!("flush ended early: {error}")),
                            );
                        }
                    }
                    None => self.shared.flush_wanted.notified().await,
                }
            }
        };
        tokio::select! {
            biased;
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    async fn flush(&self, id: SegmentId, group: &Group) {
        let lock = if fault::planted(Planted::ChannelUnlocked) {
            Default::default()
        } else {
            self.shared.channel(group.collection, &group.channel)
        };
        let _shared = lock.read().await;
        let Some(job) = self.collect(id) else { return };
        let upto = job.upto;
        if fault::planted(Planted::DroppedBeforeCommit) {
            self.forget_flushed(id, upto);
        }
        match self.write(job).await {
            Ok(Committed::Here) => {
                self.shared.counters.flushes.fetch_add(1, Ordering::Relaxed);
                fault::reached(Point::FlushCommitted);
                self.note(id).await;
                fault::reached(Point::FlushNoted);
                self.forget_flushed(id, upto);
            }
            Ok(Committed::Gone(what)) => {
                tracing::warn!(segment = %id, %group, reason = %what, "discarded a segment that nothing can show any more");
                self.note(id).await;
                self.forget_flushed(id, upto);
            }
            Err(_) if fault::planted(Planted::StoreErrorDropsRows) => self.forget_flushed(id, upto),
            Err(refusal) => self.failed(id, refusal),
        }
    }

    /// The present content of the segment. None if it was forgotten meanwhile.
    fn collect(&self, id: SegmentId) -> Option<FlushJob> {
        let state = self.shared.state.lock();
        let segment = state.segment(id).filter(|s| s.state == SegmentState::Flushing)?;
        let waiting = state.pending(segment.group.collection, &segment.group.channel);
        Some(FlushJob {
            id,
            group: segment.group.clone(),
            schema: segment.layout.schema.clone(),
            chunks: segment.chunks.clone(),
            attached: segment.attached_deletes(),
            waiting: waiting.map(|(list, _)| list).unwrap_or_default(),
            upto: state.last_lsn,
            end_lsn: segment.last_lsn,
        })
    }

    async fn write(&self, job: FlushJob) -> Result<Committed, FlushError> {
        let rows = blocking(move || job.into_rows()).await?;
        let flushed = self.writer.write(rows).await?;
        fault::reached(Point::FlushWritten);
        self.sink.commit_flush(flushed).await
    }

    /// The catalog has the segment, with all deletes up to `upto`.
    fn forget_flushed(&self, id: SegmentId, upto: Lsn) {
        self.forget(&[id], |state, id| {
            state.flushed(id, upto);
        });
    }

    /// Takes segments out of memory, wakes their waiters, and lets the log shrink.
    pub(super) fn forget(&self, ids: &[SegmentId], take: impl Fn(&mut WriteState, SegmentId)) {
        {
            let mut state = self.shared.state.lock();
            ids.iter().for_each(|id| take(&mut state, *id));
        }
        self.shared.wake();
        self.shared.shrink_wanted.store(true, Ordering::Release);
        if let Some(commands) = self.commands.upgrade() {
            // A full queue is as good as a wake-up.
            let _ = commands.try_send(LogCommand::Barrier(None));
        }
    }

    /// Queues a note in the log that the segment is done with, so that a replay knows it even if the catalog has
    /// forgotten the segment by then (compacted away and collected as garbage). Comes before the segment is forgotten
    /// here, so that `flushes_noted` covers every segment that a caller can see to be flushed.
    async fn note(&self, id: SegmentId) {
        let Some(commands) = self.commands.upgrade() else { return };
        let body = LogBody::Control(Control::Flushed(vec![id]));
        // A failure means that the log thread has ended, and then nothing is shrunk either.
        let _ = commands.send(LogCommand::Append(Box::new(Append { body, reply: None, permit: None }))).await;
    }

    fn failed(&self, id: SegmentId, refusal: FlushError) {
        self.shared.counters.flush_failures.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(segment = %id, kind = refusal.kind.as_str(), error = %refusal, "flush failed, will be tried again");
        let now_ms = self.clock.now_ms();
        self.shared.state.lock().flush_failed(id, refusal.message, |n| now_ms + pause(n).as_millis() as u64);
        self.shared.wake();
    }
}

/// Pause before another attempt after so many failures.
pub(super) fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

impl FlushJob {
    fn into_rows(self) -> Result<SealedRows, FlushError> {
        let partition = self.group.partition;
        let mut deletes = self.attached;
        let waits = |r: &&Arc<DeleteRun>| r.covers(partition) && !fault::planted(Planted::FlushMissesDeletes);
        for run in self.waiting.iter().filter(waits) {
            deletes.extend(run.keys.iter().map(|key| Delete { key: key.clone(), ts: run.ts }));
        }
        let mut deletes = hits(&self.schema, self.chunks.iter().map(AsRef::as_ref), deletes);
        deletes.sort_by(|a, b| (a.ts, &a.key).cmp(&(b.ts, &b.key)));
        let rows = RowsInOrder::new(&self.chunks)
            .map_err(|e| FlushError::new(ErrorKind::Internal, format!("can't order rows of {}: {e}", self.id)))?;
        let (id, group, schema, end_lsn) = (self.id, self.group, self.schema, self.end_lsn);
        Ok(SealedRows { id, group, schema, rows, deletes, end_lsn })
    }
}

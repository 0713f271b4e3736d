//! Gives waiting deletes to the flushed segments that they may hit, through the catalog's side.
//!
//! Never forgets a delete before every segment that it hits carries it. `flush` says why this excludes flushes of the
//! same channel. The order is:
//! 1. alone on the channel, take the list up to U, the newest position applied (rows that come later are newer than
//!    every delete in it);
//! 2. attach to each segment in memory the deletes that hit it;
//! 3. have the catalog commit the list for the flushed segments, with U;
//! 4. forget the list up to U.
//!
//! A snapshot sees a delete at least once at every step. Failing after 2 leaves the list as it is: attaching the same
//! delete twice is harmless, because a delta log has every delete once. The list is forgotten without a commit only when
//! the catalog itself says that the collection was dropped ([`Committed::Gone`]). An error of any kind keeps it.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use tokio_util::sync::CancellationToken;

use super::{
    Committed, DeltaBatch, FlushError, IngestError,
    chunk::Chunk,
    flush::{Flusher, pause},
    growing::Unflushed,
    hits::hits,
    pending::DeleteList,
    seal::deltas_due,
};
use crate::{
    background::blocking,
    fault::{self, Planted, Point},
    model::{Channel, CollectionId, CollectionSchema, Delete, Lsn, PartitionId, SegmentId},
};

/// A segment in memory that waiting deletes may hit.
pub(super) struct DeltaTarget {
    pub(super) id: SegmentId,
    pub(super) partition: PartitionId,
    pub(super) schema: Arc<CollectionSchema>,
    pub(super) chunks: Vec<Arc<Chunk>>,
}

impl DeltaTarget {
    pub(super) fn of(segment: &Unflushed) -> Self {
        Self {
            id: segment.id,
            partition: segment.group.partition,
            schema: segment.layout.schema.clone(),
            chunks: segment.chunks.clone(),
        }
    }
}

/// For each target, the deletes of `list` that hit it.
pub(super) fn route(targets: Vec<DeltaTarget>, list: &DeleteList) -> HashMap<SegmentId, Vec<Delete>> {
    let of = |target: &DeltaTarget| {
        let runs = list.iter().filter(|r| r.covers(target.partition));
        let deletes = runs.flat_map(|r| r.keys.iter().map(|key| Delete { key: key.clone(), ts: r.ts })).collect();
        hits(&target.schema, target.chunks.iter().map(AsRef::as_ref), deletes)
    };
    targets.into_iter().map(|t| (t.id, of(&t))).filter(|(_, hit)| !hit.is_empty()).collect()
}

impl Flusher {
    /// Flushes deltas that are due, until cancelled.
    pub(super) async fn run_deltas(self, stop: CancellationToken) {
        let work = async {
            loop {
                self.shared.deltas_wanted.notified().await;
                let log_end = self.shared.counters.wal_end.load(Ordering::Relaxed);
                let now_ms = self.clock.now_ms();
                let pending = self.shared.state.lock().pending_stats(log_end);
                for (collection, channel, _) in
                    pending.iter().filter(|(_, _, p)| deltas_due(p, &self.shared.config, now_ms))
                {
                    if let Err(error) = self.flush_channel_deltas(*collection, channel).await {
                        tracing::warn!(%collection, %channel, %error, "deltas stay in memory and are tried again");
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    /// Flushes every delete that waits for a collection at the time of the call.
    pub(super) async fn flush_deltas(&self, collection: CollectionId) -> Result<(), IngestError> {
        let channels = self.shared.state.lock().pending_channels(collection);
        for channel in channels {
            self.flush_channel_deltas(collection, &channel).await?;
        }
        Ok(())
    }

    /// Waiting for the channel may be given up. The rest is a task of its own: a caller that goes away between the
    /// catalog's commit and the forgetting would leave deletes that every later flush gives again.
    async fn flush_channel_deltas(&self, collection: CollectionId, channel: &Channel) -> Result<(), IngestError> {
        let alone = self.shared.channel(collection, channel).write_owned().await;
        let (flusher, channel) = (self.clone(), channel.clone());
        let flush = async move {
            let _alone = alone;
            tokio::select! {
                biased;
                flushed = flusher.flush_channel_alone(collection, &channel) => flushed,
                () = flusher.stop.cancelled() => Err(IngestError::Stopped),
            }
        };
        self.tasks.spawn(flush).await.map_err(|e| IngestError::Internal(format!("a delta flush ended early: {e}")))?
    }

    /// The caller has the channel alone.
    async fn flush_channel_alone(&self, collection: CollectionId, channel: &Channel) -> Result<(), IngestError> {
        let (batch, targets) = {
            let state = self.shared.state.lock();
            let Some((deletes, flushed)) = state.pending(collection, channel) else { return Ok(()) };
            let on_channel = state.segments_of(collection).filter(|s| s.group.channel == *channel);
            let targets = on_channel.map(DeltaTarget::of).collect::<Vec<_>>();
            let channel = channel.clone();
            (DeltaBatch { collection, channel, deletes, upto: state.last_lsn, flushed }, targets)
        };
        if batch.deletes.is_empty() {
            return Ok(());
        }
        let upto = batch.upto;
        match self.give(batch, targets).await {
            Ok(Committed::Here) => {
                self.shared.counters.delta_flushes.fetch_add(1, Ordering::Relaxed);
                fault::reached(Point::DeltasCommitted);
                self.forget_deltas(collection, channel, upto);
                Ok(())
            }
            Ok(Committed::Gone(what)) => {
                tracing::warn!(%collection, %channel, reason = %what, "discarded deletes that nothing can show any more");
                self.forget_deltas(collection, channel, upto);
                Ok(())
            }
            Err(_) if fault::planted(Planted::StoreErrorDropsDeletes) => {
                self.forget_deltas(collection, channel, upto);
                Ok(())
            }
            Err(refusal) => {
                self.shared.counters.delta_flush_failures.fetch_add(1, Ordering::Relaxed);
                let now_ms = self.clock.now_ms();
                let at = |n| now_ms + pause(n).as_millis() as u64;
                self.shared.state.lock().deltas_failed(collection, channel, refusal.message.clone(), at);
                self.shared.wake();
                Err(IngestError::Deltas { collection, channel: channel.to_string(), refusal })
            }
        }
    }

    /// Steps 2 and 3.
    async fn give(&self, batch: DeltaBatch, targets: Vec<DeltaTarget>) -> Result<Committed, FlushError> {
        let list = batch.deletes.clone();
        let routed = blocking(move || Ok::<_, FlushError>(route(targets, &list))).await?;
        if !fault::planted(Planted::DeltasMissMemory) {
            let mut state = self.shared.state.lock();
            for (segment, deletes) in routed {
                state.attach_deletes(segment, deletes);
            }
        }
        fault::reached(Point::DeltasAttached);
        self.sink.commit_deltas(batch).await
    }

    fn forget_deltas(&self, collection: CollectionId, channel: &Channel, upto: Lsn) {
        self.shared.state.lock().drop_deletes(collection, channel, upto);
        self.shared.wake();
        self.shared.shrink_wanted.store(true, Ordering::Release);
        if let Some(commands) = self.commands.upgrade() {
            // A full queue is as good as a wake-up.
            let _ = commands.try_send(super::log_thread::LogCommand::Barrier(None));
        }
    }
}

//! The write path's state: every unflushed segment and every waiting delete. It is the fold of the durable log in the
//! order of positions: live writes and replay both go through [`WriteState::apply`].
//!
//! # Changes
//! Only the log thread adds rows and deletes and seals (`apply`, `seal`). A flush or a delta flush takes rows or deletes
//! away once they are durable elsewhere. All of them hold the one lock around this value while they move a few pointers,
//! and never while they write, sync, encode or await.
//!
//! # Invariants
//! 1. A segment is here from its first durable row until the catalog has it or says that a user dropped its rows.
//! 2. A delete is in its channel's list until every segment with a row that it hits carries it: flushed segments in
//!    their delta logs (by the catalog's word), segments in memory in their own lists.
//! 3. Per group at most one segment is Growing, and it is the newest.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    chunk::{Chunk, RowLayout},
    growing::Unflushed,
    pending::{DeleteList, DeleteRun, DeltasWaiting, FlushedUpTo, Pending},
    request::DeleteOp,
    seal::{GrowingStats, PendingStats, SealReason},
    wal::Control,
};
use crate::{
    fault::{self, Planted},
    model::{Channel, CollectionId, Delete, Group, Lsn, PartitionId, SegmentId, SegmentState, Timestamp},
};

/// A durable record, ready to be applied.
pub(super) struct Record {
    pub(super) lsn: Lsn,
    pub(super) ts: Timestamp,
    /// Bytes of the log in front of it.
    pub(super) log_offset: u64,
    pub(super) effect: Effect,
}

pub(super) enum Effect {
    Write { collection: CollectionId, inserts: Vec<Insert>, deletes: Vec<DeleteOp> },
    Control(Control),
}

pub(super) struct Insert {
    pub(super) segment: SegmentId,
    pub(super) group: Arc<Group>,
    pub(super) layout: Arc<RowLayout>,
    pub(super) chunk: Chunk,
}

#[derive(Debug, Default)]
struct CollectionRows {
    segments: BTreeMap<SegmentId, Unflushed>,
    pending: HashMap<Channel, Pending>,
}

#[derive(Debug, Default)]
pub(super) struct WriteState {
    collections: HashMap<CollectionId, CollectionRows>,
    owners: HashMap<SegmentId, CollectionId>,
    /// Sealed and not being flushed, oldest first.
    sealed: BTreeSet<(Lsn, SegmentId)>,
    pub(super) last_lsn: Lsn,
    /// Every row of this timestamp or an older one, of this process or an earlier one, is here or in the catalog.
    pub(super) last_ts: Timestamp,
    growing_bytes: u64,
    /// Rows and deletes of segments in any state.
    memory_bytes: u64,
}

impl WriteState {
    /// Folds one durable record in. Must be called in the order of positions.
    pub(super) fn apply(&mut self, record: Record) {
        let Record { lsn, ts, log_offset, effect } = record;
        (self.last_lsn, self.last_ts) = (lsn, ts);
        match effect {
            Effect::Write { collection, inserts, deletes } => {
                for op in deletes {
                    let channel = op.channel.clone();
                    self.push_delete(collection, channel, DeleteRun::of(op, ts, lsn, log_offset));
                }
                for insert in inserts {
                    self.push_rows(insert, lsn, log_offset);
                }
            }
            Effect::Control(Control::Seal(segments)) => {
                segments.iter().for_each(|s| self.seal(*s, SealReason::Asked));
            }
            // The flush takes them out; replay does so itself.
            Effect::Control(Control::Flushed(_)) => {}
            Effect::Control(Control::ForgetCollection(collection)) => self.forget_collection(collection),
            Effect::Control(Control::ForgetPartition(collection, partition)) => {
                self.forget_partition(collection, partition);
            }
        }
    }

    fn push_delete(&mut self, collection: CollectionId, channel: Channel, run: DeleteRun) {
        let pending = self.collections.entry(collection).or_default().pending.entry(channel).or_default();
        let before = pending.list.bytes();
        pending.list.push(run);
        self.memory_bytes += pending.list.bytes() - before;
    }

    fn push_rows(&mut self, insert: Insert, lsn: Lsn, log_offset: u64) {
        let Insert { segment: id, group, layout, chunk } = insert;
        let bytes = chunk.bytes;
        self.owners.insert(id, group.collection);
        let collection = self.collections.entry(group.collection).or_default();
        let segment =
            collection.segments.entry(id).or_insert_with(|| Unflushed::new(id, group, layout, lsn, log_offset));
        segment.push(chunk, lsn);
        self.growing_bytes += bytes;
        self.memory_bytes += bytes;
    }

    /// Growing → Sealed: it takes no more rows and waits to be flushed. Does nothing in any other state.
    pub(super) fn seal(&mut self, id: SegmentId, reason: SealReason) {
        let Some(segment) = self.segment_mut(id).filter(|s| s.state == SegmentState::Growing) else { return };
        segment.state = SegmentState::Sealed;
        segment.sealed = Some(reason);
        let (bytes, key) = (segment.bytes, (segment.first_lsn, id));
        self.growing_bytes -= bytes;
        self.sealed.insert(key);
    }

    /// Sealed → Flushing, for the oldest segment that may be tried now.
    pub(super) fn next_to_flush(&mut self, now_ms: u64) -> Option<(SegmentId, Arc<Group>)> {
        let due = |id: &SegmentId| self.segment(*id).is_some_and(|s| s.flush.retry_at_ms <= now_ms);
        let key = self.sealed.iter().find(|(_, id)| due(id)).copied()?;
        self.sealed.remove(&key);
        let segment = self.segment_mut(key.1)?;
        segment.state = SegmentState::Flushing;
        Some((segment.id, segment.group.clone()))
    }

    /// Flushing → Sealed, to be tried again. Does nothing if the segment was forgotten meanwhile.
    pub(super) fn flush_failed(&mut self, id: SegmentId, error: String, retry_at_ms: impl FnOnce(u32) -> u64) {
        let Some(segment) = self.segment_mut(id) else { return };
        segment.state = SegmentState::Sealed;
        segment.flush.failures += 1;
        segment.flush.retry_at_ms = retry_at_ms(segment.flush.failures);
        segment.flush.last_error = Some(error);
        let key = (segment.first_lsn, id);
        self.sealed.insert(key);
    }

    /// The catalog has the segment, with a delta log complete up to `upto`: it is not needed here any more. False if
    /// it was forgotten meanwhile.
    pub(super) fn flushed(&mut self, id: SegmentId, upto: Lsn) -> bool {
        let Some(segment) = self.remove(id) else { return false };
        let collection = self.collections.entry(segment.group.collection).or_default();
        // After a failed attempt it is unknown which attempt the catalog has kept, with which deletes: one may have been
        // committed although its answer was an error. Then the segment gets all waiting deletes.
        if segment.flush.failures == 0
            && let Some(pending) = collection.pending.get_mut(&segment.group.channel)
        {
            pending.flushed(id, upto);
        }
        true
    }

    /// Takes a segment out without a trace.
    pub(super) fn remove(&mut self, id: SegmentId) -> Option<Unflushed> {
        let collection = self.owners.remove(&id)?;
        let segment = self.collections.get_mut(&collection)?.segments.remove(&id)?;
        self.sealed.remove(&(segment.first_lsn, id));
        if segment.state == SegmentState::Growing {
            self.growing_bytes -= segment.bytes;
        }
        self.memory_bytes -= segment.bytes;
        Some(segment)
    }

    pub(super) fn forget_collection(&mut self, collection: CollectionId) {
        let ids = self.segments_of(collection).map(|s| s.id).collect::<Vec<_>>();
        ids.into_iter().for_each(|id| drop(self.remove(id)));
        let pending = self.collections.remove(&collection).map(|c| c.pending).unwrap_or_default();
        self.memory_bytes -= pending.values().map(|p| p.list.bytes()).sum::<u64>();
    }

    fn forget_partition(&mut self, collection: CollectionId, partition: PartitionId) {
        let of_partition = self.segments_of(collection).filter(|s| s.group.partition == partition);
        let ids = of_partition.map(|s| s.id).collect::<Vec<_>>();
        ids.into_iter().for_each(|id| drop(self.remove(id)));
        for pending in self.collections.get_mut(&collection).into_iter().flat_map(|c| c.pending.values_mut()) {
            self.memory_bytes -= pending.list.drop_partition(partition);
        }
    }

    /// Adds deletes to a segment in memory; they go into its delta log. False if it is not here any more.
    pub(super) fn attach_deletes(&mut self, id: SegmentId, deletes: Vec<Delete>) -> bool {
        let Some(segment) = self.segment_mut(id) else { return false };
        if !deletes.is_empty() {
            segment.deletes.push(deletes.into());
        }
        true
    }

    /// Forgets the waiting deletes of a channel up to a position: every segment has them now.
    pub(super) fn drop_deletes(&mut self, collection: CollectionId, channel: &Channel, upto: Lsn) {
        if let Some(pending) = self.pending_mut(collection, channel) {
            let freed = pending.drop_up_to(upto);
            self.memory_bytes -= freed;
        }
    }

    /// A delta flush failed and is tried again later.
    pub(super) fn deltas_failed(
        &mut self,
        collection: CollectionId,
        channel: &Channel,
        error: String,
        at: impl FnOnce(u32) -> u64,
    ) {
        if let Some(pending) = self.pending_mut(collection, channel) {
            pending.failures += 1;
            pending.retry_at_ms = at(pending.failures);
            pending.last_error = Some(error);
        }
    }

    /// Channels whose last delta flush failed, ascending.
    pub(super) fn deltas_waiting(&self) -> Vec<DeltasWaiting> {
        let mut waiting = Vec::new();
        for (collection, rows) in &self.collections {
            for (channel, pending) in rows.pending.iter().filter(|(_, p)| !p.list.is_empty()) {
                if let Some(error) = pending.last_error.clone() {
                    let (collection, channel, keys) = (*collection, channel.clone(), pending.list.keys());
                    waiting.push(DeltasWaiting { collection, channel, keys, error });
                }
            }
        }
        waiting.sort_by(|a, b| a.channel.cmp(&b.channel));
        waiting
    }

    /// The deletes that wait on a channel, and how far each flushed segment has them already.
    pub(super) fn pending(
        &self,
        collection: CollectionId,
        channel: &Channel,
    ) -> Option<(DeleteList, Vec<FlushedUpTo>)> {
        let pending = self.collections.get(&collection)?.pending.get(channel)?;
        Some((pending.list.clone(), pending.flushed.clone()))
    }

    fn pending_mut(&mut self, collection: CollectionId, channel: &Channel) -> Option<&mut Pending> {
        self.collections.get_mut(&collection)?.pending.get_mut(channel)
    }

    /// Channels of a collection with waiting deletes.
    pub(super) fn pending_channels(&self, collection: CollectionId) -> Vec<Channel> {
        let pending = self.collections.get(&collection).into_iter().flat_map(|c| &c.pending);
        let mut channels: Vec<Channel> = pending.filter(|(_, p)| !p.list.is_empty()).map(|(c, _)| c.clone()).collect();
        channels.sort();
        channels
    }

    /// Every channel with waiting deletes, as the rule sees it.
    pub(super) fn pending_stats(&self, log_end: u64) -> Vec<(CollectionId, Channel, PendingStats)> {
        let mut out = Vec::new();
        let all_bytes = self.collections.values().flat_map(|c| c.pending.values()).map(|p| p.list.bytes()).sum();
        for (collection, rows) in &self.collections {
            for (channel, pending) in &rows.pending {
                let Some(first) = pending.list.first() else { continue };
                let stats = PendingStats {
                    keys: pending.list.keys(),
                    // An upper bound: a delete that was decided by a long read counts from the read on.
                    oldest_ms: first.ts.physical_ms(),
                    log_bytes: log_end.saturating_sub(first.log_offset),
                    all_bytes,
                    retry_at_ms: pending.retry_at_ms,
                    has_failed: pending.failures > 0,
                };
                out.push((*collection, channel.clone(), stats));
            }
        }
        out
    }

    pub(super) fn segment(&self, id: SegmentId) -> Option<&Unflushed> {
        self.collections.get(self.owners.get(&id)?)?.segments.get(&id)
    }

    pub(super) fn segment_mut(&mut self, id: SegmentId) -> Option<&mut Unflushed> {
        self.collections.get_mut(self.owners.get(&id)?)?.segments.get_mut(&id)
    }

    /// Unflushed segments, ascending by id inside a collection.
    pub(super) fn segments(&self) -> impl Iterator<Item = &Unflushed> {
        self.collections.values().flat_map(|c| c.segments.values())
    }

    pub(super) fn segments_of(&self, collection: CollectionId) -> impl Iterator<Item = &Unflushed> {
        self.collections.get(&collection).into_iter().flat_map(|c| c.segments.values())
    }

    pub(super) fn growing(&self, log_end: u64) -> Vec<GrowingStats> {
        self.segments().filter(|s| s.state == SegmentState::Growing).map(|s| s.stats(log_end)).collect()
    }

    /// Neither rows nor deletes wait: no rule that depends on time has anything to decide.
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.pending_keys() == 0
    }

    pub(super) fn has_sealed(&self) -> bool {
        !self.sealed.is_empty()
    }

    pub(super) fn growing_bytes(&self) -> u64 {
        self.growing_bytes
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    pub(super) fn pending_keys(&self) -> u64 {
        self.collections.values().flat_map(|c| c.pending.values()).map(|p| p.list.keys()).sum()
    }

    /// Everything before this position can be forgotten by the log.
    pub(super) fn low_water(&self) -> Lsn {
        let is_trimmed = |s: &&Unflushed| fault::planted(Planted::TrimmedOverRows) && s.state == SegmentState::Flushing;
        let rows = self.segments().filter(|s| !is_trimmed(s)).map(|s| s.first_lsn);
        let waiting = self.collections.values().flat_map(|c| c.pending.values());
        let deletes = waiting.filter_map(|p| p.list.first()).map(|r| r.lsn);
        let deletes = deletes.filter(|_| !fault::planted(Planted::TrimmedOverDeletes));
        rows.chain(deletes).min().unwrap_or(Lsn(u64::MAX))
    }
}

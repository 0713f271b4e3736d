//! Rebuilds the state from the log when the process starts.
//!
//! Rebuilds every row and delete that the catalog does not have and never had, and no other. Changes nothing but a torn
//! tail, so it may be interrupted and repeated. A log that is not the catalog's, or not all of it, makes the start fail,
//! unless the operator has accepted the loss of that very log (`wal::identity`).
//!
//! *Had*: the catalog forgets a segment some time after it was compacted away, while its rows may still be in a log
//! file that another segment keeps. So the log has its own notes of flushed segments (Flushed frames). A process that
//! ended between a commit and its note leaves the note to the next one, which writes it before it accepts a request.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use uuid::Uuid;

use super::{
    DeleteOp, IngestError, LogLoss,
    chunk::{RowLayout, merge, row_bytes},
    delta::{DeltaTarget, route},
    growing::Unflushed,
    pending::{DeleteList, DeleteRun},
    seal::SealReason,
    state::{Effect, Insert, Record, WriteState},
    wal::{
        Control, Frame, FrameHeader, KnownLog, LogOwner, Preamble, Replayed, TornTail, decode_rows, disk, identity,
        replay,
    },
};
use crate::{
    error::{Classify, ErrorKind},
    fault::{self, Planted, Point},
    ids,
    model::{Channel, CollectionId, CollectionSchema, Group, Lsn, PartitionId, SegmentId, SegmentState, WriteAheadLog},
};

/// Whether the catalog has a segment; a collection may have too many to list them.
pub type HasSegment = Box<dyn Fn(SegmentId) -> bool + Send + Sync>;

/// The catalog as the process found it at its start.
#[derive(Default)]
pub struct RecoveredCatalog {
    /// Live collections. Rows and deletes of any other are skipped.
    pub collections: HashMap<CollectionId, RecoveredCollection>,
    /// The newest position of the log that the catalog mentions anywhere (`end_lsn`, `delta_lsn`).
    pub end_lsn: Lsn,
    pub log: KnownLog,
}

pub struct RecoveredCollection {
    pub schema: Arc<CollectionSchema>,
    /// Live partitions. Rows of any other are skipped.
    pub partitions: HashSet<PartitionId>,
    /// True of its segments in any state, Dropped included, and of those that were truncated. Their rows are skipped.
    pub has_segment: HasSegment,
    /// Per channel: flushed segments have every delete up to this position.
    pub delta_lsn: HashMap<Channel, Lsn>,
}

/// The findings of a recovery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    pub frames: u64,
    pub log_bytes: u64,
    /// Rows that are in memory again.
    pub rows: u64,
    /// Rows that were flushed, or whose collection or partition was dropped.
    pub skipped_rows: u64,
    /// Keys that wait for a delta flush again.
    pub pending_deletes: u64,
    pub growing: Vec<SegmentId>,
    /// Will be flushed at once.
    pub sealed: Vec<SegmentId>,
    /// The position after the last one in the log.
    pub next: Lsn,
    pub torn: Option<TornTail>,
    /// To be stored in the catalog before the first request is served: [`KnownLog::noted`] of the next start.
    pub log: WriteAheadLog,
}

/// The state as the log and the catalog together have it.
pub(super) struct Recovered {
    /// The owner of the log from now on.
    pub(super) owner: LogOwner,
    pub(super) state: WriteState,
    pub(super) log: Replayed,
    /// Segments that go on growing, with their bytes in memory.
    pub(super) growing: Vec<(Arc<Group>, SegmentId, u64)>,
    /// The greatest segment id in the log.
    pub(super) last_segment: SegmentId,
    /// In the catalog, but the log does not say so yet.
    pub(super) unnoted: Vec<SegmentId>,
    pub(super) report: RecoveryReport,
}

/// Reads the log. `full_bytes`: at this size a segment does not go on growing. `accepted` names a log whose loss the
/// operator has accepted: if it is the catalog's and can't be read as a whole, a new one is begun in its place.
pub(super) fn recover(
    dir: &Path,
    catalog: RecoveredCatalog,
    full_bytes: u64,
    accepted: Option<Uuid>,
) -> Result<Recovered, IngestError> {
    let (end_lsn, known) = (catalog.end_lsn, catalog.log);
    match read_back(dir, catalog, full_bytes) {
        Err(error) if error.kind() == ErrorKind::Corrupt && accepted == Some(known.name()) => {
            let owner = LogOwner { catalog: known.catalog, log: ids::unique_name() };
            tracing::warn!(%error, log = %known.name(), "begin a new write-ahead log: the loss was accepted");
            set_aside(dir, owner.log)?;
            let mut log = replay(dir, |_| Ok(()))?;
            log.next = Lsn(end_lsn.0 + 1);
            Ok(Rebuild::default().finish(log, full_bytes, owner))
        }
        Err(error) => {
            if error.kind() == ErrorKind::Corrupt {
                let name = known.name();
                tracing::error!(%error, %name, "the log can't be read as a whole; datacoord.wal.acceptLoss gives it up by name");
            }
            Err(error)
        }
        read => read,
    }
}

/// Renames the rest of a log, so that a new one can begin in its place and no file is destroyed.
fn set_aside(dir: &Path, new: Uuid) -> Result<(), IngestError> {
    let mut aside = dir.as_os_str().to_owned();
    aside.push(format!(".before-{new}"));
    match std::fs::rename(dir, &aside) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(IngestError::Io { action: "set aside", path: dir.to_owned(), source })
        }
        // The entry is synced together with that of the new folder.
        _ => Ok(()),
    }
}

fn read_back(dir: &Path, catalog: RecoveredCatalog, full_bytes: u64) -> Result<Recovered, IngestError> {
    let (end_lsn, known) = (catalog.end_lsn, catalog.log);
    let lost = |loss| IngestError::LogLost { loss, dir: dir.to_owned(), name: known.name() };
    let files = disk::list(dir).map_err(|source| IngestError::Io { action: "list", path: dir.to_owned(), source })?;
    let found = identity::check(&known, identity::read(dir)?.as_ref(), &files);
    let found =
        if fault::planted(Planted::LogUnidentified) { found.unwrap_or_default() } else { found.map_err(lost)? };
    let owner = found.unwrap_or_else(|| LogOwner { catalog: known.catalog, log: ids::unique_name() });
    let mut rebuild = Rebuild { catalog, ..Rebuild::default() };
    let log = replay(dir, |frame| rebuild.visit(frame))?;
    if let Some(torn) = &log.torn {
        let (file, offset) = (torn.file.display(), torn.offset);
        tracing::warn!(%file, offset, dropped_bytes = torn.dropped_bytes, torn.reason, "cut off the torn end of the log");
    }
    fault::reached(Point::StartLogReplayed);
    if log.next <= end_lsn && !fault::planted(Planted::LogUnidentified) {
        return Err(lost(LogLoss::Behind { last: Lsn(log.next.0 - 1), mentioned: end_lsn }));
    }
    Ok(rebuild.finish(log, full_bytes, owner))
}

#[derive(Default)]
struct Rebuild {
    catalog: RecoveredCatalog,
    state: WriteState,
    layouts: HashMap<CollectionId, Arc<RowLayout>>,
    groups: HashMap<(CollectionId, PartitionId, Channel), Arc<Group>>,
    /// The newest segment of every group, flushed ones included: all others were sealed.
    newest: HashMap<Arc<Group>, SegmentId>,
    /// Said to be flushed by the log itself.
    flushed: HashSet<SegmentId>,
    /// Found in the log and in the catalog.
    committed: BTreeSet<SegmentId>,
    /// Deletes that flushed segments have, kept for those in memory.
    given: HashMap<(CollectionId, Channel), DeleteList>,
    report: RecoveryReport,
}

impl Rebuild {
    fn visit(&mut self, frame: Frame) -> Result<(), String> {
        let Frame { header, preamble, parts, log_offset } = frame;
        let (lsn, ts) = (header.lsn, header.ts);
        let effect = match Preamble::decode(header.kind, &preamble)? {
            Preamble::Control(control) => {
                match &control {
                    Control::Flushed(_) if fault::planted(Planted::ReplayIgnoresNotes) => {}
                    Control::Flushed(segments) => {
                        self.flushed.extend(segments);
                        segments.iter().for_each(|s| drop(self.state.remove(*s)));
                    }
                    Control::ForgetCollection(c) => self.given.retain(|(of, _), _| of != c),
                    Control::Seal(_) | Control::ForgetPartition(..) => {}
                }
                Effect::Control(control)
            }
            Preamble::Write { collection, groups, deletes } => {
                if groups.len() != parts.len() || parts.len() != header.parts.len() {
                    return Err(format!("{} groups for {} parts", groups.len(), parts.len()));
                }
                if let Some(newer) = deletes.iter().filter_map(|op| op.older_than).find(|t| *t > ts) {
                    return Err(format!("deletes of timestamp {newer} in a frame of {ts}"));
                }
                let mut inserts = Vec::new();
                for (((partition, channel), part), bytes) in groups.into_iter().zip(&header.parts).zip(parts) {
                    let group = self.group(collection, partition, channel);
                    let newest = self.newest.entry(group.clone()).or_insert(part.segment);
                    *newest = part.segment.max(*newest);
                    if !self.wants(&group, part.segment) {
                        self.report.skipped_rows += u64::from(part.rows);
                        continue;
                    }
                    let Some(layout) = self.layout(collection) else { continue };
                    let rows = decode_rows(bytes)?;
                    layout.check(&rows)?;
                    if rows.num_rows() as u64 != u64::from(part.rows) {
                        return Err(format!("part has {} rows, its header says {}", rows.num_rows(), part.rows));
                    }
                    let chunk = layout.stamp(&rows, ts, row_bytes(&rows)).map_err(|e| e.to_string())?;
                    inserts.push(Insert { segment: part.segment, group, layout, chunk });
                }
                let deletes = self.wanted_deletes(collection, deletes, &header, log_offset);
                Effect::Write { collection, inserts, deletes }
            }
        };
        let touched: Vec<SegmentId> = match &effect {
            Effect::Write { inserts, .. } => inserts.iter().map(|i| i.segment).collect(),
            Effect::Control(_) => Vec::new(),
        };
        self.state.apply(Record { lsn, ts, log_offset, effect });
        for id in touched {
            let Some(segment) = self.state.segment_mut(id) else { continue };
            if let Some(tail) = segment.small_tail()
                && let Some(merged) = merge(&tail).map_err(|e| e.to_string())?
            {
                segment.replace_tail(tail.len(), merged);
            }
        }
        Ok(())
    }

    /// False for rows that are in the catalog already, or whose collection or partition was dropped.
    fn wants(&mut self, group: &Group, segment: SegmentId) -> bool {
        let Some(collection) = self.catalog.collections.get(&group.collection) else { return false };
        if (collection.has_segment)(segment) && !fault::planted(Planted::ReplayIgnoresCatalog) {
            self.committed.insert(segment);
            return false;
        }
        collection.partitions.contains(&group.partition) && !self.flushed.contains(&segment)
    }

    /// The deletes that wait again. Deletes that flushed segments have are set aside.
    fn wanted_deletes(
        &mut self,
        id: CollectionId,
        deletes: Vec<DeleteOp>,
        header: &FrameHeader,
        at: u64,
    ) -> Vec<DeleteOp> {
        let Some(collection) = self.catalog.collections.get(&id) else { return Vec::new() };
        let live = |op: &DeleteOp| op.partition.is_none_or(|p| collection.partitions.contains(&p));
        let (given, waiting): (Vec<_>, Vec<_>) = deletes
            .into_iter()
            .filter(live)
            .partition(|op| collection.delta_lsn.get(&op.channel).is_some_and(|upto| header.lsn <= *upto));
        for op in given {
            let list = self.given.entry((id, op.channel.clone())).or_default();
            list.push(DeleteRun::of(op, header.ts, header.lsn, at));
        }
        waiting
    }

    fn layout(&mut self, id: CollectionId) -> Option<Arc<RowLayout>> {
        let schema = &self.catalog.collections.get(&id)?.schema;
        Some(self.layouts.entry(id).or_insert_with(|| Arc::new(RowLayout::new(schema.clone()))).clone())
    }

    fn group(&mut self, collection: CollectionId, partition: PartitionId, channel: Channel) -> Arc<Group> {
        let key = (collection, partition, channel.clone());
        self.groups.entry(key).or_insert_with(|| Arc::new(Group { collection, partition, channel })).clone()
    }

    fn finish(mut self, log: Replayed, full_bytes: u64, owner: LogOwner) -> Recovered {
        for ((collection, channel), list) in std::mem::take(&mut self.given) {
            let on_channel = self.state.segments_of(collection).filter(|s| s.group.channel == channel);
            let targets = on_channel.map(DeltaTarget::of).collect();
            for (segment, deletes) in route(targets, &list) {
                self.state.attach_deletes(segment, deletes);
            }
        }
        let old = |s: &&Unflushed| self.newest.get(&s.group) != Some(&s.id);
        let sealed_before: Vec<SegmentId> = self.state.segments().filter(old).map(|s| s.id).collect();
        sealed_before.into_iter().for_each(|id| self.state.seal(id, SealReason::Recovered));
        let full: Vec<(SegmentId, u64)> =
            self.state.segments().filter(|s| s.bytes >= full_bytes).map(|s| (s.id, s.bytes)).collect();
        for (id, bytes) in full {
            self.state.seal(id, SealReason::Size { bytes, threshold_bytes: full_bytes });
        }
        let mut growing = Vec::new();
        let mut report = self.report;
        for segment in self.state.segments() {
            report.rows += segment.rows;
            if segment.state == SegmentState::Growing {
                growing.push((segment.group.clone(), segment.id, segment.bytes));
                report.growing.push(segment.id);
            } else {
                report.sealed.push(segment.id);
            }
        }
        report.growing.sort_unstable();
        report.sealed.sort_unstable();
        report.pending_deletes = self.state.pending_keys();
        report.frames = log.frames;
        report.log_bytes = log.files.iter().map(|f| f.bytes).sum();
        report.next = log.next;
        report.torn = log.torn.clone();
        let last_segment = self.newest.values().max().copied().unwrap_or_default();
        let unnoted = self.committed.iter().filter(|s| !self.flushed.contains(*s)).copied().collect();
        Recovered { owner, state: self.state, log, growing, last_segment, unnoted, report }
    }
}

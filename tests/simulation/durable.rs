//! The invariants of durable state, by number. They hold at every moment, so they are checked after every step, over a
//! copy of the metadata and the objects as they are.
//!
//! 1. No segment is an input of two unfinished plans (P2).
//! 2. No row is in two live segments (P2).
//! 3. Inputs and outputs of a plan are in its group.
//! 4. A plan takes effect once or not at all: a segment that was replaced is an input of one completed plan, and a segment
//!    that no flush wrote is an output of one (P2).
//! 5. Attempts are bounded, and a plan that failed or timed out says why (P7).
//! 6. A plan that has ended never changes, no job and no plan is forgotten, and a job's counts add up (P7).
//! 7. Every object of a live segment, those of its indexes included, is there, has its checksum, and can be decoded (P5).
//! 8. An id of a segment is never used again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use datacoord::{
    meta::{Catalog, MemoryStore},
    model::{
        Collection, CollectionId, FieldId, Group, Job, JobCounts, JobId, Plan, PlanId, PlanKind, PlanState, Segment,
        SegmentId, SegmentLevel, SegmentLogs, SegmentState,
    },
    storage::{LogPath, SegmentStore, StoredObject, read_columns, read_deletes},
};
use futures::TryStreamExt;

use crate::{objects::Objects, rows};

/// The catalog at one moment.
#[derive(Debug, Default)]
pub struct Picture {
    pub collections: BTreeMap<CollectionId, Collection>,
    pub segments: BTreeMap<SegmentId, Segment>,
    pub jobs: BTreeMap<JobId, Job>,
    pub plans: BTreeMap<PlanId, Plan>,
    pub logs: BTreeMap<SegmentId, SegmentLogs>,
}

impl Picture {
    pub async fn of(pairs: &MemoryStore) -> Self {
        let catalog = Catalog::open(Arc::new(pairs.clone())).await.unwrap();
        let contents = catalog.load(std::mem::take).await.unwrap();
        let segments: BTreeMap<SegmentId, Segment> =
            contents.segments.into_values().flatten().map(|segment| (segment.id, segment)).collect();
        let mut logs = BTreeMap::new();
        for segment in segments.values() {
            logs.insert(segment.id, catalog.segment_logs(&segment.group, segment.id).await.unwrap());
        }
        Self {
            collections: contents.collections.into_iter().map(|c| (c.id, c)).collect(),
            segments,
            jobs: contents.jobs.into_iter().map(|job| (job.id, job)).collect(),
            plans: contents.plans.into_iter().map(|plan| (plan.id, plan)).collect(),
            logs,
        }
    }

    pub fn live(&self) -> impl Iterator<Item = &Segment> {
        self.segments.values().filter(|segment| segment.is_live())
    }

    /// Names of all objects that the catalog names.
    pub fn named(&self) -> BTreeSet<String> {
        self.segments.values().flat_map(|segment| objects_of(segment, &self.logs[&segment.id])).map(|o| o.0).collect()
    }
}

/// Name, bytes and checksum of each object of a segment.
fn objects_of(segment: &Segment, logs: &SegmentLogs) -> Vec<(String, u64, Option<u32>)> {
    let ids = segment.log_ids();
    let insert =
        logs.insert.iter().flat_map(|(field, files)| files.iter().map(|f| (LogPath::insert(ids, *field, f.id), f)));
    let stats =
        logs.stats.iter().flat_map(|(field, files)| files.iter().map(|f| (LogPath::stats(ids, *field, f.id), f)));
    let delta = logs.delta.iter().map(|f| (LogPath::delta(ids, f.id), f));
    let logs = insert.chain(stats).chain(delta).map(|(path, file)| (path.to_string(), file.bytes, file.checksum));
    let indexes = StoredObject::indexes(segment).into_iter();
    logs.chain(indexes.map(|object| (object.path.to_string(), object.bytes, object.checksum))).collect()
}

/// Key and timestamp of each row of a segment.
type RowsOf = Vec<(rows::Key, u64)>;

/// Looks at one picture after the other.
#[derive(Debug, Default)]
pub struct Inspector {
    before: Picture,
    /// Objects whose bytes were checked, and their checksums then.
    sound: BTreeMap<String, u32>,
    decoded: BTreeMap<SegmentId, (u64, RowsOf)>,
    born: BTreeMap<SegmentId, (Arc<Group>, Box<[SegmentId]>)>,
    gone: BTreeSet<SegmentId>,
    max_attempts: u32,
}

impl Inspector {
    pub fn new(max_attempts: u32) -> Self {
        Self { max_attempts, ..Self::default() }
    }

    /// The broken invariants, each with its number.
    pub async fn look(&mut self, pairs: &MemoryStore, objects: &Objects, store: &SegmentStore) -> Vec<String> {
        let now = Picture::of(pairs).await;
        let mut broken = Vec::new();
        reserved_once(&now, &mut broken);
        effects(&now, &mut broken);
        self.ends(&now, &mut broken);
        self.births(&now, &mut broken);
        self.objects(&now, objects, &mut broken);
        if broken.is_empty() {
            self.rows(&now, store, &mut broken).await;
        }
        self.before = now;
        broken
    }

    pub fn picture(&self) -> &Picture {
        &self.before
    }

    fn ends(&self, now: &Picture, broken: &mut Vec<String>) {
        for plan in now.plans.values() {
            // Restarts may cut off as many again, and one more attempt finds that all are used up.
            if plan.attempts > 2 * self.max_attempts + 1 {
                broken.push(format!("5: plan {} was begun {} times", plan.id, plan.attempts));
            }
            if let PlanState::Failed { message, .. } | PlanState::TimedOut { message, .. } = &plan.state
                && message.is_empty()
            {
                broken.push(format!("5: plan {} does not say why it ended", plan.id));
            }
        }
        for plan in self.before.plans.values().filter(|plan| self.before.jobs.contains_key(&plan.job)) {
            match now.plans.get(&plan.id) {
                None => broken.push(format!("6: plan {} is forgotten", plan.id)),
                Some(later) if plan.state.is_terminal() && later != plan => {
                    let (was, is) = (plan.state.as_str(), later.state.as_str());
                    broken.push(format!("6: plan {} had ended as {was}, is {is}", plan.id));
                }
                Some(_) => {}
            }
        }
        for id in self.before.jobs.keys().filter(|id| !now.jobs.contains_key(id)) {
            broken.push(format!("6: job {id} is forgotten"));
        }
        for job in now.jobs.values() {
            let counts = JobCounts::of(job.plans.iter().filter_map(|id| now.plans.get(id)).map(|plan| &plan.state));
            if counts.total != job.plans.len() as u64 {
                broken.push(format!("6: job {} has {} plans and counts {}", job.id, job.plans.len(), counts.total));
            }
        }
    }

    fn births(&mut self, now: &Picture, broken: &mut Vec<String>) {
        let before = self.before.segments.keys().filter(|id| !now.segments.contains_key(id));
        self.gone.extend(before);
        for segment in now.segments.values() {
            let birth = (Arc::clone(&segment.group), segment.compaction_from.clone());
            if self.gone.contains(&segment.id) {
                broken.push(format!("8: segment {} was collected and is back", segment.id));
            }
            if *self.born.entry(segment.id).or_insert_with(|| birth.clone()) != birth {
                broken.push(format!("8: segment {} is another one than before", segment.id));
            }
        }
    }

    fn objects(&mut self, now: &Picture, objects: &Objects, broken: &mut Vec<String>) {
        for segment in now.live() {
            for (name, bytes, checksum) in objects_of(segment, &now.logs[&segment.id]) {
                let Some(found) = objects.get(&name) else {
                    broken.push(format!("7: object {name} of the live segment {} is missing", segment.id));
                    continue;
                };
                if self.sound.get(&name).copied() == objects.sum(&name) {
                    continue;
                }
                let sum = crc32c::crc32c(&found);
                if found.len() as u64 != bytes || checksum.is_some_and(|expected| expected != sum) {
                    broken.push(format!("7: object {name} of segment {} is not as it was written", segment.id));
                }
                self.sound.insert(name, sum);
            }
        }
    }

    async fn rows(&mut self, now: &Picture, store: &SegmentStore, broken: &mut Vec<String>) {
        let mut owners: BTreeMap<(CollectionId, rows::Key, u64), SegmentId> = BTreeMap::new();
        for segment in now.live() {
            let Some(collection) = now.collections.get(&segment.group.collection) else {
                broken.push(format!("7: segment {} has no collection", segment.id));
                continue;
            };
            let logs = &now.logs[&segment.id];
            if self.decoded.get(&segment.id).is_none_or(|(version, _)| *version != segment.version) {
                match decode(store, segment, logs, collection).await {
                    Ok(rows) => drop(self.decoded.insert(segment.id, (segment.version, rows))),
                    Err(error) => broken.push(format!("7: segment {}: {error}", segment.id)),
                }
            }
            let Some((_, rows)) = self.decoded.get(&segment.id) else { continue };
            if segment.level != SegmentLevel::L0 && rows.len() as u64 != segment.rows {
                broken.push(format!("7: segment {} has {} rows, says {}", segment.id, rows.len(), segment.rows));
            }
            for (key, ts) in rows {
                if let Some(other) = owners.insert((segment.group.collection, *key, *ts), segment.id) {
                    broken.push(format!("2: a row of key {key} is in segments {other} and {}", segment.id));
                }
            }
        }
        self.decoded.retain(|id, _| now.segments.get(id).is_some_and(Segment::is_live));
    }
}

async fn decode(
    store: &SegmentStore,
    segment: &Segment,
    logs: &SegmentLogs,
    collection: &Collection,
) -> Result<RowsOf, String> {
    let ids = segment.log_ids();
    read_deletes(store, ids, logs).await.map_err(|e| e.to_string())?;
    if segment.level == SegmentLevel::L0 {
        return Ok(Vec::new());
    }
    let mut fields = vec![FieldId::TIMESTAMP];
    fields.extend(rows::ALL);
    let batches = read_columns(store, ids, logs, &collection.schema, &fields, 1024);
    let batches: Vec<_> = batches.try_collect().await.map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for batch in batches {
        let stamps = arrow_array::cast::as_primitive_array::<arrow_array::types::Int64Type>(batch.column(0)).clone();
        let own = batch.project(&[1, 2, 3, 4]).map_err(|e| e.to_string())?;
        let read = rows::read(&own)?;
        found.extend(read.into_iter().zip(stamps.values()).map(|((key, _), ts)| (key, *ts as u64)));
    }
    Ok(found)
}

fn reserved_once(now: &Picture, broken: &mut Vec<String>) {
    let mut reserved = BTreeMap::new();
    // A build leaves its segment to merges.
    let rewrites = now.plans.values().filter(|plan| plan.kind != PlanKind::Index);
    for plan in rewrites.filter(|plan| !plan.state.is_terminal()) {
        for id in plan.input_ids() {
            if let Some(other) = reserved.insert(id, plan.id) {
                broken.push(format!("1: segment {id} is in plan {other} and in plan {}", plan.id));
            }
        }
    }
}

fn effects(now: &Picture, broken: &mut Vec<String>) {
    let (mut dropped_by, mut made_by) = (BTreeMap::new(), BTreeMap::new());
    for plan in now.plans.values().filter(|plan| plan.kind != PlanKind::Index) {
        let PlanState::Completed { targets, .. } = &plan.state else { continue };
        let inputs: Vec<SegmentId> = plan.input_ids().collect();
        for id in &inputs {
            if let Some(other) = dropped_by.insert(*id, plan.id) {
                broken.push(format!("4: segment {id} was replaced by plan {other} and by plan {}", plan.id));
            }
            // One that is not there was collected.
            let is_replaced = |s: &Segment| s.state == SegmentState::Dropped && s.compaction_to[..] == targets[..];
            if now.segments.get(id).is_some_and(|segment| !is_replaced(segment)) {
                broken.push(format!("4: segment {id} was replaced by plan {}, which does not show", plan.id));
            }
        }
        for id in targets {
            if let Some(other) = made_by.insert(*id, plan.id) {
                broken.push(format!("4: segment {id} was made by plan {other} and by plan {}", plan.id));
            }
            if now.segments.get(id).is_some_and(|segment| segment.compaction_from[..] != inputs[..]) {
                broken.push(format!("4: segment {id} names other sources than plan {}", plan.id));
            }
        }
        for id in inputs.iter().chain(targets) {
            if now.segments.get(id).is_some_and(|segment| *segment.group != plan.group) {
                broken.push(format!("3: segment {id} of plan {} is of another group", plan.id));
            }
        }
    }
    for segment in now.segments.values() {
        if !segment.compaction_to.is_empty() && !dropped_by.contains_key(&segment.id) {
            broken.push(format!("4: segment {} was replaced by no completed plan", segment.id));
        }
        if !segment.compaction_from.is_empty() && !made_by.contains_key(&segment.id) {
            broken.push(format!("4: segment {} was made by no completed plan", segment.id));
        }
    }
}

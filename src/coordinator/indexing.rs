//! Which segments lack an index, and which have one too many: makes builds, ends builds that nobody needs, and forgets
//! indexes whose definition is gone.
//!
//! A look is cheap and may come at any time: after a change of a group (a flush, a compaction), after a change of
//! definitions, and with every global tick. Two looks at once make no build twice: they hold the planning turn.
//!
//! Must never: take a segment from merges. A build only reads it; if it is merged away meanwhile, the build is outdated.

use std::{fmt, sync::Arc};

use tracing::{info, warn};

use super::{CollectionCell, Coordinator, CoordinatorError, Core};
use crate::{
    graph::GraphShape,
    model::{
        Collection, CollectionId, FieldId, Group, IndexDef, IndexDefinition, Job, JobId, Plan, PlanId, PlanInput,
        PlanKind, PlanReason, PlanState, Segment, SegmentId, Terms, Timestamp, Trigger,
    },
};

/// Builds of one job, and records that one transaction changes.
const AT_ONCE: usize = 500;

/// How far an index has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexProgress {
    /// Rows of segments that have the index, or need none: too few rows, or a definition that exact search serves.
    pub indexed_rows: u64,
    pub total_rows: u64,
    /// Why a segment will get no index for now.
    pub failure: Option<String>,
}

/// How searches of a segment's vectors are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexStanding {
    /// By a graph with so many vectors.
    Finished { vectors: u64, bytes: u64 },
    /// Exactly, as the definition says.
    Exact,
    /// Exactly, because the segment has fewer rows than an index is built for.
    FewRows { rows: u64, least: u64 },
    /// Exactly, until this plan has built the index.
    Building(PlanId),
    /// Exactly, because a build has failed and is not tried for now.
    Failed(String),
    /// Exactly, until the next look makes a build.
    Awaited,
}

impl IndexStanding {
    /// Word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Finished { .. } => "finished",
            Self::Exact => "exact",
            Self::FewRows { .. } => "few_rows",
            Self::Building(_) => "building",
            Self::Failed(_) => "failed",
            Self::Awaited => "awaited",
        }
    }
}

impl fmt::Display for IndexStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished { vectors, bytes } => write!(f, "an index of {vectors} vectors, {bytes} bytes"),
            Self::Exact => write!(f, "searched exactly, as the index is defined"),
            Self::FewRows { rows, least } => write!(
                f,
                "searched exactly: {rows} rows, and indexes are built from {least} rows on \
                 (indexCoord.segment.minSegmentNumRowsToEnableIndex)"
            ),
            Self::Building(plan) => write!(f, "plan {plan} builds its index"),
            Self::Failed(why) => write!(f, "its index could not be built: {why}"),
            Self::Awaited => write!(f, "its index will be built after the next look"),
        }
    }
}

/// An index of a collection, and one of its segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexExplanation {
    pub index: String,
    pub field: String,
    pub standing: IndexStanding,
}

/// The graph that a definition asks for. None: exact search serves it.
fn shape(meta: &Collection, index: &IndexDef) -> Option<GraphShape> {
    let field = meta.schema.field_by_id(index.field)?;
    // Older releases stored definitions that Milvus refuses; they get no index.
    let definition = IndexDefinition::of(field, &index.params).ok()?;
    GraphShape::of(&definition, field)
}

impl Core {
    /// The shape of an index of a collection that is served by graphs.
    pub(super) fn shape_of(&self, cell: &CollectionCell, index: i64) -> Option<(FieldId, GraphShape)> {
        let meta = cell.meta();
        let definition = meta.indexes.iter().find(|definition| definition.id == index)?;
        Some((definition.field, shape(&meta, definition)?))
    }

    /// True if the segment is to get an index that it lacks.
    pub(super) fn awaits_index(&self, cell: &CollectionCell, segment: &Segment) -> bool {
        let meta = cell.meta();
        let lacks = |index: &IndexDef| segment.index(index.id).is_none() && shape(&meta, index).is_some();
        segment.rows >= self.least_rows() && meta.indexes.iter().any(lacks)
    }

    /// The fewest rows of a segment that gets an index.
    pub(super) fn least_rows(&self) -> u64 {
        self.config.index.min_rows.max(1)
    }
}

impl Coordinator {
    /// The graph that serves searches of a field, with the id of its definition.
    pub(crate) fn index_of(&self, meta: &Collection, field: FieldId) -> Option<(i64, GraphShape)> {
        let index = meta.indexes.iter().find(|index| index.field == field)?;
        Some((index.id, shape(meta, index)?))
    }

    /// True if searches of a segment's vectors are served as the collection's definition says: by a finished graph, or
    /// exactly. False without a definition.
    pub(super) fn is_indexed(&self, meta: &Collection, segment: &Segment) -> bool {
        let is_served =
            |field: FieldId| meta.indexes.iter().any(|index| index.field == field && self.serves(meta, index, segment));
        meta.schema.fields.iter().filter(|field| field.data_type.is_vector()).all(|field| is_served(field.id))
    }

    fn serves(&self, meta: &Collection, index: &IndexDef, segment: &Segment) -> bool {
        let needs_graph = segment.rows >= self.core.least_rows() && shape(meta, index).is_some();
        !needs_graph || segment.index(index.id).is_some()
    }

    /// How searches of a live segment are served, for each index of a vector field.
    pub(super) fn explained_indexes(&self, cell: &CollectionCell, segment: &Segment) -> Vec<IndexExplanation> {
        let meta = cell.meta();
        let explained = meta.indexes.iter().filter_map(|index| {
            let field = meta.schema.field_by_id(index.field).filter(|field| field.data_type.is_vector())?;
            let standing = self.index_standing(&meta, index, segment);
            Some(IndexExplanation { index: index.name.clone(), field: field.name.clone(), standing })
        });
        explained.collect()
    }

    fn index_standing(&self, meta: &Collection, index: &IndexDef, segment: &Segment) -> IndexStanding {
        let (core, least) = (&self.core, self.core.least_rows());
        if shape(meta, index).is_none() {
            return IndexStanding::Exact;
        }
        if let Some(finished) = segment.index(index.id) {
            let vectors = finished.parts.iter().map(|part| part.rows).sum();
            return IndexStanding::Finished { vectors, bytes: finished.bytes() };
        }
        if segment.rows < least {
            return IndexStanding::FewRows { rows: segment.rows, least };
        }
        if let Some(plan) = core.jobs.build_of(segment.id, index.id) {
            return IndexStanding::Building(plan);
        }
        core.index_failures.message((segment.id, index.id)).map_or(IndexStanding::Awaited, IndexStanding::Failed)
    }

    /// How far an index of a collection has come.
    pub(crate) fn index_progress(&self, cell: &CollectionCell, index: &IndexDef) -> IndexProgress {
        let meta = cell.meta();
        let mut progress = IndexProgress::default();
        for group in cell.groups() {
            for segment in cell.live_in(&group).iter() {
                progress.total_rows += segment.rows;
                if self.serves(&meta, index, segment) {
                    progress.indexed_rows += segment.rows;
                } else if progress.failure.is_none() && self.core.jobs.build_of(segment.id, index.id).is_none() {
                    progress.failure = self.core.index_failures.message((segment.id, index.id));
                }
            }
        }
        progress
    }

    /// Has all segments of a collection looked at soon.
    pub(crate) fn definitions_changed(&self, cell: &CollectionCell) {
        for group in cell.groups() {
            self.core.flush_events.raise(Group::clone(&group));
        }
    }

    /// Looks at the indexes of one group, or of a whole collection.
    pub(super) async fn look_at_indexes(&self, cell: &Arc<CollectionCell>, only: Option<&Group>, trigger: Trigger) {
        self.end_stale_builds(cell.id).await;
        let looked = async {
            self.forget_stale_indexes(cell, only).await?;
            self.make_builds(cell, only, trigger).await
        };
        if let Err(error) = looked.await {
            warn!(collection = %cell.id, %error, "a look at indexes failed; the next tick looks again");
        }
    }

    /// Cancels builds of segments that are not live, or of definitions that are gone.
    async fn end_stale_builds(&self, collection: CollectionId) {
        let is_needed = |segment: SegmentId, index: i64| {
            let cell = self.core.collections.by_id(collection);
            cell.is_ok_and(|cell| {
                let is_live = cell.segment(segment).is_some_and(|segment| segment.is_live());
                is_live && cell.meta().indexes.iter().any(|definition| definition.id == index)
            })
        };
        let stale: Vec<PlanId> = {
            let builds = self.core.jobs.builds().into_iter();
            let of = builds.filter(|(_, _, plan)| {
                self.core.jobs.plan(*plan).is_some_and(|plan| plan.group.collection == collection)
            });
            of.filter(|(segment, index, _)| !is_needed(*segment, *index)).map(|(_, _, plan)| plan).collect()
        };
        if !stale.is_empty() {
            self.cancel_plans(|plan| stale.contains(&plan.id), "the segment or the index is gone").await;
        }
        let is_of = |segment: SegmentId| {
            let cell = self.core.collections.by_id(collection);
            cell.is_ok_and(|cell| cell.is_known(segment))
        };
        self.core.index_failures.retain(|segment, index| !is_of(segment) || is_needed(segment, index));
    }

    /// Takes indexes without a definition out of the records. Their objects are garbage from then on.
    async fn forget_stale_indexes(
        &self,
        cell: &Arc<CollectionCell>,
        only: Option<&Group>,
    ) -> Result<(), CoordinatorError> {
        let has_stale = |meta: &Collection, segment: &Segment| {
            segment.indexes.iter().any(|index| meta.indexes.iter().all(|definition| definition.id != index.index))
        };
        let meta = cell.meta();
        let mut stale = Vec::new();
        for group in cell.groups().iter().filter(|group| only.is_none_or(|only| only == group.as_ref())) {
            stale.extend(cell.live_in(group).iter().filter(|s| has_stale(&meta, s)).map(|s| s.id));
        }
        for ids in stale.chunks(AT_ONCE.min(self.core.catalog.max_operations() / 2).max(1)) {
            let turn = cell.commit_turn().await;
            let meta = cell.meta();
            let mut txn = self.core.catalog.txn();
            let mut changed = Vec::with_capacity(ids.len());
            let segments = ids.iter().filter_map(|id| cell.segment(*id));
            for segment in segments.filter(|s| s.is_live() && has_stale(&meta, s)) {
                let kept = segment.indexes.iter().filter(|i| meta.indexes.iter().any(|d| d.id == i.index)).cloned();
                let next = Segment { indexes: kept.collect(), version: segment.version + 1, ..segment.clone() };
                txn.expect_segment(&segment);
                txn.put_segment(&next);
                changed.push(next);
            }
            if changed.is_empty() {
                continue;
            }
            info!(collection = %cell.id, segments = changed.len(), "indexes without a definition forgotten");
            let (core, folded) = (Arc::clone(&self.core), Arc::clone(cell));
            let fold = move || {
                core.segment_cache.forget(|id| changed.iter().any(|segment| segment.id == id));
                folded.fold(changed);
            };
            self.core.catalog.commit(txn, turn, fold).await?;
        }
        Ok(())
    }

    /// Makes a build for each segment that lacks an index.
    async fn make_builds(
        &self,
        cell: &Arc<CollectionCell>,
        only: Option<&Group>,
        trigger: Trigger,
    ) -> Result<(), CoordinatorError> {
        let meta = cell.meta();
        let wanted: Vec<&IndexDef> = meta.indexes.iter().filter(|index| shape(&meta, index).is_some()).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let turn = Arc::new(cell.planning_turn().await);
        let (least, now_ms) = (self.core.least_rows(), self.core.clock.now_ms());
        let mut lacking = Vec::new();
        for group in cell.groups().iter().filter(|group| only.is_none_or(|only| only == group.as_ref())) {
            for segment in cell.live_in(group).iter().filter(|segment| segment.rows >= least) {
                for index in &wanted {
                    let build = (segment.id, index.id);
                    let is_there =
                        segment.index(index.id).is_some() || self.core.jobs.build_of(build.0, build.1).is_some();
                    if !is_there && !self.core.index_failures.holds(build, now_ms) {
                        lacking.push((segment.clone(), index.id, index.field));
                    }
                }
            }
        }
        for lacking in lacking.chunks(AT_ONCE.min(self.core.catalog.max_operations().saturating_sub(1)).max(1)) {
            let job = JobId(self.core.ids.next().await?);
            let first = self.core.ids.alloc(lacking.len() as u64).await?.start;
            let plan = |(id, (segment, index, field)): (i64, &(Segment, i64, FieldId))| Plan {
                id: PlanId(id),
                job,
                group: Group::clone(&segment.group),
                kind: PlanKind::Index,
                reason: PlanReason::NoIndex { index: *index, field: *field, rows: segment.rows, threshold: least },
                inputs: vec![PlanInput {
                    segment: segment.id,
                    rows: segment.rows,
                    bytes: segment.insert_bytes,
                    delta_rows: segment.delta_rows,
                }],
                keep_deletes_after: Timestamp::MAX,
                ttl: None,
                max_output_bytes: 0,
                created_at_ms: now_ms,
                attempts: 0,
                state: PlanState::Queued { not_before_ms: 0 },
            };
            let plans: Vec<Plan> = (first..).zip(lacking).map(plan).collect();
            let job = Job {
                id: job,
                trigger,
                collection: cell.id,
                created_at_ms: now_ms,
                plans: plans.iter().map(|plan| plan.id).collect(),
                nothing_to_do: None,
                terms: Terms::default(),
            };
            let mut txn = self.core.catalog.txn();
            txn.put_job(&job);
            for plan in &plans {
                txn.put_plan(plan);
            }
            let (core, scheduler) = (Arc::clone(&self.core), self.scheduler.clone());
            let fold = move || {
                core.metrics.compaction.jobs.with([trigger.as_str()]).inc();
                info!(job = %job.id, trigger = trigger.as_str(), plans = plans.len(), "job of index builds made");
                core.jobs.add(job, plans.clone());
                for plan in &plans {
                    core.metrics.compaction.planned.with([plan.reason.code()]).inc();
                    scheduler.enqueue(plan, trigger, 0);
                }
            };
            self.core.catalog.commit(txn, Arc::clone(&turn), fold).await?;
        }
        Ok(())
    }
}

//! Reads: gathers the rows that a query may see, and pins their files.
//!
//! The order matters (see `ingest`): first the rows in memory, then the catalog's list of segments, then rows in memory
//! are left out if the catalog knows their segment. So a row that moves from memory to files meanwhile is seen exactly
//! once, and no deleted row is seen.
//!
//! Must never: read an object that is not pinned, or go on after its caller is gone or the process stops.

use std::{collections::HashSet, sync::Arc};

use arrow_array::RecordBatch;

use super::{Standalone, StandaloneError, admission::RunningQuery};
use crate::{
    coordinator::{CollectionCell, CoordinatorError, PinGuard, ReadSegment},
    fault::{self, Planted},
    graph::GraphShape,
    memory::Account,
    model::{CollectionSchema, Delete, FieldId, PartitionId, PrimaryKey, Segment, SegmentId, Timestamp},
    query::{
        self, BoundExpr, MemorySource, Query, QueryLimits, ReadSet, RowSource, Scope, ScopedDelete, SegmentSource,
    },
};

/// Keys that a delete by filter has found.
#[derive(Debug)]
pub(super) struct Matching {
    pub(super) keys: Vec<PrimaryKey>,
    /// The read saw every row that is older. It need not have seen newer rows, so they have to stay:
    /// `DeleteOp::older_than`.
    pub(super) older_than: Timestamp,
}

/// The rows that a read is about.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// None: every row.
    pub filter: Option<BoundExpr>,
    /// None: every partition.
    pub partitions: Option<Vec<PartitionId>>,
    /// Leaves out rows that are not flushed. Deletes that are not flushed count all the same.
    pub ignore_growing: bool,
}

impl Rows {
    /// Those that match, in every partition.
    pub fn matching(filter: Option<BoundExpr>) -> Self {
        Self { filter, ..Self::default() }
    }
}

/// The use of a read set.
#[derive(Debug, Clone, Copy)]
pub(super) enum ReadPurpose {
    Query,
    /// By this field. Segments bring their index of it.
    Search(FieldId),
    /// The same, and sources of a merge may stand in for outputs without an index.
    SearchWithStandIns(FieldId),
}

impl ReadPurpose {
    fn field(self) -> Option<FieldId> {
        match self {
            Self::Query => None,
            Self::Search(field) | Self::SearchWithStandIns(field) => Some(field),
        }
    }
}

/// A client's read.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    pub rows: Rows,
    /// Columns of the answer, in this order.
    pub fields: Vec<FieldId>,
    pub limit: Option<u64>,
    pub offset: u64,
}

/// Everything that a read sees. The files stay while this lives, those of stand-ins as far as they were there.
pub(super) struct PinnedRead {
    /// Every row that is older than `older_than`. It may also have newer rows, if they were flushed while the set was
    /// made. Without growing rows it has all others.
    pub(super) set: ReadSet,
    pub(super) older_than: Timestamp,
    /// Segments stand in for those that they were merged into.
    pub(super) has_stand_ins: bool,
    pub(super) pins: PinGuard,
}

/// Rows, and the account of the memory that they and their messages take. It counts until both are gone.
#[derive(Debug)]
pub struct ReadAnswer {
    pub rows: RecordBatch,
    pub memory: Account,
}

impl Standalone {
    /// Rows that match, one per key, ascending by key; columns are named by field id.
    pub async fn query(&self, cell: &CollectionCell, request: ReadRequest) -> Result<ReadAnswer, StandaloneError> {
        let ReadRequest { rows, fields, limit, offset } = request;
        self.until_stop(async {
            let admitted = self.queries.admit().await;
            let schema = Arc::clone(&cell.meta().schema);
            let read = self.read_set(cell, &rows, ReadPurpose::Query).await?;
            let scope = self.scope(cell, rows);
            let limits = self.query_limits(&admitted);
            let rows = query::query(&schema, read.set, Query { scope, output: fields, limit, offset }, &limits).await?;
            Ok(ReadAnswer { rows, memory: admitted.memory.clone() })
        })
        .await
    }

    /// How many live rows match.
    pub async fn count(&self, cell: &CollectionCell, rows: Rows) -> Result<u64, StandaloneError> {
        self.until_stop(async {
            let _admitted = self.queries.admit().await;
            let schema = Arc::clone(&cell.meta().schema);
            let read = self.read_set(cell, &rows, ReadPurpose::Query).await?;
            Ok(query::count(&schema, read.set, self.scope(cell, rows)).await?)
        })
        .await
    }

    /// Keys of the rows that match now, for a delete by filter.
    pub(super) async fn matching_keys(
        &self,
        cell: &CollectionCell,
        filter: &BoundExpr,
        partitions: Option<Vec<PartitionId>>,
    ) -> Result<Matching, StandaloneError> {
        self.until_stop(async {
            let admitted = self.queries.admit().await;
            let schema = Arc::clone(&cell.meta().schema);
            let rows = Rows { filter: Some(filter.clone()), partitions, ignore_growing: false };
            let read = self.read_set(cell, &rows, ReadPurpose::Query).await?;
            let scope = self.scope(cell, rows);
            let keys = query::matching_keys(&schema, read.set, scope, &self.query_limits(&admitted)).await?;
            Ok(Matching { keys, older_than: read.older_than })
        })
        .await
    }

    /// Ends a read when the process stops. A caller that goes away ends it by dropping it.
    pub(super) async fn until_stop<T>(
        &self,
        read: impl Future<Output = Result<T, StandaloneError>>,
    ) -> Result<T, StandaloneError> {
        let stopping = self.coordinator.stopping();
        match stopping.run_until_cancelled(read).await {
            Some(Ok(done)) => Ok(done),
            Some(Err(error)) if !stopping.is_cancelled() => Err(error),
            // A stop also ends requests to the store, so an error after it says nothing about the store.
            Some(Err(_)) | None => Err(CoordinatorError::Stopping.into()),
        }
    }

    pub(super) fn query_limits(&self, admitted: &RunningQuery) -> QueryLimits {
        let config = &self.config;
        // The account refuses rows that the memory of all queries can't hold, and names the setting.
        QueryLimits {
            max_window: config.limits.max_query_rows,
            max_rows: u64::MAX,
            max_bytes: u64::MAX,
            memory: Some(admitted.memory.clone()),
            cores: self.queries.cores.clone(),
        }
    }

    pub(super) fn scope(&self, cell: &CollectionCell, rows: Rows) -> Scope {
        let now_ms = self.clock.now_ms();
        Scope {
            filter: rows.filter.map(Arc::new),
            partitions: rows.partitions,
            expire_before: cell.meta().ttl().map(|ttl| Timestamp::expire_before(ttl, now_ms)),
        }
    }

    /// Everything of the collection (of some partitions, if named) as of now.
    pub(super) async fn read_set(
        &self,
        cell: &CollectionCell,
        rows: &Rows,
        purpose: ReadPurpose,
    ) -> Result<PinnedRead, StandaloneError> {
        let partitions: Option<HashSet<PartitionId>> =
            rows.partitions.as_ref().map(|list| list.iter().copied().collect());
        let wanted = |partition: PartitionId| partitions.as_ref().is_none_or(|list| list.contains(&partition));
        let mut listed_early = None;
        if fault::planted(Planted::ListedBeforeSnapshot) {
            listed_early = Some(self.coordinator.pinned_list(cell));
            tokio::task::yield_now().await;
        }
        let memory = self.ingest.snapshot(cell.id);
        let older_than = memory.deletes_older_than();
        let graph = purpose.field().and_then(|field| self.coordinator.index_of(&cell.meta(), field));
        let list = listed_early.unwrap_or_else(|| match (purpose, graph) {
            (ReadPurpose::SearchWithStandIns(_), Some((index, _))) => {
                self.coordinator.pinned_list_for_search(cell, index)
            }
            _ => self.coordinator.pinned_list(cell),
        });
        // The definition last: a drop changes it before it takes segments out of the list. So rows of a drop that came
        // in between are left out here, in memory and in files alike.
        self.coordinator.collection(cell.id)?;
        let meta = cell.meta();
        let existing: HashSet<PartitionId> = meta.partitions.iter().map(|p| p.id).collect();
        let is_gone = |id: SegmentId, partition: PartitionId| {
            meta.is_truncated(id) || (partition != PartitionId::ALL && !existing.contains(&partition))
        };
        let schema = Arc::clone(&meta.schema);
        let mut sources: Vec<Box<dyn RowSource>> = Vec::new();
        for growing in memory.segments {
            let partition = growing.group.partition;
            let has_moved = list.knows(growing.id) && !fault::planted(Planted::MovedRowsKept);
            if rows.ignore_growing || !wanted(partition) || has_moved || is_gone(growing.id, partition) {
                continue;
            }
            let batches = growing.chunks.iter().map(|chunk| chunk.batch.clone()).collect();
            let source = MemorySource::new(partition, growing.group.channel.clone(), batches);
            sources.push(Box::new(source.with_deletes(growing.deletes)));
        }
        let is_read = |s: &Segment| wanted(s.group.partition) && !is_gone(s.id, s.group.partition);
        let mut has_stand_ins = false;
        for ReadSegment { segment, merged_into } in list.read.iter().filter(|read| is_read(&read.segment)) {
            let mut source = self.segment_source(segment, &schema, graph).await?;
            for merged in merged_into {
                has_stand_ins = true;
                source = source.in_place_of(merged, Arc::new(self.coordinator.segment_logs(merged).await?));
            }
            sources.push(Box::new(source));
        }
        let mut deletes = Vec::new();
        for (channel, list) in &memory.deletes {
            for run in list.iter() {
                deletes.extend(run.keys.iter().map(|key| ScopedDelete {
                    delete: Delete { key: key.clone(), ts: run.ts },
                    partition: run.partition,
                    channel: channel.clone(),
                }));
            }
        }
        Ok(PinnedRead { set: ReadSet { sources, deletes }, older_than, has_stand_ins, pins: list.guard })
    }

    /// A pinned segment with everything about it that is in memory, and its index of a definition.
    async fn segment_source(
        &self,
        segment: &Segment,
        schema: &Arc<CollectionSchema>,
        graph: Option<(i64, GraphShape)>,
    ) -> Result<SegmentSource, StandaloneError> {
        let logs = Arc::new(self.coordinator.segment_logs(segment).await?);
        let source = SegmentSource::new(self.coordinator.store().clone(), segment, logs, Arc::clone(schema));
        let mut source = source.with_cache(Arc::clone(self.coordinator.segment_cache()));
        if let Some((id, shape)) = graph
            && let Some(index) = segment.index(id)
        {
            source = source.with_index(index.clone(), shape);
        }
        if let Some(stats) = self.coordinator.cached_key_stats(segment.id) {
            source = source.with_stats(stats);
        }
        Ok(source)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::{super::tests::World, *};
    use crate::kit::filters;

    #[tokio::test]
    async fn a_read_ends_when_the_server_stops() {
        let world = World::new().await;
        let cell = world.collection("c").await;
        world.segment(&cell, 0..10).await;
        world.hold();
        let schema = Arc::clone(&cell.meta().schema);
        let filter = filters::compile(&format!("{} != 3", schema.primary_key().name), &schema).unwrap();
        let mut read = Box::pin(world.standalone.count(&cell, Rows::matching(filter)));
        assert!((&mut read).now_or_never().is_none());
        world.standalone.shutdown().await;
        assert!(matches!(read.await, Err(StandaloneError::Coordinator(CoordinatorError::Stopping))));
    }
}

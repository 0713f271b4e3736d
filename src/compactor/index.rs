//! Building an index of one segment: its vectors, log by log, become graphs, each of which fits into the memory of merges.
//!
//! It has the cores, the memory, the throttle and the progress of merges. Must never: hold more than one graph with its
//! bytes, or write an object outside the names of its own attempt.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{
    CompactError, Compactor, ProgressSink,
    waits::{reserve, unless_stopped},
};
use crate::{
    graph::{GraphBuilder, GraphShape},
    model::{CollectionSchema, FieldId, IndexPart, Plan, Segment, SegmentIndex, SegmentLogs},
    storage::{LogPath, Paced, Vectors, read_columns},
};

/// Of the memory limit: the bytes of a graph. It is held once as a graph and once as bytes.
const PART_SHARE: (u64, u64) = (2, 5);
/// Rows and bytes of vectors that are added between two looks at the run's stop.
const BATCH_ROWS: usize = 2048;
const BATCH_BYTES: usize = 1 << 20;

/// Everything that a build needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexTask {
    pub plan: Plan,
    pub schema: Arc<CollectionSchema>,
    /// The plan's input, and its logs.
    pub segment: Segment,
    pub logs: SegmentLogs,
    /// Id of the definition.
    pub index: i64,
    /// A field of float vectors.
    pub field: FieldId,
    pub shape: GraphShape,
}

/// Result of a build: an index whose objects are all in the store, durably. Nothing knows of it until it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexOutcome {
    pub index: SegmentIndex,
    /// Rows that were read.
    pub rows: u64,
    /// Bytes of objects written.
    pub bytes_written: u64,
}

/// One run of one build.
struct Build<'a> {
    compactor: &'a Compactor,
    task: &'a IndexTask,
    progress: &'a ProgressSink,
    stop: CancellationToken,
    pace: Paced,
    index: SegmentIndex,
    /// Most rows of a graph.
    part_rows: u64,
}

impl Compactor {
    /// Builds the index of a task. Waits for memory first if merges hold it.
    ///
    /// The segment is never touched. After an error or a cancellation the objects of this run are deleted as far as the
    /// store allows. If the future is dropped, they are left for garbage collection.
    ///
    /// # Errors
    /// [`CompactError::Cancelled`] soon after `cancel`; errors of kind corrupt name the object.
    pub async fn build_index(
        &self,
        task: &IndexTask,
        progress: &ProgressSink,
        cancel: &CancellationToken,
    ) -> Result<IndexOutcome, CompactError> {
        let stop = cancel.child_token();
        // Work on other threads ends early if this future is dropped.
        let _stop_on_drop = stop.clone().drop_guard();
        let pace = self.shared.throttle.as_ref().map(|t| Arc::clone(t).pace(stop.clone(), progress.clone()));
        let (parts, of) = PART_SHARE;
        let part_bytes = self.shared.budget.limit_bytes() / of * parts;
        let index = SegmentIndex {
            index: task.index,
            field: task.field,
            build: task.plan.id.0,
            version: i64::from(task.plan.attempts),
            parts: Vec::new(),
        };
        let part_rows = (part_bytes / task.shape.row_bytes()).max(1);
        let mut build = Build { compactor: self, task, progress, stop, pace, index, part_rows };
        let ended = build.run().await;
        if ended.is_err() || build.stop.is_cancelled() {
            build.clean_up().await;
        }
        ended?;
        if build.stop.is_cancelled() {
            return Err(CompactError::Cancelled);
        }
        let bytes_written = build.index.bytes();
        Ok(IndexOutcome { index: build.index, rows: task.logs.rows(), bytes_written })
    }
}

impl Build<'_> {
    async fn run(&mut self) -> Result<(), CompactError> {
        if self.stop.is_cancelled() {
            return Err(CompactError::Cancelled);
        }
        let (task, shared) = (self.task, &self.compactor.shared);
        let (rows, files) = (task.logs.rows(), task.logs.field(task.field));
        let total_bytes = files.iter().map(|file| file.bytes).sum();
        self.progress.start(rows, total_bytes);
        // Graphs of about equal size.
        let part_rows = rows.div_ceil(rows.div_ceil(self.part_rows).max(1)).max(1);
        let width = (task.shape.dim as usize * size_of::<f32>()).max(1);
        let batch_rows = (BATCH_BYTES / width).clamp(1, BATCH_ROWS);
        let memory = 2 * part_rows.min(rows) * task.shape.row_bytes() + 2 * (batch_rows * width) as u64;
        let _memory = reserve(&shared.budget, memory, &self.stop, self.progress).await?;
        let ids = task.segment.log_ids();
        let mut batches = read_columns(&shared.store, ids, &task.logs, &task.schema, &[task.field], batch_rows);
        let (mut place, mut builder, mut left) = (0u64, None, 0u64);
        while let Some(batch) = unless_stopped(&self.stop, batches.try_next()).await?? {
            let column = batch.columns().first().and_then(|column| column.as_fixed_size_binary_opt());
            let Some(column) = column else {
                return Err(CompactError::Internal(format!("field {} has no vectors", task.field)));
            };
            let vectors = Vectors::of(column);
            if let Some(throttle) = &shared.throttle {
                let bytes = vectors.bytes_in_memory();
                unless_stopped(&self.stop, throttle.take(bytes, || self.progress.alive())).await?;
            }
            let mut at = 0;
            while at < vectors.len() {
                let graph = match builder.take() {
                    Some(graph) => graph,
                    None => {
                        left = part_rows.min(rows.saturating_sub(place)).max(1);
                        let threads = shared.cores.count.max(1);
                        Arc::new(GraphBuilder::new(task.shape, left as usize, threads)?)
                    }
                };
                let now = left.min((vectors.len() - at) as u64);
                self.add(&graph, &vectors, at..at + now as usize, place).await?;
                (at, place, left) = (at + now as usize, place + now, left - now);
                if left == 0 {
                    self.write(graph).await?;
                } else {
                    builder = Some(graph);
                }
            }
            let share = |done: u64| (u128::from(total_bytes) * u128::from(done) / u128::from(rows.max(1))) as u64;
            self.progress.add_rows(vectors.len() as u64);
            self.progress.add_bytes(share(place) - share(place - vectors.len() as u64));
        }
        if let Some(graph) = builder {
            self.write(graph).await?;
        }
        self.progress.complete();
        Ok(())
    }

    /// Adds some vectors, on every core. `place` is that of the first.
    async fn add(
        &self,
        graph: &Arc<GraphBuilder>,
        vectors: &Vectors,
        rows: std::ops::Range<usize>,
        place: u64,
    ) -> Result<(), CompactError> {
        let cores = &self.compactor.shared.cores;
        let share = rows.len().div_ceil(cores.count.max(1)).max(1);
        let first = rows.start;
        let shares = rows.clone().step_by(share).map(|from| {
            let upto = (from + share).min(rows.end);
            let (graph, vectors, stop) = (Arc::clone(graph), vectors.clone(), self.stop.clone());
            cores.run(move || {
                for row in from..upto {
                    if stop.is_cancelled() {
                        return Err(CompactError::Cancelled);
                    }
                    graph.add(place + (row - first) as u64, vectors.floats(row))?;
                }
                Ok(())
            })
        });
        futures::future::try_join_all(shares).await?;
        self.progress.alive();
        Ok(())
    }

    /// Writes a graph as the next part. A graph without a vector is no part.
    async fn write(&mut self, graph: Arc<GraphBuilder>) -> Result<(), CompactError> {
        let rows = graph.rows();
        if rows == 0 {
            return Ok(());
        }
        let encoded = self.compactor.shared.cores.run(move || {
            let bytes = Bytes::from(graph.to_bytes()?);
            let checksum = crc32c::crc32c(&bytes);
            Ok((bytes, checksum))
        });
        let (bytes, checksum) = encoded.await?;
        if self.stop.is_cancelled() {
            return Err(CompactError::Cancelled);
        }
        let path = LogPath::index(self.task.segment.log_ids(), &self.index, self.index.parts.len() as i64);
        // Before the write: a failed one may leave the object.
        self.index.parts.push(IndexPart { rows, bytes: bytes.len() as u64, checksum });
        self.compactor.shared.store.put_all_paced(&self.pace, vec![(path, bytes)]).await?;
        self.progress.alive();
        Ok(())
    }

    async fn clean_up(&self) {
        for number in 0..self.index.parts.len() {
            let path = LogPath::index(self.task.segment.log_ids(), &self.index, number as i64);
            if let Err(error) = self.compactor.shared.store.delete(&path).await {
                tracing::debug!(plan = %self.task.plan.id, object = %path, %error, "left for garbage collection");
            }
        }
    }
}

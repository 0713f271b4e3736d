//! Building an index of one segment: its vectors, log by log, become graphs, each of which fits into the memory of merges.
//!
//! It has the cores, the memory, the throttle and the progress of merges. Must never: hold more than one graph with its
//! bytes, or write an object outside the names of its own attempt.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

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
    graph::{GraphBuilder, GraphShape, GraphVectors},
    model::{CollectionSchema, FieldId, IndexPart, Plan, Segment, SegmentIndex, SegmentLogs},
    storage::{LogPath, Paced, Vectors, read_columns},
};

/// Of the memory limit: the bytes of a graph. Its vectors are held twice: once to be linked, then with halves or as bytes.
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
    /// Bytes of the field in all rows.
    bytes_to_read: u64,
    /// Rows whose graph is made.
    read: u64,
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
        let bytes_to_read = task.logs.field(task.field).iter().map(|file| file.bytes).sum();
        let mut build = Build { compactor: self, task, progress, stop, pace, index, part_rows, bytes_to_read, read: 0 };
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
        let rows = task.logs.rows();
        self.progress.start(rows, self.bytes_to_read);
        // Graphs of about equal size.
        let part_rows = rows.div_ceil(rows.div_ceil(self.part_rows).max(1)).max(1);
        let width = (task.shape.dim as usize * size_of::<f32>()).max(1);
        let batch_rows = (BATCH_BYTES / width).clamp(1, BATCH_ROWS);
        let memory = 2 * part_rows.min(rows) * task.shape.row_bytes() + 2 * (batch_rows * width) as u64;
        let _memory = reserve(&shared.budget, memory, &self.stop, self.progress).await?;
        let ids = task.segment.log_ids();
        let mut batches = read_columns(&shared.store, ids, &task.logs, &task.schema, &[task.field], batch_rows);
        let (mut place, mut collected, mut left) = (0u64, None, 0u64);
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
                let part = match collected.take() {
                    Some(part) => part,
                    None => {
                        left = part_rows.min(rows.saturating_sub(place)).max(1);
                        GraphVectors::new(task.shape, left as usize)?
                    }
                };
                let now = left.min((vectors.len() - at) as u64);
                let part = self.collect(part, &vectors, at..at + now as usize, place).await?;
                (at, place, left) = (at + now as usize, place + now, left - now);
                if left == 0 {
                    self.write(part, place).await?;
                } else {
                    collected = Some(part);
                }
            }
        }
        if let Some(part) = collected {
            self.write(part, place).await?;
        }
        self.progress.complete();
        Ok(())
    }

    /// Takes some vectors for the next graph. `place` is that of the first.
    async fn collect(
        &self,
        mut part: GraphVectors,
        vectors: &Vectors,
        rows: std::ops::Range<usize>,
        place: u64,
    ) -> Result<GraphVectors, CompactError> {
        let vectors = vectors.clone();
        let collected = self.compactor.shared.cores.run(move || {
            for (place, row) in (place..).zip(rows) {
                part.push(place, vectors.floats(row))?;
            }
            Ok(part)
        });
        let part = collected.await?;
        self.progress.alive();
        Ok(part)
    }

    /// Links all vectors of a graph, on every core. Calls `linked` with their number after each of several steps.
    ///
    /// The cores take rows in turn. If each had rows of its own, and near rows follow each other, the rows of two cores could
    /// become parts of the graph that hardly lead to each other.
    async fn link(&self, graph: &Arc<GraphBuilder>, linked: impl Fn(usize)) -> Result<(), CompactError> {
        let cores = &self.compactor.shared.cores;
        let width = (self.task.shape.dim as usize * size_of::<f32>()).max(1);
        let step = (BATCH_BYTES / width).clamp(1, BATCH_ROWS);
        let threads = cores.count.max(1);
        for first in (0..graph.rows()).step_by(step) {
            let rows = first..(first + step).min(graph.rows());
            let shares = rows.clone().take(threads).map(|from| {
                let own = (from..rows.end).step_by(threads);
                let (graph, stop) = (Arc::clone(graph), self.stop.clone());
                cores.run(move || {
                    for row in own {
                        if stop.is_cancelled() {
                            return Err(CompactError::Cancelled);
                        }
                        graph.link(row)?;
                    }
                    Ok(())
                })
            });
            futures::future::try_join_all(shares).await?;
            linked(rows.len());
            self.progress.alive();
        }
        Ok(())
    }

    /// Makes a graph and writes it as the next part. Rows before `upto` have been read. A graph without a vector is no part.
    async fn write(&mut self, part: GraphVectors, upto: u64) -> Result<(), CompactError> {
        let cores = &self.compactor.shared.cores;
        let threads = cores.count.max(1);
        let (vectors, rows) = (part.rows(), upto - self.read);
        let (from, told) = (self.read, AtomicUsize::new(0));
        // Rows without a vector count, too: those read in the step in which others were linked.
        let tell = |linked: usize| {
            let before = told.fetch_add(linked, Relaxed);
            let share = |linked: usize| rows * linked as u64 / vectors.max(1) as u64;
            self.tell(from + share(before)..from + share(before + linked));
        };
        if vectors == 0 {
            self.tell(from..upto);
            self.read = upto;
            return Ok(());
        }
        let mut graph = Arc::new(cores.run(move || Ok(GraphBuilder::new(part, threads)?)).await?);
        self.link(&graph, tell).await?;
        let asked = Arc::clone(&graph);
        if let Some(exact) = cores.run(move || Ok(asked.to_be_linked_exactly(threads)?)).await? {
            graph = Arc::new(exact);
            self.link(&graph, |_| ()).await?;
        }
        self.read = upto;
        let rows = graph.rows() as u64;
        let encoded = cores.run(move || {
            let graph =
                Arc::into_inner(graph).ok_or_else(|| CompactError::Internal("a graph is still linked".into()))?;
            let bytes = Bytes::from(graph.into_bytes()?);
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

    /// Reports that these rows are in the index, or never will be.
    fn tell(&self, rows: std::ops::Range<u64>) {
        let (all, bytes) = (self.task.logs.rows().max(1), self.bytes_to_read);
        let share = |row: u64| (u128::from(bytes) * u128::from(row) / u128::from(all)) as u64;
        self.progress.add_bytes(share(rows.end) - share(rows.start));
        self.progress.add_rows(rows.end - rows.start);
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

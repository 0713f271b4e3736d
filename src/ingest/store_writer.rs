//! Writes flushed segments through `storage`: the [`SegmentWriter`] of a server.
//!
//! Must never report a segment as written before its objects are durable, which is `storage`'s promise.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{runtime::Handle, sync::oneshot};

use super::{FlushError, FlushedSegment, SealedRows, SegmentWriter};
use crate::{
    background::{thread, wait_in},
    clock::Clock,
    config::BinlogConfig,
    error::{Classify, ErrorKind},
    ids::IdAllocator,
    model::{LogId, Segment},
    storage::{SegmentOutput, SegmentStore, SegmentTarget, StatsLayout, StorageError, write_segment},
};

/// A [`SegmentWriter`] over an object store.
#[derive(Clone)]
pub struct StoreWriter {
    pub store: SegmentStore,
    pub config: BinlogConfig,
    pub ids: Arc<IdAllocator>,
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl SegmentWriter for StoreWriter {
    async fn write(&self, rows: SealedRows) -> Result<FlushedSegment, FlushError> {
        let (writer, runtime) = (self.clone(), Handle::current());
        let (mut done, written) = oneshot::channel();
        // On a thread of its own: the compiler can't see that the future may change threads (a closure over boxed jobs
        // inside it). Not one of the runtime's pool: it waits for encoders, which need threads of that pool.
        let write = move || {
            let outcome = wait_in(&runtime, async {
                tokio::select! {
                    biased;
                    outcome = writer.write_here(rows) => Some(outcome),
                    // The flush was given up: its objects are garbage.
                    () = done.closed() => None,
                }
            });
            if let Some(outcome) = outcome {
                // A flush that was given up in this instant needs no outcome either.
                let _ = done.send(outcome);
            }
        };
        thread("flush", write)
            .map_err(|error| FlushError::new(ErrorKind::Exhausted, format!("no thread to write with: {error}")))?;
        written
            .await
            .unwrap_or_else(|_| Err(FlushError::new(ErrorKind::Internal, "writing ended early: a panic".to_owned())))
    }
}

impl StoreWriter {
    async fn write_here(&self, rows: SealedRows) -> Result<FlushedSegment, FlushError> {
        let ids = rows.group.log_ids(rows.id);
        let target = SegmentTarget {
            ids,
            schema: &rows.schema,
            stats: StatsLayout::Flushed,
            config: &self.config,
            written_at_ms: self.clock.now_ms(),
        };
        let mut log_ids = || match self.ids.next_blocking() {
            Ok(id) => Ok(LogId(id)),
            Err(error) => Err(StorageError::LogId { what: error.to_string(), kind: error.kind() }),
        };
        let mut failure = None;
        let batches = rows.rows.batches().map_while(|batch| batch.map_err(|error| failure = Some(error)).ok());
        let output = write_segment(&self.store, &target, batches, &rows.deletes, &mut log_ids)
            .await
            .map_err(|error| FlushError::of(&error))?;
        // The rows ended early: the written objects are no segment.
        if let Some(error) = failure {
            return Err(FlushError::new(ErrorKind::Internal, format!("can't order rows of {}: {error}", rows.id)));
        }
        let SegmentOutput { logs, pk_range, stats, rows: _ } = output;
        let mut segment = Segment { pk_range, end_lsn: rows.end_lsn, version: 1, ..Segment::new(rows.id, rows.group) };
        segment.summarise(&logs);
        Ok(FlushedSegment { segment, logs, stats })
    }
}

//! Joins the write path of this process to its DataCoord: each asks something of the other, and this room alone knows
//! the types of both.
//!
//! Must never decide anything: it only turns one room's values into the other's.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{
    coordinator::{
        Ailment, Condition, Core, DeleteBatch, DeletedKeys, FlushOutcome, UnflushedSegment, WritePath, WritePathError,
    },
    error::Classify,
    ingest::{
        Committed, DeltaBatch, FlushError, FlushSink, FlushedSegment, Gone, Health, Ingest, IngestError, SealedRows,
        SegmentWriter, StoreWriter,
    },
    model::{CollectionId, SegmentId},
    telemetry::Metrics,
};

/// The write path as the DataCoord sees it.
pub(super) struct LocalWritePath(pub(super) Ingest);

impl From<IngestError> for WritePathError {
    fn from(error: IngestError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

#[async_trait]
impl WritePath for LocalWritePath {
    fn unflushed(&self) -> Vec<UnflushedSegment> {
        let all = self.0.unflushed().into_iter();
        all.map(|u| UnflushedSegment {
            id: u.id,
            group: u.group,
            state: u.state,
            rows: u.rows,
            bytes: u.bytes,
            ts_from: u.ts_from,
        })
        .collect()
    }

    fn is_flushed(&self, segment: SegmentId) -> bool {
        self.0.is_flushed(segment)
    }

    fn waiting_deletes(&self, collection: CollectionId) -> Vec<DeleteBatch> {
        self.0.pending_deltas(collection).into_iter().map(delete_batch).collect()
    }

    async fn flush_deletes(&self, collection: CollectionId) -> Result<(), WritePathError> {
        Ok(self.0.flush_deltas(collection).await?)
    }

    async fn flushes_noted(&self) -> Result<(), WritePathError> {
        Ok(self.0.flushes_noted().await?)
    }

    fn ailments(&self) -> Vec<Ailment> {
        ailments(&self.0.health())
    }

    async fn stop(&self) {
        self.0.clone().stop().await;
    }
}

/// A copy that shares the keys.
fn delete_batch(batch: DeltaBatch) -> DeleteBatch {
    let runs = batch.deletes.iter().map(|run| DeletedKeys {
        lsn: run.lsn,
        ts: run.ts,
        partition: run.partition,
        keys: Arc::clone(&run.keys),
    });
    DeleteBatch {
        collection: batch.collection,
        channel: batch.channel,
        runs: runs.collect(),
        upto: batch.upto,
        flushed: batch.flushed.iter().map(|f| (f.segment, f.upto)).collect(),
    }
}

/// Notes how long the objects of each flushed segment take to write.
pub(super) struct TimedWriter {
    pub(super) writer: StoreWriter,
    pub(super) metrics: Arc<Metrics>,
}

#[async_trait]
impl SegmentWriter for TimedWriter {
    async fn write(&self, rows: SealedRows) -> Result<FlushedSegment, FlushError> {
        let begun = Instant::now();
        let written = self.writer.write(rows).await?;
        self.metrics.flush_written(begun.elapsed());
        Ok(written)
    }
}

/// The DataCoord as the write path sees it.
pub(super) struct CatalogSink(pub(super) Arc<Core>);

#[async_trait]
impl FlushSink for CatalogSink {
    async fn commit_flush(&self, flushed: FlushedSegment) -> Result<Committed, FlushError> {
        let FlushedSegment { segment, logs, stats } = flushed;
        answer(self.0.commit_flush(segment, logs, stats).await)
    }

    async fn commit_deltas(&self, batch: DeltaBatch) -> Result<Committed, FlushError> {
        answer(self.0.commit_deletes(delete_batch(batch)).await)
    }
}

fn answer<E: Classify + std::fmt::Display>(outcome: Result<FlushOutcome, E>) -> Result<Committed, FlushError> {
    Ok(match outcome.map_err(|error| FlushError::of(&error))? {
        FlushOutcome::Committed => Committed::Here,
        FlushOutcome::CollectionGone(id) => Committed::Gone(Gone::Collection(id)),
        FlushOutcome::PartitionGone(id) => Committed::Gone(Gone::Partition(id)),
        FlushOutcome::Truncated(id) => Committed::Gone(Gone::Truncated(id)),
    })
}

/// Faults of the write path, for the health report.
fn ailments(health: &Health) -> Vec<Ailment> {
    match health {
        Health::Healthy => Vec::new(),
        Health::LogFailed { error } => {
            let reason = format!("the write-ahead log takes no more writes until a restart: {error}");
            vec![Ailment { part: "log", condition: Condition::Failed, reason }]
        }
        Health::FlushFailing { segments, deltas, error } => {
            let degraded = |reason| Ailment { part: "flush", condition: Condition::Degraded, reason };
            let mut ailments = Vec::new();
            if !segments.is_empty() {
                let count = segments.len();
                ailments
                    .push(degraded(format!("{count} sealed segments can't be flushed and are tried again: {error}")));
            }
            ailments.extend(deltas.iter().map(|d| {
                degraded(format!(
                    "{} deletes of channel {} wait, acknowledged and logged: {}",
                    d.keys, d.channel, d.error
                ))
            }));
            ailments
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{coordinator::HealthReport, storage::Outage};

    fn report(
        fenced: Option<String>,
        step_died: Option<String>,
        log: &Health,
        store: (&str, Option<(Outage, u64)>),
        damage: Vec<String>,
    ) -> HealthReport {
        HealthReport::of(fenced, step_died, ailments(log), store, damage)
    }

    #[test]
    fn a_store_that_is_away_degrades_and_a_log_or_an_owner_that_is_lost_fails() {
        let outage = || {
            let outage = Outage { lasted: Duration::from_secs(90), error: "connection refused".to_owned() };
            Some((outage, 1_700_000_000_000))
        };
        let flushing = Health::FlushFailing {
            segments: vec![SegmentId(1), SegmentId(2)],
            deltas: vec![],
            error: "no answer".to_owned(),
        };
        let log = Health::LogFailed { error: "disk full".to_owned() };
        let well = report(None, None, &Health::Healthy, ("bucket b", None), vec![]);
        assert_eq!((well.condition(), well.takes_calls(), well.reasons()), (Condition::Alive, true, vec![]));

        let away = report(None, None, &flushing, ("bucket b", outage()), vec!["o".to_owned()]);
        assert_eq!((away.condition(), away.takes_calls()), (Condition::Degraded, true));
        assert_eq!(
            away.reasons(),
            [
                "store degraded: bucket b does not work since 2023-11-14T22:13:20Z (90 s): writes are accepted, flushes and \
                 merges wait: connection refused",
                "flush degraded: 2 sealed segments can't be flushed and are tried again: no answer",
                "object degraded: o",
            ]
        );
        for failed in [
            report(None, None, &log, ("bucket b", outage()), vec![]),
            report(None, Some("a panic".to_owned()), &Health::Healthy, ("bucket b", outage()), vec![]),
            report(Some("fenced: taken".to_owned()), None, &Health::Healthy, ("bucket b", outage()), vec![]),
        ] {
            assert_eq!((failed.condition(), failed.takes_calls()), (Condition::Failed, false));
            assert_eq!(failed.ailments[1].part, "store", "what is degraded is said as well");
        }
    }
}

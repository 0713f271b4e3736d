//! The scrubber: reads every object of every live segment once in an interval, and compares it with the checksum in the
//! segment's record. A disk reports a lost bit only to a reader, and most objects are read seldom.
//!
//! A round takes the configured interval. Segments have their turns by size, evenly spread over it, at the priority of
//! background work and within the limit of merges. A segment is pinned while it is read (P5). Damage stays in memory
//! (`damage`) until the object is whole again or its segment is gone. A restart begins a new round.
//!
//! Must never: change or delete anything, or take a store that does not answer for damage.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::{CollectionCell, Coordinator, Core};
use crate::{
    compactor::ProgressSink,
    error::{Classify, ErrorKind},
    model::{CollectionId, Segment, SegmentId},
    storage::{Paced, StoredObject, verify},
};

/// How often it is looked whether a segment's turn has come.
const BEAT: Duration = Duration::from_secs(1);
/// Added to the bytes of a segment: what opening its objects costs.
const SEGMENT_BYTES: u64 = 64 << 10;

/// What the scrubber knows.
#[derive(Debug, Default)]
pub(super) struct Scrubber {
    round: tokio::sync::Mutex<Round>,
}

/// A segment and what reading it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    collection: CollectionId,
    segment: SegmentId,
    weight: u64,
}

/// Where a round is.
#[derive(Debug, Default)]
struct Round {
    /// Milliseconds since 1970; None: it has not begun.
    began_ms: Option<u64>,
    /// Weight of all segments when it began, and of those that had their turn.
    total: u64,
    done: u64,
    /// The collection whose segments are in the queue, or were.
    collection: Option<CollectionId>,
    queue: VecDeque<Turn>,
}

fn weight(segment: &Segment) -> u64 {
    segment.insert_bytes.saturating_add(segment.delta_bytes).saturating_add(SEGMENT_BYTES)
}

impl Round {
    /// The next segment, if its turn has come. `cells` are all collections, ascending by id.
    fn next(&mut self, cells: &[Arc<CollectionCell>], interval: Duration, now_ms: u64) -> Option<Turn> {
        let interval_ms = interval.as_millis() as u64;
        let is_over = self.began_ms.is_none_or(|began| now_ms >= began.saturating_add(interval_ms));
        if !self.fill(cells) {
            if !is_over {
                return None;
            }
            let total = cells.iter().flat_map(|cell| cell.live()).map(|segment| weight(&segment)).sum();
            *self = Self { began_ms: Some(now_ms), total, ..Self::default() };
            if !self.fill(cells) {
                return None;
            }
        }
        let due = due_ms(self.began_ms.unwrap_or(now_ms), interval_ms, self.done, self.total);
        if now_ms < due {
            return None;
        }
        let turn = self.queue.pop_front()?;
        self.done = self.done.saturating_add(turn.weight);
        Some(turn)
    }

    /// Has a segment in the queue, unless all collections had their turn or no round has begun.
    fn fill(&mut self, cells: &[Arc<CollectionCell>]) -> bool {
        while self.queue.is_empty() {
            if self.began_ms.is_none() {
                return false;
            }
            let after = cells.partition_point(|cell| self.collection.is_some_and(|last| cell.id <= last));
            let Some(cell) = cells.get(after) else { return false };
            self.collection = Some(cell.id);
            let turn = |s: Segment| Turn { collection: cell.id, segment: s.id, weight: weight(&s) };
            self.queue = cell.live().into_iter().map(turn).collect();
        }
        true
    }
}

/// When a segment has its turn, given what had it before.
fn due_ms(began_ms: u64, interval_ms: u64, done: u64, total: u64) -> u64 {
    let part = u128::from(interval_ms) * u128::from(done.min(total)) / u128::from(total.max(1));
    began_ms.saturating_add(u64::try_from(part).unwrap_or(interval_ms))
}

impl Core {
    /// Reads the segments whose turn has come.
    pub(super) async fn scrub_due(&self, stop: &CancellationToken) {
        let interval = self.config.scrub.interval;
        let mut round = self.scrubber.round.lock().await;
        while !stop.is_cancelled() {
            let cells = self.collections.all();
            let Some(turn) = round.next(&cells, interval, self.clock.now_ms()) else { return };
            if stop.run_until_cancelled(self.scrub(turn, stop)).await.is_none() {
                return;
            }
        }
    }

    async fn scrub(&self, turn: Turn, stop: &CancellationToken) {
        // Before it is looked whether the segment is live: one that is keeps its files from now on.
        let _pin = self.pins.pin([turn.segment]);
        let Ok(cell) = self.collections.by_id(turn.collection) else { return };
        let Some(segment) = cell.segment(turn.segment).filter(Segment::is_live) else { return };
        let logs = match self.catalog.segment_logs(&segment.group, segment.id).await {
            Ok(logs) => logs,
            Err(error) => {
                warn!(segment = %segment.id, %error, "the objects of a segment are not known: they are not checked");
                self.metrics.scrub.failures.inc();
                return;
            }
        };
        let pace: Paced = Some(Arc::clone(&self.throttle).pace(stop.clone(), ProgressSink::new()));
        for object in StoredObject::all(segment.log_ids(), &logs) {
            match verify(&self.store, &pace, &object).await {
                Ok(bytes) => {
                    self.metrics.scrub.bytes.inc_by(bytes);
                    self.damage.verified(segment.id, &object.path.to_string());
                }
                Err(damage) if damage.kind() == ErrorKind::Corrupt => {
                    self.note_damage(&segment, &object, &damage.to_string());
                }
                Err(failure) => {
                    debug!(object = %object.path, error = %failure, "an object could not be checked");
                    self.metrics.scrub.failures.inc();
                    continue;
                }
            }
            self.metrics.scrub.objects.inc();
        }
    }

    fn note_damage(&self, segment: &Segment, object: &StoredObject, damage: &str) {
        if self.damage.note_scrubbed(segment, &object.path.to_string(), damage) {
            error!(segment = %segment.id, collection = %segment.group.collection, damage, "an object of a live segment is damaged");
            self.metrics.scrub.damage.inc();
        }
    }
}

impl Coordinator {
    pub(super) async fn run_scrub(self: Arc<Self>) {
        #[expect(clippy::disallowed_methods, reason = "a background loop; tests move tokio's clock")]
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = beat.tick() => {}
            }
            let (core, stop) = (Arc::clone(&self.core), self.stop.clone());
            let looked = self.ticks.spawn(async move { core.scrub_due(&stop).await }).await;
            if let Err(error) = looked {
                warn!(%error, "a look at the objects did not end; the next one goes on");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn turns_are_spread_over_the_interval(
            began in 0u64..1 << 42, interval in 1u64..1 << 36, done in 0u64..1 << 50, total in 0u64..1 << 50, more in 0u64..1 << 40,
        ) {
            let due = |done| due_ms(began, interval, done, total);
            prop_assert_eq!(due(0), began);
            prop_assert!(due(done) <= due(done.saturating_add(more)));
            prop_assert!(due(done) <= began + interval);
        }
    }
}

//! The scrubber: reads every object of every live segment once in an interval, and compares it with the checksum in the
//! segment's record. A disk reports a lost bit only to a reader, and most objects are read seldom.
//!
//! A round takes the configured interval. Segments have their turns by size, evenly spread over it, at the priority of
//! background work and within the limit of merges. A segment is pinned while it is read (P5). Damage stays in memory
//! (`damage`) until the object is whole again or its segment is gone. A restart begins a new round.
//!
//! Must never: change or delete anything, or take a store that does not answer for damage.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::{Coordinator, Core, scrubber::ScrubTurn};
use crate::{
    compactor::ProgressSink,
    error::{Classify, ErrorKind},
    model::Segment,
    storage::{Paced, StoredObject, verify},
};

/// Interval between looks for a segment whose turn has come.
const BEAT: Duration = Duration::from_secs(1);
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

    async fn scrub(&self, turn: ScrubTurn, stop: &CancellationToken) {
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
        for object in StoredObject::all(segment.log_ids(), &logs).into_iter().chain(StoredObject::indexes(&segment)) {
            match verify(&self.store, &pace, &object).await {
                Ok(bytes) => {
                    self.metrics.scrub.bytes.inc_by(bytes);
                    self.damage.verified(segment.id, &object.path.to_string());
                }
                Err(damage) if damage.kind() == ErrorKind::Corrupt && self.is_named(&segment, &object) => {
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

    /// An index that was dropped while it was looked at is no damage.
    fn is_named(&self, segment: &Segment, object: &StoredObject) -> bool {
        let now = self.collections.by_id(segment.group.collection).ok().and_then(|cell| cell.segment(segment.id));
        object.path.build().is_none_or(|_| now.is_some_and(|now| StoredObject::indexes(&now).contains(object)))
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
                biased;
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

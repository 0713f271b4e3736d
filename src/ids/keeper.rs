//! The task that stores bounds: the only code that calls the bound store once the ranges are open.
//!
//! One task for all ranges, so that bounds of a range are stored one after the other, and a caller that goes away drops
//! no save half-way. Must never shift a range before its new bound is durable.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use super::{
    BoundError, BoundStore,
    range::{BoundRequest, Ledger},
};
use crate::{
    clock::Clock,
    error::ErrorKind,
    fault::{self, Planted, Point},
    model::Timestamp,
};

/// How often bounds are moved ahead of need.
const EVERY: Duration = Duration::from_secs(1);

/// Stops the keeper. The keeper also ends when both allocators are gone.
pub struct BoundKeeper {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl BoundKeeper {
    /// Ends the task and waits for a bound that is being stored; the bound store is released when this returns. Numbers
    /// below the last bound are still given out afterwards.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

pub(super) struct Keeper {
    pub(super) store: Arc<dyn BoundStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<Ledger>,
    pub(super) tso: Arc<Ledger>,
    pub(super) requests: mpsc::UnboundedReceiver<BoundRequest>,
}

impl Keeper {
    /// Begins to keep, in the runtime of the caller.
    pub(super) fn spawn(self) -> BoundKeeper {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(self.run(stop.clone()));
        tasks.close();
        BoundKeeper { stop, tasks }
    }

    async fn run(mut self, stop: CancellationToken) {
        #[expect(clippy::disallowed_methods, reason = "a background loop; tests move tokio's clock")]
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_fenced = false;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                request = self.requests.recv() => match request {
                    // A caller that stopped waiting needs no answer; its bound serves the next one.
                    Some(BoundRequest { range, need, answer }) => drop(answer.send(self.cover(&range, need).await)),
                    None => return,
                },
                // A process that may not write any more would only repeat the warning.
                _ = tick.tick(), if !is_fenced => {
                    if let Err(error) = self.move_ahead().await {
                        is_fenced = error.kind == ErrorKind::Fenced;
                        warn!(%error, "bounds of ids and timestamps could not be moved ahead; the next caller waits for them");
                    }
                }
            }
        }
    }

    async fn cover(&self, range: &Ledger, need: u64) -> Result<(), BoundError> {
        match range.bound_for(need) {
            Some(bound) => self.save(range, bound).await,
            None => Ok(()),
        }
    }

    async fn move_ahead(&self) -> Result<(), BoundError> {
        let now = Timestamp::from_ms(self.clock.now_ms()).0;
        for (range, floor) in [(&self.ids, 0), (&self.tso, now)] {
            if let Some(bound) = range.bound_ahead(floor) {
                self.save(range, bound).await?;
            }
        }
        Ok(())
    }

    async fn save(&self, range: &Ledger, bound: u64) -> Result<(), BoundError> {
        if !fault::planted(Planted::BoundNotStored) {
            self.store.save(range.name, bound).await?;
        }
        fault::reached(Point::BoundStored);
        range.bound_stored(bound);
        Ok(())
    }
}

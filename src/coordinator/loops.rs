//! The background loops, and the stop that ends them.
//!
//! Each loop calls one function of another file in an interval or on a notice, and ends with the token `stop`. A loop
//! must never hold work back at a stop: unfinished work is taken up at the next start.

use std::sync::Arc;

use tracing::warn;

use super::{Coordinator, ownership};

impl Coordinator {
    pub(super) fn run_loops(self: &Arc<Self>) {
        let (scheduler, stop) = (self.scheduler.clone(), self.stop.clone());
        let mut loops = vec![
            tokio::spawn(async move { scheduler.run(stop).await }),
            tokio::spawn(Arc::clone(self).run_flush_trigger()),
            tokio::spawn(Arc::clone(self).run_tick_trigger()),
            tokio::spawn(Arc::clone(self).run_timers()),
            tokio::spawn(Arc::clone(self).run_ownership()),
        ];
        if self.core.config.gc.enabled {
            loops.push(tokio::spawn(Arc::clone(self).run_gc()));
        }
        if !self.core.config.scrub.interval.is_zero() {
            loops.push(tokio::spawn(Arc::clone(self).run_scrub()));
        }
        self.loops.lock().append(&mut loops);
    }

    /// Collects garbage in a fixed interval.
    async fn run_gc(self: Arc<Self>) {
        #[expect(clippy::disallowed_methods, reason = "a background loop; tests move tokio's clock")]
        let mut tick = tokio::time::interval(self.core.config.gc.interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            if self.collect_garbage().await.is_err() {
                // It was logged; the next round goes on.
                continue;
            }
        }
    }

    /// Keeps the mark of the store. Once another process has the store, everything that writes ends: the background loops
    /// and the write path, whose waiting callers get an error. Reads of rows end too. Questions about definitions,
    /// segments and jobs are answered as before.
    async fn run_ownership(self: Arc<Self>) {
        let keeping = async {
            tokio::select! {
                biased;
                () = ownership::keep(Arc::clone(&self.core.ownership)) => {}
                () = self.core.fence.raised() => {}
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            () = keeping => {}
        }
        self.stop.cancel();
        self.write_path.stop().await;
    }

    /// Stops gracefully: no new work, running merges are given up (their plans resume at the next start), the log is
    /// synced, changes of the catalog that have begun are finished. Growing rows stay in the log.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        // Requests that the store has not answered are repeated after the next start.
        self.store_stop.cancel();
        self.end_watches();
        let loops = std::mem::take(&mut *self.loops.lock());
        for running in loops {
            if let Err(error) = running.await {
                warn!(%error, "a loop did not end cleanly");
            }
        }
        self.write_path.stop().await;
        // After the write path: a step may wait for a flush that ends with it.
        self.core.catalog.idle().await;
        self.core.bounds.stop().await;
    }
}

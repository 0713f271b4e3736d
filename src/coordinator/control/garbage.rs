//! Garbage collection on request, and its dry run.

use crate::{
    coordinator::{Collected, Coordinator, CoordinatorError, Garbage},
    error::Classify,
};

/// The objects that a round would collect, and those that it would leave.
#[derive(Debug, Clone, Default)]
pub struct GarbageReport {
    /// A round would collect these now.
    pub free: Collected,
    /// These stay for now.
    pub pinned: Collected,
    /// Pinned ones last; at most as many as were asked for.
    pub items: Vec<Garbage>,
}

impl Coordinator {
    /// One round, now. Runs also while garbage collection is switched off: the switch is for automatic rounds.
    pub async fn collect_garbage(&self) -> Result<Collected, CoordinatorError> {
        let gc = &self.core.metrics.gc;
        match self.core.collect_garbage(&*self.write_path).await {
            Ok(collected) => {
                gc.runs.with(["done"]).inc();
                gc.deleted_objects.inc_by(collected.files);
                gc.deleted_bytes.inc_by(collected.bytes);
                Ok(collected)
            }
            Err(error) => {
                gc.runs.with(["failed"]).inc();
                tracing::warn!(%error, kind = error.kind().as_str(), "garbage collection stopped half way; the next round goes on");
                Err(error)
            }
        }
    }

    /// Lists the garbage that [`Self::collect_garbage`] would find now. Deletes nothing.
    pub async fn inspect_garbage(&self, most: usize) -> Result<GarbageReport, CoordinatorError> {
        let mut found = self.core.find_garbage(&*self.write_path).await?;
        let mut report = GarbageReport::default();
        for garbage in &found {
            let sum = if garbage.pins.is_empty() { &mut report.free } else { &mut report.pinned };
            sum.segments += u64::from(garbage.object.is_none());
            sum.files += garbage.files;
            sum.bytes += garbage.bytes;
        }
        found.sort_by_key(|g| (!g.pins.is_empty(), g.segment));
        found.truncate(most);
        report.items = found;
        Ok(report)
    }
}

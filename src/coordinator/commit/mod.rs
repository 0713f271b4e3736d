//! Commits: the only place that changes which segments exist and which objects they name, except for garbage collection.
//!
//! Every commit has the same order: write files, name them in one catalog transaction, fold the change into memory, wake
//! the waiters. Commit and fold are one step ([`super::steps`]). A caller that is dropped before the step leaves files
//! that nothing names, as a crash would; once the step has begun, it finishes. The transaction carries the coordinator's
//! epoch (P6) and expects each input to be stored exactly as it was read (P2).
//!
//! [`flush`] commits segments and deletes of the write path, [`compaction`] the outcome of a merge,
//! [`index`] that of a build. The first two leave the choice of segments for a delete to [`super::deletes`].
//!
//! Must never: commit without the collection's turn, or let a reader see a part of a change.

mod compaction;
mod flush;
mod index;

use std::{collections::BTreeSet, sync::Arc};

pub use flush::FlushOutcome;

use super::{CollectionCell, Core};
use crate::model::{Group, Segment};

impl Core {
    /// Takes committed segments into memory, and has the planner look at their groups.
    pub(super) fn fold_and_raise(&self, cell: &CollectionCell, changed: Vec<Segment>) {
        let groups: BTreeSet<Arc<Group>> = changed.iter().map(|s| Arc::clone(&s.group)).collect();
        cell.fold(changed);
        for group in groups {
            self.flush_events.raise(Group::clone(&group));
        }
    }
}

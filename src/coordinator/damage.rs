//! Objects of live segments that work has found missing or unreadable.
//!
//! Only a memory for those who ask how the process is: nothing is decided by it. It must never hold more than a bounded
//! number of segments, or go on naming one that was replaced since or whose object is back.

use std::collections::{BTreeMap, btree_map::Entry};

use super::sync::Mutex;
use crate::model::{CollectionId, Segment, SegmentId};

/// Segments that are remembered at most. Whoever has more damage than that knows.
const MOST: usize = 1_000;

#[derive(Debug, Clone)]
struct Found {
    collection: CollectionId,
    /// Names the object.
    what: String,
}

#[derive(Debug, Default)]
pub(super) struct Damage {
    found: Mutex<BTreeMap<SegmentId, Found>>,
}

impl Damage {
    /// True if it was not known before.
    pub(super) fn note(&self, segment: &Segment, what: String) -> bool {
        let mut found = self.found.lock();
        let full = found.len() >= MOST;
        match found.entry(segment.id) {
            Entry::Occupied(mut known) => {
                known.get_mut().what = what;
                false
            }
            Entry::Vacant(new) if !full => {
                new.insert(Found { collection: segment.group.collection, what });
                true
            }
            Entry::Vacant(_) => true,
        }
    }

    /// The segment could be read.
    pub(super) fn mended(&self, segment: SegmentId) {
        self.found.lock().remove(&segment);
    }

    /// A sentence for each damaged segment that is still live; the others are forgotten.
    pub(super) fn reasons(&self, is_live: impl Fn(CollectionId, SegmentId) -> bool) -> Vec<String> {
        // Asked without the lock: the answer takes locks of its own.
        let all: Vec<(SegmentId, Found)> = self.found.lock().iter().map(|(id, found)| (*id, found.clone())).collect();
        let (live, gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|(id, found)| is_live(found.collection, *id));
        gone.iter().for_each(|(id, _)| self.mended(*id));
        live.into_iter().map(|(id, found)| format!("segment {id} is damaged: {}", found.what)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Channel, Group, PartitionId};

    fn segment(id: i64) -> Segment {
        let group = Group { collection: CollectionId(1), partition: PartitionId(2), channel: Channel::new("c") };
        Segment::new(SegmentId(id), Arc::new(group))
    }

    #[test]
    fn what_is_replaced_or_mended_is_no_damage_any_more() {
        let damage = Damage::default();
        assert!(damage.note(&segment(1), "object a".to_owned()));
        assert!(!damage.note(&segment(1), "object b".to_owned()), "known");
        damage.note(&segment(2), "object c".to_owned());
        damage.note(&segment(3), "object d".to_owned());
        damage.mended(SegmentId(3));
        let live = |_: CollectionId, id: SegmentId| id == SegmentId(1);
        assert_eq!(damage.reasons(live), ["segment 1 is damaged: object b"]);
        assert_eq!(damage.reasons(|_, _| true).len(), 1, "what is not live is forgotten");
    }

    #[test]
    fn no_more_than_a_bound_is_remembered() {
        let damage = Damage::default();
        for id in 0..2 * MOST as i64 {
            damage.note(&segment(id), "gone".to_owned());
        }
        assert_eq!(damage.reasons(|_, _| true).len(), MOST);
    }
}

//! Damaged objects of live segments, in one list: those that deletes found when they read key statistics, and those
//! that the scrubber found.
//!
//! A memory for the health report and the gauges. Must never decide anything, grow without a bound, or go on naming an
//! object that is back or whose segment was replaced.

use std::collections::BTreeMap;

use super::sync::Mutex;
use crate::{
    model::{CollectionId, Segment, SegmentId},
    storage::StorageError,
};

/// Objects that each of the two finders has remembered at most.
const MOST: usize = 1_000;
/// Objects of the scrubber that health names.
const MOST_NAMED: usize = 5;

/// One object and the reports of its finders, at least one.
#[derive(Debug, Clone)]
struct DamagedObject {
    collection: CollectionId,
    by_reading: Option<String>,
    by_scrubbing: Option<String>,
}

/// By segment and name of the object.
type Objects = BTreeMap<(SegmentId, String), DamagedObject>;

#[derive(Debug, Default)]
pub(super) struct Damage {
    found: Mutex<Objects>,
}

/// The name of the object that an error is about; empty if it names none.
fn object_of(error: &StorageError) -> &str {
    match error {
        StorageError::NotFound { object }
        | StorageError::Refused { object, .. }
        | StorageError::Object { object, .. }
        | StorageError::Damaged { object, .. } => object,
        _ => "",
    }
}

impl Damage {
    /// Notes that key statistics could not be read. True if this finder had not found damage in the segment before.
    pub(super) fn note_read(&self, segment: &Segment, error: &StorageError) -> bool {
        self.note_unreadable(segment, object_of(error), error.to_string())
    }

    fn note_unreadable(&self, segment: &Segment, object: &str, what: String) -> bool {
        let mut found = self.found.lock();
        let known = found.range(of_segment(segment.id)).any(|(key, o)| key.0 == segment.id && o.by_reading.is_some());
        if known {
            // One object for each segment: the statistics are read together, and the first bad one ends that.
            forget_read(&mut found, segment.id);
        } else if found.values().filter(|o| o.by_reading.is_some()).count() >= MOST {
            return true;
        }
        entry(&mut found, segment, object).by_reading = Some(what);
        !known
    }

    /// The key statistics of the segment could be read.
    pub(super) fn mended(&self, segment: SegmentId) {
        forget_read(&mut self.found.lock(), segment);
    }

    /// Notes an object that the scrubber found damaged. True if the scrubber had not found it before.
    pub(super) fn note_scrubbed(&self, segment: &Segment, object: &str, what: &str) -> bool {
        let mut found = self.found.lock();
        if found.get(&(segment.id, object.to_owned())).is_some_and(|o| o.by_scrubbing.is_some()) {
            return false;
        }
        if found.values().filter(|o| o.by_scrubbing.is_some()).count() < MOST {
            entry(&mut found, segment, object).by_scrubbing = Some(what.to_owned());
        }
        true
    }

    /// The scrubber found the object whole.
    pub(super) fn verified(&self, segment: SegmentId, object: &str) {
        let mut found = self.found.lock();
        if found.is_empty() {
            return;
        }
        let key = (segment, object.to_owned());
        if let Some(damaged) = found.get_mut(&key) {
            damaged.by_scrubbing = None;
            if damaged.by_reading.is_none() {
                found.remove(&key);
            }
        }
    }

    /// Objects that the scrubber has found and not seen whole since.
    pub(super) fn scrubbed(&self) -> usize {
        self.found.lock().values().filter(|o| o.by_scrubbing.is_some()).count()
    }

    /// Live segments whose key statistics could not be read.
    pub(super) fn unreadable(&self, is_live: impl Fn(CollectionId, SegmentId) -> bool) -> usize {
        self.live(is_live).values().filter(|o| o.by_reading.is_some()).count()
    }

    /// Objects of live segments. Those of other segments are forgotten.
    fn live(&self, is_live: impl Fn(CollectionId, SegmentId) -> bool) -> Objects {
        // Asked without the lock: the answer takes locks of its own.
        let all = self.found.lock().clone();
        let (live, gone): (Objects, Objects) = all.into_iter().partition(|(key, o)| is_live(o.collection, key.0));
        if !gone.is_empty() {
            self.found.lock().retain(|key, _| !gone.contains_key(key));
        }
        live
    }

    /// A sentence for each damaged object of a live segment. Of those that only the scrubber found, the first few are
    /// named and the others counted.
    pub(super) fn reasons(&self, is_live: impl Fn(CollectionId, SegmentId) -> bool) -> Vec<String> {
        let live = self.live(is_live);
        let sentence = |id: SegmentId, what: &str| format!("segment {id} is damaged: {what}");
        let mut reasons: Vec<String> =
            live.iter().filter_map(|(key, o)| Some(sentence(key.0, o.by_reading.as_ref()?))).collect();
        let only_scrubbed = || live.iter().filter(|(_, o)| o.by_reading.is_none());
        reasons.extend(
            only_scrubbed().take(MOST_NAMED).filter_map(|(key, o)| Some(sentence(key.0, o.by_scrubbing.as_ref()?))),
        );
        let more = only_scrubbed().count().saturating_sub(MOST_NAMED);
        if more > 0 {
            reasons.push(format!("{more} more objects are damaged: see the log"));
        }
        reasons
    }
}

/// Keys from the first object of a segment on.
fn of_segment(segment: SegmentId) -> std::ops::RangeFrom<(SegmentId, String)> {
    (segment, String::new())..
}

fn entry<'a>(found: &'a mut Objects, segment: &Segment, object: &str) -> &'a mut DamagedObject {
    let collection = segment.group.collection;
    let new = DamagedObject { collection, by_reading: None, by_scrubbing: None };
    found.entry((segment.id, object.to_owned())).or_insert(new)
}

fn forget_read(found: &mut Objects, segment: SegmentId) {
    let keys: Vec<_> =
        found.range(of_segment(segment)).map(|(key, _)| key.clone()).take_while(|key| key.0 == segment).collect();
    for key in keys {
        if let Some(damaged) = found.get_mut(&key) {
            damaged.by_reading = None;
            if damaged.by_scrubbing.is_none() {
                found.remove(&key);
            }
        }
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
    fn a_replaced_or_mended_object_is_no_damage_any_more() {
        let damage = Damage::default();
        assert!(damage.note_unreadable(&segment(1), "a", "object a".to_owned()));
        assert!(!damage.note_unreadable(&segment(1), "b", "object b".to_owned()), "known");
        damage.note_unreadable(&segment(2), "c", "object c".to_owned());
        damage.note_unreadable(&segment(3), "d", "object d".to_owned());
        damage.mended(SegmentId(3));
        let live = |_: CollectionId, id: SegmentId| id == SegmentId(1);
        assert_eq!(damage.reasons(live), ["segment 1 is damaged: object b"]);
        assert_eq!(damage.reasons(|_, _| true).len(), 1, "what is not live is forgotten");
    }

    #[test]
    fn no_more_than_a_bound_is_remembered() {
        let damage = Damage::default();
        for id in 0..2 * MOST as i64 {
            damage.note_unreadable(&segment(id), "", "gone".to_owned());
        }
        assert_eq!(damage.reasons(|_, _| true).len(), MOST);
    }

    #[test]
    fn an_object_that_both_have_found_is_named_once_until_both_have_seen_it_whole() {
        let damage = Damage::default();
        assert!(damage.note_unreadable(&segment(1), "a", "read".to_owned()));
        assert!(damage.note_scrubbed(&segment(1), "a", "scrubbed"));
        assert!(!damage.note_scrubbed(&segment(1), "a", "scrubbed"), "known");
        assert_eq!(damage.reasons(|_, _| true), ["segment 1 is damaged: read"]);
        damage.mended(SegmentId(1));
        assert_eq!(damage.reasons(|_, _| true), ["segment 1 is damaged: scrubbed"]);
        damage.verified(SegmentId(1), "a");
        assert_eq!((damage.reasons(|_, _| true), damage.scrubbed()), (vec![], 0));
        for n in 0..=MOST_NAMED {
            damage.note_scrubbed(&segment(2), &n.to_string(), "scrubbed");
        }
        let reasons = damage.reasons(|_, _| true);
        assert_eq!(reasons.len(), MOST_NAMED + 1);
        assert_eq!(reasons[MOST_NAMED], "1 more objects are damaged: see the log");
    }
}

//! Flush events: the groups that have changed since planning last looked at them, oldest first.
//!
//! Each group is in the queue at most once: ten changes before the look cause one look. Must never lose an event.

use std::collections::{HashSet, VecDeque};

use tokio::sync::Notify;

use super::sync::Mutex;
use crate::model::Group;

#[derive(Debug, Default)]
pub(super) struct FlushEvents {
    changed: Mutex<Changed>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Changed {
    order: VecDeque<Group>,
    members: HashSet<Group>,
}

impl FlushEvents {
    /// Marks a group as changed.
    pub(super) fn raise(&self, group: Group) {
        let mut changed = self.changed.lock();
        if changed.members.insert(group.clone()) {
            changed.order.push_back(group);
            self.notify.notify_one();
        }
    }

    /// The group that has waited longest; waits for one.
    ///
    /// Cancel safe: a group is taken only when it is returned.
    pub(super) async fn next(&self) -> Group {
        loop {
            let notified = self.notify.notified();
            if let Some(group) = self.take() {
                return group;
            }
            notified.await;
        }
    }

    fn take(&self) -> Option<Group> {
        let mut changed = self.changed.lock();
        let group = changed.order.pop_front()?;
        changed.members.remove(&group);
        Some(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channel, CollectionId, PartitionId};

    fn group(partition: i64) -> Group {
        Group { collection: CollectionId(1), partition: PartitionId(partition), channel: Channel::new("c_1v0") }
    }

    #[tokio::test]
    async fn a_group_is_looked_at_once_however_often_it_changed() {
        let events = FlushEvents::default();
        for partition in [1, 2, 1, 1] {
            events.raise(group(partition));
        }
        assert_eq!(events.next().await, group(1));
        events.raise(group(1));
        assert_eq!(events.next().await, group(2));
        assert_eq!(events.next().await, group(1));
        assert!(events.take().is_none());
    }
}

//! Plans that wait: round-robin over collections; inside a collection manual plans before automatic ones, higher priority
//! first. A held plan waits aside and keeps its place. Beside it the slots that plans wait for.
//!
//! A value: it has no clock, wakes no task and is locked by its owner. Every operation but [`FairQueue::remove_where`]
//! takes logarithmic time, however many collections have plans that are not due.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet, VecDeque, hash_map::Entry},
};

use crate::{
    fault::{self, Planted},
    model::{CollectionId, JobId, Plan, PlanId, PlanKind, PlanState, Trigger},
};

/// Manual before automatic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Class {
    Manual,
    Automatic,
}

/// A number for each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByClass {
    pub manual: usize,
    pub automatic: usize,
}

impl ByClass {
    pub fn total(&self) -> usize {
        self.manual + self.automatic
    }

    pub(super) fn of(&mut self, class: Class) -> &mut usize {
        match class {
            Class::Manual => &mut self.manual,
            Class::Automatic => &mut self.automatic,
        }
    }
}

/// A plan in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) plan: PlanId,
    pub(super) job: JobId,
    pub(super) collection: CollectionId,
    pub(super) kind: PlanKind,
    pub(super) class: Class,
    /// Greater is sooner, inside collection and class.
    pub(super) priority: i32,
    /// Executions begun so far.
    pub(super) attempts: u32,
    /// Milliseconds since 1970; 0: at once.
    pub(super) not_before_ms: u64,
}

impl Ticket {
    pub(super) fn of(plan: &Plan, trigger: Trigger, priority: i32) -> Self {
        Self {
            plan: plan.id,
            job: plan.job,
            collection: plan.group.collection,
            kind: plan.kind,
            class: if trigger == Trigger::Manual { Class::Manual } else { Class::Automatic },
            priority,
            attempts: plan.attempts,
            not_before_ms: match plan.state {
                PlanState::Queued { not_before_ms } => not_before_ms,
                _ => 0,
            },
        }
    }
}

/// Which plans wait until further notice. The default holds none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueHold {
    pub everything: bool,
    /// All automatic plans.
    pub automatic: bool,
    pub collections: HashSet<CollectionId>,
    pub jobs: HashSet<JobId>,
}

impl QueueHold {
    fn covers(&self, ticket: &Ticket) -> bool {
        self.everything
            || (self.automatic && ticket.class == Class::Automatic)
            || self.collections.contains(&ticket.collection)
            || self.jobs.contains(&ticket.job)
    }
}

/// Order inside a collection: class, urgency, arrival.
type QueueRank = (Class, Reverse<i32>, u64);

#[derive(Debug, Clone, Copy)]
enum TicketPlace {
    Ready(CollectionId, QueueRank),
    Delayed(u64, u64),
    Held(u64),
}

#[derive(Debug, Default)]
pub(super) struct FairQueue {
    /// Tickets that are due. A collection in `ring` has a lane, which may have been emptied by cancelling.
    lanes: HashMap<CollectionId, BTreeMap<QueueRank, Ticket>>,
    /// Whose turn it is; each collection with a lane once.
    ring: VecDeque<CollectionId>,
    /// By due time and arrival.
    delayed: BTreeMap<(u64, u64), Ticket>,
    held: QueueHold,
    /// Tickets that `held` covers, by arrival.
    aside: BTreeMap<u64, Ticket>,
    places: HashMap<PlanId, TicketPlace>,
    arrivals: u64,
    waiting: ByClass,
}

impl FairQueue {
    /// Adds a plan; one that waits already keeps its place.
    pub(super) fn push(&mut self, ticket: Ticket) {
        let Entry::Vacant(place) = self.places.entry(ticket.plan) else { return };
        self.arrivals += 1;
        *self.waiting.of(ticket.class) += 1;
        if self.held.covers(&ticket) {
            place.insert(TicketPlace::Held(self.arrivals));
            self.aside.insert(self.arrivals, ticket);
            return;
        }
        let key = (ticket.not_before_ms, self.arrivals);
        place.insert(TicketPlace::Delayed(key.0, key.1));
        self.delayed.insert(key, ticket);
    }

    /// Holds exactly these from now on. Plans that are no longer held go back to the place they arrived at.
    pub(super) fn hold(&mut self, held: QueueHold) {
        self.held = held;
        let aside = std::mem::take(&mut self.aside);
        let ready = self.lanes.values().flat_map(BTreeMap::values).chain(self.delayed.values());
        let taken: Vec<PlanId> = ready.filter(|t| self.held.covers(t)).map(|t| t.plan).collect();
        for plan in taken {
            let (arrival, ticket) = match self.places.get(&plan) {
                Some(TicketPlace::Ready(collection, rank)) => {
                    (rank.2, self.lanes.get_mut(collection).and_then(|lane| lane.remove(rank)))
                }
                Some(TicketPlace::Delayed(due, arrival)) => (*arrival, self.delayed.remove(&(*due, *arrival))),
                Some(TicketPlace::Held(_)) | None => continue,
            };
            if let Some(ticket) = ticket {
                self.places.insert(plan, TicketPlace::Held(arrival));
                self.aside.insert(arrival, ticket);
            }
        }
        for (arrival, ticket) in aside {
            if self.held.covers(&ticket) {
                self.aside.insert(arrival, ticket);
            } else {
                self.places.insert(ticket.plan, TicketPlace::Delayed(ticket.not_before_ms, arrival));
                self.delayed.insert((ticket.not_before_ms, arrival), ticket);
            }
        }
    }

    pub(super) fn held(&self) -> &QueueHold {
        &self.held
    }

    /// Takes the next plan that is due.
    pub(super) fn pop(&mut self, now_ms: u64) -> Option<Ticket> {
        self.promote(now_ms);
        while let Some(collection) = self.ring.pop_front() {
            let Some(lane) = self.lanes.get_mut(&collection) else { continue };
            let next = lane.pop_first();
            if lane.is_empty() {
                self.lanes.remove(&collection);
            } else if fault::planted(Planted::TurnKept) {
                self.ring.push_front(collection);
            } else {
                self.ring.push_back(collection);
            }
            if let Some((_, ticket)) = next {
                self.places.remove(&ticket.plan);
                *self.waiting.of(ticket.class) -= 1;
                return Some(ticket);
            }
        }
        None
    }

    /// When the next plan becomes due; 0 if one is.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        if self.lanes.values().any(|lane| !lane.is_empty()) {
            return Some(0);
        }
        self.delayed.keys().next().map(|(due, _)| *due)
    }

    pub(super) fn remove(&mut self, plan: PlanId) -> Option<Ticket> {
        let ticket = match self.places.remove(&plan)? {
            TicketPlace::Ready(collection, rank) => self.lanes.get_mut(&collection)?.remove(&rank)?,
            TicketPlace::Delayed(due, arrival) => self.delayed.remove(&(due, arrival))?,
            TicketPlace::Held(arrival) => self.aside.remove(&arrival)?,
        };
        *self.waiting.of(ticket.class) -= 1;
        Some(ticket)
    }

    /// Removes all plans of a job or a collection.
    pub(super) fn remove_where(&mut self, which: impl Fn(&Ticket) -> bool) -> Vec<PlanId> {
        let ready = self.lanes.values().flat_map(BTreeMap::values);
        let waiting = ready.chain(self.delayed.values()).chain(self.aside.values());
        let mut plans: Vec<PlanId> = waiting.filter(|t| which(t)).map(|t| t.plan).collect();
        plans.sort_unstable();
        for plan in &plans {
            self.remove(*plan);
        }
        plans
    }

    /// Plans that wait, due or not, held or not.
    pub(super) fn waiting(&self) -> ByClass {
        self.waiting
    }

    fn promote(&mut self, now_ms: u64) {
        while let Some(first) = self.delayed.first_entry() {
            if first.key().0 > now_ms {
                return;
            }
            let ((_, arrival), ticket) = first.remove_entry();
            let class = match ticket.class {
                Class::Manual if fault::planted(Planted::RequestsLast) => Class::Automatic,
                Class::Automatic if fault::planted(Planted::RequestsLast) => Class::Manual,
                class => class,
            };
            let (collection, rank) = (ticket.collection, (class, Reverse(ticket.priority), arrival));
            self.places.insert(ticket.plan, TicketPlace::Ready(collection, rank));
            let lane = self.lanes.entry(collection).or_insert_with(|| {
                self.ring.push_back(collection);
                BTreeMap::new()
            });
            lane.insert(rank, ticket);
        }
    }
}

/// A fixed number of places, at least one.
#[derive(Debug)]
pub(super) struct Slots {
    limit: usize,
    taken: usize,
}

impl Slots {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), taken: 0 }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn has_free(&self) -> bool {
        self.taken < self.limit
    }

    /// False, and nothing taken, if all are.
    pub(super) fn take(&mut self) -> bool {
        let free = self.has_free();
        self.taken += usize::from(free);
        free
    }

    pub(super) fn give_back(&mut self) {
        if !fault::planted(Planted::SlotLeaked) {
            self.taken = self.taken.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticket(plan: i64, collection: i64, class: Class, not_before_ms: u64) -> Ticket {
        Ticket {
            plan: PlanId(plan),
            job: JobId(plan / 100),
            collection: CollectionId(collection),
            kind: PlanKind::Mix,
            class,
            priority: 0,
            attempts: 0,
            not_before_ms,
        }
    }

    fn drain(queue: &mut FairQueue, now_ms: u64) -> Vec<i64> {
        std::iter::from_fn(|| queue.pop(now_ms)).map(|t| t.plan.0).collect()
    }

    #[test]
    fn a_thousand_plans_of_one_collection_delay_another_by_one() {
        let mut queue = FairQueue::default();
        for plan in 0..1000 {
            queue.push(ticket(plan, 1, Class::Automatic, 0));
        }
        assert_eq!(queue.pop(0).map(|t| t.plan), Some(PlanId(0)));
        queue.push(ticket(5000, 2, Class::Automatic, 0));
        queue.push(ticket(5001, 2, Class::Automatic, 0));
        let next: Vec<i64> = (0..4).filter_map(|_| queue.pop(0)).map(|t| t.plan.0).collect();
        assert_eq!(next, [1, 5000, 2, 5001]);
    }

    #[test]
    fn manual_first_then_arrival() {
        let mut queue = FairQueue::default();
        for (plan, class) in [(1, Class::Automatic), (2, Class::Automatic), (3, Class::Manual), (4, Class::Manual)] {
            queue.push(ticket(plan, 1, class, 0));
        }
        assert_eq!(queue.waiting(), ByClass { manual: 2, automatic: 2 });
        assert_eq!(drain(&mut queue, 0), [3, 4, 1, 2]);
        assert_eq!(queue.waiting(), ByClass::default());
    }

    #[test]
    fn not_before_its_time() {
        let mut queue = FairQueue::default();
        queue.push(ticket(1, 1, Class::Manual, 50));
        queue.push(ticket(2, 1, Class::Automatic, 40));
        assert_eq!((queue.pop(39), queue.next_due_ms()), (None, Some(40)));
        assert_eq!(queue.pop(40).map(|t| t.plan), Some(PlanId(2)));
        assert_eq!(queue.next_due_ms(), Some(50));
        assert_eq!(drain(&mut queue, 50), [1]);
        assert_eq!(queue.next_due_ms(), None);
    }

    #[test]
    fn the_more_urgent_first_but_never_before_requests() {
        let mut queue = FairQueue::default();
        for (plan, class, priority) in [
            (1, Class::Manual, 0),
            (2, Class::Manual, 5),
            (3, Class::Manual, -1),
            (4, Class::Automatic, 9),
            (5, Class::Manual, 5),
        ] {
            queue.push(Ticket { priority, ..ticket(plan, 1, class, 0) });
        }
        assert_eq!(drain(&mut queue, 0), [2, 5, 1, 3, 4]);
    }

    #[test]
    fn held_plans_wait_and_keep_their_place() {
        let mut queue = FairQueue::default();
        let of = |collections: &[i64], jobs: &[i64]| QueueHold {
            collections: collections.iter().copied().map(CollectionId).collect(),
            jobs: jobs.iter().copied().map(JobId).collect(),
            ..QueueHold::default()
        };
        queue.push(ticket(100, 1, Class::Manual, 0));
        queue.push(ticket(200, 1, Class::Manual, 0));
        queue.push(ticket(300, 2, Class::Automatic, 0));
        assert_eq!(queue.pop(0).map(|t| t.plan), Some(PlanId(100)));
        queue.hold(of(&[1], &[]));
        queue.push(ticket(101, 1, Class::Manual, 0));
        assert_eq!((drain(&mut queue, 0), queue.next_due_ms(), queue.waiting().total()), (vec![300], None, 2));
        queue.push(ticket(201, 1, Class::Manual, 70));
        queue.hold(of(&[], &[1]));
        assert_eq!((drain(&mut queue, 0), queue.next_due_ms()), (vec![200], Some(70)));
        queue.hold(QueueHold { everything: true, ..QueueHold::default() });
        assert_eq!((drain(&mut queue, 99), queue.next_due_ms(), queue.waiting().total()), (vec![], None, 2));
        assert_eq!(queue.remove(PlanId(101)).map(|t| t.plan), Some(PlanId(101)));
        queue.push(ticket(400, 1, Class::Automatic, 0));
        queue.hold(QueueHold { automatic: true, ..QueueHold::default() });
        assert_eq!(drain(&mut queue, 99), [201]);
        queue.hold(QueueHold::default());
        assert_eq!(drain(&mut queue, 99), [400]);
        assert_eq!(queue.waiting(), ByClass::default());
    }

    #[test]
    fn a_waiting_plan_is_not_added_again() {
        let mut queue = FairQueue::default();
        queue.push(ticket(1, 1, Class::Manual, 0));
        queue.push(ticket(1, 1, Class::Manual, 7));
        assert_eq!(queue.waiting().total(), 1);
        assert_eq!(drain(&mut queue, 0), [1]);
    }

    #[test]
    fn removes_by_plan_job_and_collection() {
        let mut queue = FairQueue::default();
        for plan in [100, 101, 200, 201] {
            queue.push(ticket(plan, plan % 2, Class::Manual, (plan as u64 / 200) * 50));
        }
        assert_eq!(queue.pop(0).map(|t| t.plan), Some(PlanId(100)));
        assert_eq!(queue.remove(PlanId(101)).map(|t| t.plan), Some(PlanId(101)));
        assert_eq!(queue.remove(PlanId(101)), None);
        assert_eq!(queue.remove_where(|t| t.collection == CollectionId(1)), [PlanId(201)]);
        assert_eq!(queue.remove_where(|t| t.job == JobId(2)), [PlanId(200)]);
        assert_eq!((queue.waiting().total(), queue.pop(99), queue.next_due_ms()), (0, None, None));
    }

    proptest! {
        /// However pushes, pops and removals mix, nothing is lost or given out twice, and between two plans of one
        /// collection every other collection that has a plan gets a turn.
        #[test]
        fn fair_and_complete(steps in prop::collection::vec((0u8..5, 0i64..4, any::<bool>(), 0u64..5), 1..120)) {
            let mut queue = FairQueue::default();
            let mut waiting: HashMap<i64, i64> = HashMap::new();
            // For each waiting collection: the collections served since its last turn or its arrival.
            let mut served: HashMap<i64, HashSet<i64>> = HashMap::new();
            for (step, (action, collection, manual, due)) in steps.into_iter().enumerate() {
                let plan = step as i64;
                if action < 2 {
                    let class = if manual { Class::Manual } else { Class::Automatic };
                    // Everything is due: `due` only mixes the order of arrival.
                    queue.push(ticket(plan, collection, class, due));
                    waiting.insert(plan, collection);
                    served.entry(collection).or_default();
                } else if action == 2 {
                    let Some(ticket) = queue.pop(10) else { prop_assert!(waiting.is_empty()); continue };
                    let turn = ticket.collection.0;
                    prop_assert_eq!(waiting.remove(&ticket.plan.0), Some(turn));
                    served.retain(|c, _| waiting.values().any(|w| w == c));
                    for (other, seen) in served.iter_mut().filter(|(c, _)| **c != turn) {
                        prop_assert!(seen.insert(turn), "{turn} twice while {other} waits");
                    }
                    served.entry(turn).and_modify(HashSet::clear);
                } else if action == 4 {
                    // Held and let go: nothing is lost, and only the turns begin anew.
                    queue.hold(QueueHold { collections: [CollectionId(collection)].into(), ..QueueHold::default() });
                    queue.hold(QueueHold { automatic: manual, ..QueueHold::default() });
                    queue.hold(QueueHold::default());
                    served.values_mut().for_each(HashSet::clear);
                } else if let Some(plan) = waiting.keys().min().copied() {
                    prop_assert_eq!(queue.remove(PlanId(plan)).map(|t| t.plan.0), Some(plan));
                    waiting.remove(&plan);
                    served.retain(|c, _| waiting.values().any(|w| w == c));
                }
                prop_assert_eq!(queue.waiting().total(), waiting.len());
            }
        }
    }

    #[test]
    fn never_more_than_the_limit() {
        let mut slots = Slots::new(2);
        assert_eq!([slots.take(), slots.take(), slots.take()], [true, true, false]);
        slots.give_back();
        assert_eq!([slots.take(), slots.take()], [true, false]);
    }

    #[test]
    fn there_is_always_one() {
        assert_eq!([Slots::new(0).take(), Slots::new(0).has_free()], [true, true]);
    }
}

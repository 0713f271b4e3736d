//! The steps of plans, deletes, garbage collection and readers.

use super::{
    rules::Protocol,
    state::{ATTEMPTS, Collector, Content, DeltaFlush, Plan, Reader, Run, Segments, Worker, World},
    steps::Act,
};

impl Protocol {
    fn output(&self, run: &Run, plan: usize, attempt: u8) -> Segments {
        // A copy of a catalog has a copy of its bound of ids.
        let ids_of = if self.rules.own_ids { run.number - 1 } else { 0 };
        Segments::output(ids_of, plan, attempt)
    }

    pub(super) fn make(&self, world: &mut World, c: usize, plan: usize) -> Option<()> {
        let (memory, inputs) = (&world.runs[c].memory, self.plans[plan]);
        let mut others = self.plans.iter().zip(memory.plans);
        let is_reserved = others.any(|(other, state)| state.is_unfinished() && other.meets(inputs));
        if !memory.live.has(inputs) || (is_reserved && self.rules.reservation) {
            return None;
        }
        self.transact(world, c, |content| content.plans[plan] = Plan::Queued { attempts: 0 })
    }

    pub(super) fn begin(&self, world: &mut World, c: usize, w: usize, plan: usize) -> Option<()> {
        let (memory, inputs) = (&world.runs[c].memory, self.plans[plan]);
        let Plan::Queued { attempts } = memory.plans[plan] else { return None };
        if !memory.live.has(inputs) {
            return self.transact(world, c, |content| content.plans[plan] = Plan::Failed);
        }
        let (attempt, read_delete) = (attempts + 1, memory.hit.meets(inputs));
        self.transact(world, c, |content| content.plans[plan] = Plan::Executing { attempt })?;
        if world.runs[c].is_up() {
            world.runs[c].workers[w] = Worker::Working { plan, attempt, read_delete };
        }
        Some(())
    }

    pub(super) fn write(&self, world: &mut World, c: usize, w: usize) -> Option<()> {
        let run = &mut world.runs[c];
        let (plan, attempt, next) = match run.workers[w] {
            Worker::Working { plan, attempt, read_delete } => {
                (plan, attempt, Worker::Written { plan, attempt, read_delete })
            }
            Worker::Late { plan, attempt, read_delete, written: false } => {
                (plan, attempt, Worker::Late { plan, attempt, read_delete, written: true })
            }
            _ => return None,
        };
        run.workers[w] = next;
        let object = self.output(&world.runs[c], plan, attempt);
        world.seen.overwritten |= world.objects.has(object);
        world.objects = world.objects.with(object);
        world.old = world.old.without(object);
        Some(())
    }

    pub(super) fn hang(&self, world: &mut World, c: usize, w: usize) -> Option<()> {
        let (plan, attempt, read_delete, written) = match world.runs[c].workers[w] {
            Worker::Working { plan, attempt, read_delete } => (plan, attempt, read_delete, false),
            Worker::Written { plan, attempt, read_delete } => (plan, attempt, read_delete, true),
            _ => return None,
        };
        world.budget.hangs = world.budget.hangs.checked_sub(1)?;
        let next = if attempt < ATTEMPTS { Plan::Queued { attempts: attempt } } else { Plan::Failed };
        self.transact(world, c, |content| content.plans[plan] = next)?;
        if world.runs[c].is_up() {
            world.runs[c].workers[w] = Worker::Late { plan, attempt, read_delete, written };
        }
        Some(())
    }

    /// The commit takes the collection's turn, checks the plan once more, and looks at the mark.
    pub(super) fn look_for_commit(&self, world: &mut World, c: usize, w: usize) -> Option<()> {
        let run = &world.runs[c];
        let (plan, attempt, read_delete) = match run.workers[w] {
            Worker::Written { plan, attempt, read_delete } | Worker::Working { plan, attempt, read_delete } => {
                (plan, attempt, read_delete)
            }
            Worker::Late { plan, attempt, read_delete, written: true } if !self.rules.attempt_check => {
                (plan, attempt, read_delete)
            }
            _ => return None,
        };
        if run.is_committing() && self.rules.commit_turns {
            return None;
        }
        let inputs = self.plans[plan];
        if !run.memory.live.has(inputs) && self.rules.input_guard {
            world.runs[c].workers[w] = Worker::Idle;
            return self.transact(world, c, |content| content.plans[plan] = Plan::Failed);
        }
        let seen_hit = run.memory.hit.and(inputs);
        if self.rules.look_before_commit && !self.look(world, c) {
            return Some(());
        }
        let run = &mut world.runs[c];
        run.has_committed |= !self.rules.due_after_commit;
        run.workers[w] = Worker::Looked { plan, attempt, read_delete, seen_hit };
        if self.rules.instant_commit { self.commit(world, c, w, true) } else { Some(()) }
    }

    pub(super) fn commit(&self, world: &mut World, c: usize, w: usize, is_answered: bool) -> Option<()> {
        let Worker::Looked { plan, attempt, read_delete, seen_hit } = world.runs[c].workers[w] else { return None };
        let (inputs, output) = (self.plans[plan], self.output(&world.runs[c], plan, attempt));
        let stored = self.stored(world, c)?;
        let as_read = stored.live.has(inputs) && stored.hit.and(inputs) == seen_hit;
        let has_store = world.runs[c].owns(world.mark);
        world.runs[c].workers[w] = Worker::Idle;
        if !as_read && self.rules.input_guard {
            return self.transact(world, c, |content| content.plans[plan] = Plan::Failed);
        }
        let is_late = !seen_hit.is_empty() && !read_delete && self.rules.carry_over;
        let add_outputs = |content: &mut Content| {
            content.live = content.live.with(output);
            content.hit = if is_late { content.hit.with(output) } else { content.hit };
            content.clean = if read_delete { content.clean.with(output) } else { content.clean };
            content.history = content.history.with(output);
        };
        let change = |content: &mut Content| {
            add_outputs(content);
            content.live = content.live.without(inputs);
            content.dropped = content.dropped.with(inputs);
            content.plans[plan] = Plan::Completed;
        };
        match (is_answered, self.rules.one_transaction) {
            (true, true) => self.transact(world, c, change)?,
            // The inputs would follow in a second transaction.
            (true, false) => self.transact(world, c, add_outputs)?,
            (false, _) => self.transact_unanswered(world, c, change)?,
        }
        let run = &mut world.runs[c];
        if run.is_up() {
            run.has_committed |= self.rules.due_after_commit;
            world.seen.commit_without_store |= !has_store;
            if has_store {
                world.committed = world.committed.with(output);
            }
        }
        Some(())
    }

    // --- a delete

    pub(super) fn write_delta(&self, world: &mut World, c: usize) -> Option<()> {
        let run = &world.runs[c];
        if run.memory.deleted || (run.is_committing() && self.rules.commit_turns) {
            return None;
        }
        world.budget.deletes = world.budget.deletes.checked_sub(1)?;
        let target = run.memory.live.each().find(|s| s.rows(&self.plans).has(Segments::FIRST))?;
        if target == Segments::FIRST {
            world.objects = world.objects.with(Segments::DELTA);
        }
        world.runs[c].delta = DeltaFlush::Written(target);
        Some(())
    }

    pub(super) fn look_for_delta(&self, world: &mut World, c: usize) -> Option<()> {
        let DeltaFlush::Written(target) = world.runs[c].delta else { return None };
        if self.rules.look_before_commit && !self.look(world, c) {
            return Some(());
        }
        let run = &mut world.runs[c];
        run.has_committed |= !self.rules.due_after_commit;
        run.delta = DeltaFlush::Looked(target);
        Some(())
    }

    pub(super) fn commit_delta(&self, world: &mut World, c: usize) -> Option<()> {
        let DeltaFlush::Looked(target) = world.runs[c].delta else { return None };
        world.runs[c].delta = DeltaFlush::None;
        // A delete whose target has changed waits for the next flush.
        if self.rules.input_guard && !self.stored(world, c)?.live.has(target) {
            return Some(());
        }
        self.transact(world, c, |content| {
            content.hit = content.hit.with(target);
            content.deleted = true;
        })?;
        let run = &mut world.runs[c];
        run.has_committed |= run.is_up() && self.rules.due_after_commit;
        Some(())
    }

    /// A client drops a partition. Such changes don't look at the mark.
    pub(super) fn drop_rows(&self, world: &mut World, c: usize) -> Option<()> {
        let run = &world.runs[c];
        if run.is_committing() && self.rules.commit_turns {
            return None;
        }
        let segment = run.memory.live.each().find(|s| s.rows(&self.plans) == Segments::LAST)?;
        world.budget.drops = world.budget.drops.checked_sub(1)?;
        self.transact(world, c, |content| {
            content.live = content.live.without(segment);
            content.dropped = content.dropped.with(segment);
            content.removed = true;
            content.history = content.history.with(Segments::DROP);
        })?;
        let run = &mut world.runs[c];
        if run.is_up() {
            run.has_committed |= self.rules.due_after_drops;
            if run.owns(world.mark) {
                world.committed = world.committed.with(Segments::DROP);
            }
        }
        Some(())
    }

    // --- garbage

    pub(super) fn collect(&self, world: &mut World, c: usize, act: Act) -> Option<()> {
        let run = &world.runs[c];
        if run.is_unsure && self.rules.stop_when_unsure {
            return None;
        }
        let next = match (act, run.collector) {
            (Act::List, Collector::None) if !run.is_committing() || !self.rules.commit_turns => {
                Collector::Listing { names_delta: run.memory.named().has(Segments::DELTA) }
            }
            (Act::Find(object), Collector::None | Collector::Listing { .. }) => match self.find(world, run, object) {
                Some(is_dropped) => Collector::Found { object, is_dropped },
                // The listing ends.
                None => Collector::None,
            },
            (Act::LookToCollect, Collector::Found { object, is_dropped }) => {
                if self.rules.look_before_collecting && !self.look(world, c) {
                    return Some(());
                }
                Collector::Looked { object, is_dropped }
            }
            (Act::Delete, Collector::Looked { object, is_dropped }) => {
                let is_first = is_dropped && object == Segments::FIRST;
                let objects = object.with(if is_first { Segments::DELTA } else { Segments::NONE });
                world.objects = world.objects.without(objects);
                world.old = world.old.without(objects);
                world.seen.collected = true;
                if is_dropped { Collector::Deleted { segment: object } } else { Collector::None }
            }
            (Act::Forget, Collector::Deleted { segment }) => {
                self.transact(world, c, |content| {
                    content.dropped = content.dropped.without(segment);
                    content.dropped_long_ago = content.dropped_long_ago.without(segment);
                })?;
                Collector::None
            }
            _ => return None,
        };
        if world.runs[c].is_up() {
            world.runs[c].collector = next;
        }
        Some(())
    }

    /// Whether an object may go, and whether it is that of a dropped segment.
    fn find(&self, world: &World, run: &Run, object: Segments) -> Option<bool> {
        let memory = &run.memory;
        if memory.dropped.has(object) {
            let is_old = memory.dropped_long_ago.has(object) || !self.rules.tolerance;
            let is_pinned = run.pinned().meets(object) && self.rules.spare_pinned;
            let mut plans = self.plans.iter().zip(memory.plans);
            let is_input = plans.any(|(inputs, state)| state.is_unfinished() && inputs.meets(object));
            return (is_old && !is_pinned && !is_input).then_some(true);
        }
        let is_old = world.old.has(object) || !self.rules.tolerance;
        let is_named = match run.collector {
            Collector::Listing { names_delta } => names_delta,
            // With the commit's turn: a commit under way is seen whole, or has yet to begin.
            _ => memory.named().has(object) || (run.is_committing() && self.rules.commit_turns),
        };
        let is_in_flight = run.workers.iter().any(|worker| match *worker {
            Worker::Working { plan, attempt, .. }
            | Worker::Written { plan, attempt, .. }
            | Worker::Looked { plan, attempt, .. } => self.output(run, plan, attempt) == object,
            Worker::Idle | Worker::Late { .. } => false,
        });
        let is_spared = is_in_flight && self.rules.spare_attempts;
        (world.objects.has(object) && is_old && !is_named && !is_spared).then_some(false)
    }

    // --- readers

    pub(super) fn read(&self, world: &mut World, c: usize, act: Act) -> Option<()> {
        let run = &mut world.runs[c];
        run.reader = match (act, run.reader) {
            (Act::ReadList, Reader::None) => {
                world.budget.reads = world.budget.reads.checked_sub(1)?;
                Reader::Listed(run.memory.live)
            }
            (Act::ReadPin, Reader::Listed(list)) if self.rules.pin_then_look => Reader::Pinned(list),
            (Act::ReadPin, Reader::Listed(list)) => Reader::Reading(list),
            (Act::ReadCheck, Reader::Pinned(list)) if list == run.memory.live => Reader::Reading(list),
            (Act::ReadCheck, Reader::Pinned(_)) => Reader::Listed(run.memory.live),
            (Act::ReadEnd, Reader::Reading(_)) => {
                world.seen.read = true;
                Reader::Done
            }
            _ => return None,
        };
        Some(())
    }
}

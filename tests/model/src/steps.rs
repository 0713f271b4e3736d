//! The steps, as small as the protocol has them: between any two of them a process may die.
//!
//! A step that changes nothing, or that the protocol does not allow here, is no step.

use stateright::{Model, Property};

use super::{
    properties,
    rules::{Catalogs, Protocol},
    state::{
        ATTEMPTS, Catalog, Collector, Content, DeltaFlush, Mark, Phase, Plan, Reader, Run, Segments, Turn, WORKERS,
        Worker, World,
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The first catalog is copied, whether its coordinator runs or not.
    Copy,
    /// A tolerance passes.
    Time,
    Of(usize, Act),
}

/// A step of one coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Open,
    Judge,
    TakeOver,
    Note,
    Swap,
    Settle,
    Crash,
    Look,
    NoteTurn,
    SwapTurn,
    SettleTurn,
    Make(usize),
    Begin(usize, usize),
    Write(usize),
    Hang(usize),
    EndLate(usize),
    LookForCommit(usize),
    Commit(usize),
    CommitUnanswered(usize),
    WriteDelta,
    LookForDelta,
    CommitDelta,
    Drop,
    List,
    Find(Segments),
    LookToCollect,
    Delete,
    Forget,
    ReadList,
    ReadPin,
    ReadCheck,
    ReadEnd,
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let content = Content { live: Segments::INPUTS, ..Content::default() };
        let first = Catalog { content, ..Catalog::default() };
        vec![World {
            mark: Mark::default(),
            objects: Segments::INPUTS,
            old: Segments::NONE,
            catalogs: [Some(first), None],
            runs: Default::default(),
            started: 0,
            budget: self.budget,
            sealed: Segments::NONE,
            committed: Segments::NONE,
            seen: Default::default(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if self.catalogs == Catalogs::Copied && world.budget.copies > 0 {
            steps.push(Step::Copy);
        }
        steps.push(Step::Time);
        for (c, run) in world.runs.iter().enumerate().take(self.coordinators) {
            let mut may = |act| steps.push(Step::Of(c, act));
            match run.phase {
                Phase::Down => may(Act::Open),
                Phase::Opened => [Act::Judge, Act::TakeOver].into_iter().for_each(&mut may),
                Phase::Judged(_) => may(Act::Note),
                Phase::Noted(_) => may(Act::Swap),
                Phase::Swapped => may(Act::Settle),
                Phase::Up => self.acts_of_running(world, run, &mut may),
            }
            if run.phase != Phase::Down && world.budget.crashes > 0 {
                may(Act::Crash);
            }
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        match step {
            Step::Copy => {
                world.budget.copies -= 1;
                world.catalogs[1].clone_from(&before.catalogs[0]);
            }
            Step::Time => self.pass_time(&mut world)?,
            Step::Of(c, act) => {
                self.act(&mut world, c, act)?;
                // The workers are alike.
                world.runs[c].workers.sort_unstable();
            }
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}

impl Protocol {
    fn acts_of_running(&self, world: &World, run: &Run, may: &mut impl FnMut(Act)) {
        may(Act::Look);
        match run.turn {
            None if run.has_committed && self.rules.turns && run.mark.turn < world.budget.turns => may(Act::NoteTurn),
            None => {}
            Some(turn) if turn.swapped => may(Act::SettleTurn),
            Some(_) => may(Act::SwapTurn),
        }
        for plan in 0..self.plans_made {
            match run.memory.plans[plan] {
                Plan::Unmade => may(Act::Make(plan)),
                Plan::Queued { .. } if run.workers[0] == Worker::Idle => may(Act::Begin(0, plan)),
                _ => {}
            }
        }
        for (w, worker) in run.workers.iter().enumerate().take(WORKERS) {
            match worker {
                Worker::Idle => {}
                Worker::Working { .. } => {
                    may(Act::Write(w));
                    may(Act::Hang(w));
                    if !self.rules.files_first {
                        may(Act::LookForCommit(w));
                    }
                }
                Worker::Written { .. } => {
                    may(Act::LookForCommit(w));
                    may(Act::Hang(w));
                }
                Worker::Looked { .. } => {
                    may(Act::Commit(w));
                    may(Act::CommitUnanswered(w));
                }
                Worker::Late { written, .. } => {
                    may(if *written { Act::LookForCommit(w) } else { Act::Write(w) });
                    may(Act::EndLate(w));
                }
            }
        }
        match run.delta {
            DeltaFlush::None => may(Act::WriteDelta),
            DeltaFlush::Written(_) => may(Act::LookForDelta),
            DeltaFlush::Looked(_) => may(Act::CommitDelta),
        }
        may(Act::Drop);
        self.acts_of_collector(world, run, may);
        match run.reader {
            Reader::None => may(Act::ReadList),
            Reader::Listed(_) => may(Act::ReadPin),
            Reader::Pinned(_) => may(Act::ReadCheck),
            Reader::Reading(_) => may(Act::ReadEnd),
            Reader::Done => {}
        }
    }

    fn acts_of_collector(&self, world: &World, run: &Run, may: &mut impl FnMut(Act)) {
        match run.collector {
            Collector::None => {
                if self.budget.deletes > 0 {
                    may(Act::List);
                }
                let known = run.memory.dropped.with(world.objects.without(Segments::DELTA));
                known.without(run.memory.live).each().for_each(|object| may(Act::Find(object)));
            }
            Collector::Listing { .. } => may(Act::Find(Segments::DELTA)),
            Collector::Found { .. } => may(Act::LookToCollect),
            Collector::Looked { .. } => may(Act::Delete),
            Collector::Deleted { .. } => may(Act::Forget),
        }
    }

    fn catalog_of(&self, c: usize) -> usize {
        match self.catalogs {
            Catalogs::Shared => 0,
            Catalogs::Copied => c,
        }
    }

    /// Tolerances are hours; a look, a turn, a listing and a commit take seconds. So nothing of that is pending when a
    /// tolerance has passed, except in a process that has stopped for good.
    fn pass_time(&self, world: &mut World) -> Option<()> {
        let is_pending = |run: &Run| {
            let is_unaware = !run.owns(world.mark);
            let has_turn = self.rules.turns && (run.has_committed || run.turn.is_some()) && !run.is_unsure;
            let is_listing = matches!(run.collector, Collector::Listing { .. });
            run.is_up() && (is_unaware || has_turn || is_listing || run.is_committing())
        };
        if self.rules.tolerance_is_long && world.runs.iter().any(is_pending) {
            return None;
        }
        world.old = world.objects;
        let contents = world.catalogs.iter_mut().flatten().map(|catalog| &mut catalog.content);
        let memories = world.runs.iter_mut().map(|run| &mut run.memory);
        contents.chain(memories).for_each(|content| content.dropped_long_ago = content.dropped);
        Some(())
    }

    fn act(&self, world: &mut World, c: usize, act: Act) -> Option<()> {
        match act {
            Act::Open => self.open(world, c),
            Act::Judge => self.judge(world, c),
            Act::TakeOver => self.take_over(world, c),
            Act::Note => self.note(world, c),
            Act::Swap => self.swap(world, c),
            Act::Settle => self.settle(world, c),
            Act::Crash => {
                world.budget.crashes -= 1;
                world.runs[c] = Run::default();
                Some(())
            }
            Act::Look => {
                self.look(world, c);
                Some(())
            }
            Act::NoteTurn => self.note_turn(world, c),
            Act::SwapTurn => self.swap_turn(world, c),
            Act::SettleTurn => self.settle_turn(world, c),
            Act::Make(plan) => self.make(world, c, plan),
            Act::Begin(w, plan) => self.begin(world, c, w, plan),
            Act::Write(w) => self.write(world, c, w),
            Act::Hang(w) => self.hang(world, c, w),
            Act::EndLate(w) => {
                world.runs[c].workers[w] = Worker::Idle;
                Some(())
            }
            Act::LookForCommit(w) => self.look_for_commit(world, c, w),
            Act::Commit(w) => self.commit(world, c, w, true),
            Act::CommitUnanswered(w) => {
                world.budget.unanswered = world.budget.unanswered.checked_sub(1)?;
                self.commit(world, c, w, false)
            }
            Act::WriteDelta => self.write_delta(world, c),
            Act::LookForDelta => self.look_for_delta(world, c),
            Act::CommitDelta => self.commit_delta(world, c),
            Act::Drop => self.drop_rows(world, c),
            Act::List | Act::Find(_) | Act::LookToCollect | Act::Delete | Act::Forget => self.collect(world, c, act),
            Act::ReadList | Act::ReadPin | Act::ReadCheck | Act::ReadEnd => self.read(world, c, act),
        }
    }

    // --- the store's mark

    fn open(&self, world: &mut World, c: usize) -> Option<()> {
        world.budget.starts = world.budget.starts.checked_sub(1)?;
        let catalog = world.catalogs[self.catalog_of(c)].as_mut()?;
        catalog.epoch += 1;
        world.started += 1;
        world.runs[c] = Run {
            phase: Phase::Opened,
            number: world.started,
            epoch: catalog.epoch,
            memory: catalog.content.clone(),
            ..Run::default()
        };
        Some(())
    }

    fn judge(&self, world: &mut World, c: usize) -> Option<()> {
        if world.catalogs[self.catalog_of(c)].as_ref()?.knows(world.mark) || !self.rules.judge {
            world.runs[c].phase = Phase::Judged(world.mark);
        } else {
            world.runs[c] = Run::default();
            world.seen.refused = true;
        }
        Some(())
    }

    /// An operator names the foreign run on purpose.
    fn take_over(&self, world: &mut World, c: usize) -> Option<()> {
        if world.catalogs[self.catalog_of(c)].as_ref()?.knows(world.mark) {
            return None;
        }
        world.budget.take_overs = world.budget.take_overs.checked_sub(1)?;
        world.runs[c].phase = Phase::Judged(world.mark);
        Some(())
    }

    fn note(&self, world: &mut World, c: usize) -> Option<()> {
        let Phase::Judged(found) = world.runs[c].phase else { return None };
        let next = Mark { run: world.runs[c].number, turn: 0 };
        if self.rules.note_first && self.has_epoch(world, c) {
            let catalog = world.catalogs[self.catalog_of(c)].as_mut()?;
            // A mark that is replaced on purpose never becomes one's own.
            if catalog.knows(found) {
                catalog.settled = found;
            }
            catalog.intended.retain(|mark| *mark != found);
            catalog.intended.push(next);
        }
        if world.runs[c].phase != Phase::Down {
            world.runs[c].phase = Phase::Noted(found);
        }
        Some(())
    }

    fn swap(&self, world: &mut World, c: usize) -> Option<()> {
        let Phase::Noted(found) = world.runs[c].phase else { return None };
        if world.mark != found && self.rules.conditional_swap {
            world.runs[c] = Run::default();
            world.seen.refused = true;
            return Some(());
        }
        let catalog = world.catalogs[self.catalog_of(c)].as_ref()?;
        let history = catalog.content.history;
        if catalog.knows(found) {
            world.seen.lost_sealed |= !history.has(world.sealed);
            world.seen.lost_fresh |= !history.has(world.committed);
        } else if self.rules.judge {
            world.seen.taken_over = true;
        } else {
            world.seen.lost_sealed |= !history.has(world.sealed);
        }
        (world.sealed, world.committed) = (history, history);
        world.mark = Mark { run: world.runs[c].number, turn: 0 };
        world.runs[c].mark = world.mark;
        world.runs[c].phase = Phase::Swapped;
        Some(())
    }

    fn settle(&self, world: &mut World, c: usize) -> Option<()> {
        if !self.has_epoch(world, c) {
            return Some(());
        }
        let at = self.catalog_of(c);
        let (catalog, run) = (world.catalogs[at].as_mut()?, &mut world.runs[c]);
        (catalog.settled, catalog.intended) = (run.mark, Vec::new());
        run.phase = Phase::Up;
        // Interrupted attempts count.
        for content in [&mut catalog.content, &mut run.memory] {
            for plan in &mut content.plans {
                if let Plan::Executing { attempt } = *plan {
                    *plan = if attempt < ATTEMPTS { Plan::Queued { attempts: attempt } } else { Plan::Failed };
                }
            }
        }
        Some(())
    }

    /// True if the store is still this run's. Otherwise the run is fenced, and stops.
    pub(super) fn look(&self, world: &mut World, c: usize) -> bool {
        let is_ours = world.runs[c].owns(world.mark);
        if !is_ours {
            world.runs[c] = Run::default();
        }
        is_ours
    }

    fn note_turn(&self, world: &mut World, c: usize) -> Option<()> {
        if world.runs[c].is_unsure {
            return None;
        }
        if !self.look(world, c) || !self.has_epoch(world, c) {
            return Some(());
        }
        let (catalog, run) = (world.catalogs[self.catalog_of(c)].as_mut()?, &mut world.runs[c]);
        let next = Mark { turn: run.mark.turn + 1, ..run.mark };
        (catalog.settled, catalog.intended) = (run.mark, vec![next]);
        run.turn = Some(Turn { next, swapped: false, history: catalog.content.history });
        run.has_committed = false;
        Some(())
    }

    fn swap_turn(&self, world: &mut World, c: usize) -> Option<()> {
        let run = &mut world.runs[c];
        let turn = run.turn.as_mut()?;
        if world.mark != run.mark {
            *run = Run::default();
            return Some(());
        }
        turn.swapped = true;
        world.mark = turn.next;
        world.sealed = turn.history;
        Some(())
    }

    fn settle_turn(&self, world: &mut World, c: usize) -> Option<()> {
        if world.runs[c].is_unsure {
            return None;
        }
        if !self.has_epoch(world, c) {
            return Some(());
        }
        let (catalog, run) = (world.catalogs[self.catalog_of(c)].as_mut()?, &mut world.runs[c]);
        run.mark = run.turn.take()?.next;
        (catalog.settled, catalog.intended) = (run.mark, Vec::new());
        Some(())
    }

    // --- transactions

    /// Whether the epoch of a transaction holds. If not, its coordinator learns that it is superseded, and stops.
    fn has_epoch(&self, world: &mut World, c: usize) -> bool {
        let stored = world.catalogs[self.catalog_of(c)].as_ref().map(|catalog| catalog.epoch);
        if stored == Some(world.runs[c].epoch) {
            return true;
        }
        if self.rules.epoch_guard {
            world.runs[c] = Run::default();
            return false;
        }
        world.seen.commit_without_epoch = true;
        true
    }

    /// Changes the catalog, and then memory. None: memory may be behind, and nothing is changed any more.
    pub(super) fn transact(&self, world: &mut World, c: usize, change: impl Fn(&mut Content)) -> Option<()> {
        if world.runs[c].is_unsure && self.rules.stop_when_unsure {
            return None;
        }
        if self.has_epoch(world, c) {
            change(&mut world.catalogs[self.catalog_of(c)].as_mut()?.content);
            change(&mut world.runs[c].memory);
        }
        Some(())
    }

    /// The content that is stored now, which the guards of a transaction compare with.
    pub(super) fn stored<'a>(&self, world: &'a World, c: usize) -> Option<&'a Content> {
        Some(&world.catalogs[self.catalog_of(c)].as_ref()?.content)
    }

    /// Changes the catalog alone: the answer is lost.
    pub(super) fn transact_unanswered(&self, world: &mut World, c: usize, change: impl Fn(&mut Content)) -> Option<()> {
        if self.has_epoch(world, c) {
            change(&mut world.catalogs[self.catalog_of(c)].as_mut()?.content);
            world.runs[c].is_unsure = true;
        }
        Some(())
    }
}

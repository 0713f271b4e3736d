//! The rules of the protocol, each of which can be left out, and the scenarios: how much may happen.
//!
//! A rule that the model keeps without need would prove nothing: a test leaves each one out and finds a promise that breaks.

use super::state::{Budget, Segments};

/// How the coordinators differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Catalogs {
    /// Both work on one catalog, as if there were no lock of the file.
    Shared,
    /// The second one works on a copy of the first one's catalog.
    Copied,
}

/// `true`: the rule is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// A transaction carries the epoch of its coordinator.
    pub(crate) epoch_guard: bool,
    /// A commit expects its inputs to be stored as it has read them.
    pub(crate) input_guard: bool,
    /// A segment is reserved for one unfinished plan.
    pub(crate) reservation: bool,
    /// A late result of an attempt that was ended is refused.
    pub(crate) attempt_check: bool,
    /// Commits of a collection take turns.
    pub(crate) commit_turns: bool,
    /// Outputs, inputs and the plan change in one transaction.
    pub(crate) one_transaction: bool,
    /// Objects are written before they are named.
    pub(crate) files_first: bool,
    /// Deletes that reached an input after it was read go to the output.
    pub(crate) carry_over: bool,
    /// A start takes the store only if its catalog knows the mark.
    pub(crate) judge: bool,
    /// A catalog notes a mark before the store gets it.
    pub(crate) note_first: bool,
    /// The mark is replaced on the condition that it is still the one that was read.
    pub(crate) conditional_swap: bool,
    /// The mark takes another turn after commits.
    pub(crate) turns: bool,
    /// A turn is due after a commit, not after the look before it: a turn may overtake a commit.
    pub(crate) due_after_commit: bool,
    /// A turn is due after every change of segments, not after commits of outputs alone.
    pub(crate) due_after_drops: bool,
    /// The mark is read before a commit.
    pub(crate) look_before_commit: bool,
    /// The mark is read before garbage is deleted.
    pub(crate) look_before_collecting: bool,
    /// Garbage stays for a time.
    pub(crate) tolerance: bool,
    /// Garbage collection spares objects that an attempt is writing.
    pub(crate) spare_attempts: bool,
    /// Garbage collection spares segments that a reader has pinned.
    pub(crate) spare_pinned: bool,
    /// A reader pins, and then looks whether its list still holds.
    pub(crate) pin_then_look: bool,
    /// A coordinator that does not know whether a commit is stored changes and collects nothing more.
    pub(crate) stop_when_unsure: bool,
    /// Two runs never draw the same id.
    pub(crate) own_ids: bool,
    /// Assumed of the world: a tolerance lasts longer than looks, turns, listings and commits.
    pub(crate) tolerance_is_long: bool,
    /// Assumed of the world: nothing comes between the look at the mark and the commit.
    pub(crate) instant_commit: bool,
}

impl Rules {
    /// The protocol as it is.
    pub(crate) const ALL: Self = Self {
        epoch_guard: true,
        input_guard: true,
        reservation: true,
        attempt_check: true,
        commit_turns: true,
        one_transaction: true,
        files_first: true,
        carry_over: true,
        judge: true,
        note_first: true,
        conditional_swap: true,
        turns: true,
        due_after_commit: true,
        due_after_drops: true,
        look_before_commit: true,
        look_before_collecting: true,
        tolerance: true,
        spare_attempts: true,
        spare_pinned: true,
        pin_then_look: true,
        stop_when_unsure: true,
        own_ids: true,
        tolerance_is_long: true,
        instant_commit: false,
    };
}

/// A protocol in a world of a certain size.
#[derive(Debug, Clone)]
pub(crate) struct Protocol {
    pub(crate) rules: Rules,
    pub(crate) catalogs: Catalogs,
    /// Inputs of the two plans.
    pub(crate) plans: [Segments; 2],
    /// How many of them may be made.
    pub(crate) plans_made: usize,
    pub(crate) budget: Budget,
    /// Coordinators that may run.
    pub(crate) coordinators: usize,
}

/// A merge of segments 0 and 1, and a rewrite of segment 2: both workers have something to do.
pub(crate) const APART: [Segments; 2] = [Segments(0b011), Segments(0b100)];
/// Two merges that both want segment 1.
pub(crate) const RIVALS: [Segments; 2] = [Segments(0b011), Segments(0b110)];

impl Protocol {
    pub(crate) fn new(catalogs: Catalogs, plans: [Segments; 2], budget: Budget) -> Self {
        Self { rules: Rules::ALL, catalogs, plans, plans_made: 2, budget, coordinators: 2 }
    }

    /// Without some rules, or with another assumption.
    pub(crate) fn but(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(&mut self.rules);
        self
    }
}

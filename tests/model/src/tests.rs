//! All rules together, each rule left out, and the limits.

use std::{collections::BTreeSet, time::Instant};

use stateright::{Checker, HasDiscoveries, Model};

use super::{
    properties::*,
    rules::{APART, Catalogs, Protocol, RIVALS, Rules},
    state::Budget,
};

/// Both work on one catalog: the epoch alone keeps them apart.
fn shared() -> Protocol {
    Protocol::new(Catalogs::Shared, APART, Budget { starts: 2, turns: 1, ..Budget::default() })
}

/// A catalog and a copy that is taken at any moment: the mark keeps them apart.
fn copied() -> Protocol {
    Protocol::new(Catalogs::Copied, APART, Budget { starts: 2, copies: 1, turns: 1, ..Budget::default() })
}

/// The same, and a client drops a partition.
fn copied_with_a_drop() -> Protocol {
    let budget = Budget { starts: 2, copies: 1, turns: 1, drops: 1, ..Budget::default() };
    Protocol { plans_made: 1, ..Protocol::new(Catalogs::Copied, APART, budget) }
}

/// One coordinator that may crash anywhere, with a delete and a worker that hangs.
fn alone() -> Protocol {
    let budget = Budget { starts: 2, crashes: 1, hangs: 1, deletes: 1, ..Budget::default() };
    Protocol { coordinators: 1, ..Protocol::new(Catalogs::Shared, APART, budget) }
}

/// The same for plans that want the same segment.
fn rivals() -> Protocol {
    Protocol { plans: RIVALS, ..alone() }
}

/// One coordinator with a reader.
fn reading() -> Protocol {
    let budget = Budget { starts: 1, turns: 2, reads: 1, deletes: 1, ..Budget::default() };
    Protocol { coordinators: 1, ..Protocol::new(Catalogs::Shared, APART, budget) }
}

/// Visits every state. Fails if a property that must always hold does not, or one that must be seen is not.
#[track_caller]
fn holds(name: &str, protocol: Protocol, seen: &[&'static str]) {
    let began = Instant::now();
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    assert!(checker.is_done());
    println!("{name}: {} states in {:.1} s", checker.unique_state_count(), began.elapsed().as_secs_f64());
    for (property, _) in ALWAYS {
        if let Some(path) = checker.discovery(property) {
            panic!("{name}: {property}\n{:#?}", path.into_actions());
        }
    }
    for property in seen {
        assert!(checker.discovery(property).is_some(), "{name}: {property}");
    }
}

/// Looks for a counterexample, and fails if there is none.
#[track_caller]
fn breaks(protocol: Protocol, property: &'static str) {
    let began = Instant::now();
    let found = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = protocol.checker().threads(2).finish_when(found).spawn_bfs().join();
    let Some(path) = checker.discovery(property) else {
        panic!("{} states, and no counterexample to {property}", checker.unique_state_count());
    };
    let steps = path.into_actions();
    let (states, seconds) = (checker.unique_state_count(), began.elapsed().as_secs_f64());
    println!("{property} breaks after {} steps, {states} states, {seconds:.1} s: {steps:?}", steps.len());
}

// --- all rules

#[test]
fn one_coordinator_keeps_every_promise() {
    holds("one coordinator", alone(), &[BOTH_DONE, COLLECTED]);
}

#[test]
fn plans_that_want_one_segment_take_turns() {
    holds("rival plans", rivals(), &[COLLECTED]);
}

#[test]
fn a_reader_reads_its_pinned_segments() {
    holds("a reader", reading(), &[BOTH_DONE, COLLECTED, READ]);
}

#[test]
fn two_coordinators_on_one_catalog_keep_every_promise() {
    holds("one catalog", shared(), &[BOTH_DONE, COLLECTED]);
}

#[test]
fn a_catalog_and_its_copy_keep_every_promise() {
    holds("a catalog and its copy", copied(), &[BOTH_DONE, COLLECTED, REFUSED, MILLISECONDS, TEN_SECONDS]);
}

#[test]
fn a_copy_without_a_drop_names_nothing_that_is_collected() {
    holds("a drop and a copy", copied_with_a_drop(), &[COLLECTED, REFUSED, TEN_SECONDS]);
}

/// With crashes on both sides: minutes, for `make model`.
#[test]
#[ignore = "minutes"]
fn larger_worlds_keep_every_promise() {
    let budget = Budget { starts: 3, crashes: 1, turns: 1, ..Budget::default() };
    holds("one catalog and a crash", Protocol::new(Catalogs::Shared, APART, budget), &[BOTH_DONE, COLLECTED]);
    let budget = Budget { copies: 1, ..budget };
    let copied = Protocol::new(Catalogs::Copied, APART, budget);
    holds("a catalog, its copy and a crash", copied, &[BOTH_DONE, COLLECTED, REFUSED, MILLISECONDS, TEN_SECONDS]);
}

// --- limits

#[test]
fn a_commit_in_the_moment_of_its_look_is_the_owners() {
    let protocol = copied().but(|rules| rules.instant_commit = true);
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    assert!(checker.discovery(MILLISECONDS).is_none());
}

#[test]
fn a_catalog_that_is_forced_in_may_name_collected_objects() {
    let budget = Budget { starts: 3, copies: 1, turns: 1, take_overs: 1, ..Budget::default() };
    breaks(Protocol::new(Catalogs::Copied, APART, budget), FORCED);
}

#[test]
fn a_tolerance_shorter_than_a_turn_is_not_enough() {
    breaks(copied().but(|rules| rules.tolerance_is_long = false), KEPT);
}

// --- each rule left out

#[test]
fn without_the_epoch_guard() {
    breaks(shared().but(|rules| rules.epoch_guard = false), NEWEST_EPOCH);
    breaks(shared().but(|rules| rules.epoch_guard = false), DURABLE);
}

#[test]
fn without_input_guard_and_attempt_check() {
    let both = |rules: &mut Rules| (rules.input_guard, rules.attempt_check) = (false, false);
    breaks(alone().but(both), ATOMIC);
}

#[test]
fn without_input_guard_and_reservation() {
    let both = |rules: &mut Rules| (rules.input_guard, rules.reservation) = (false, false);
    breaks(rivals().but(both), ATOMIC);
}

#[test]
fn without_input_guard_and_commit_turns() {
    let both = |rules: &mut Rules| (rules.input_guard, rules.commit_turns) = (false, false);
    breaks(alone().but(both), DELETED);
}

/// Both are the second lock of a door.
#[test]
fn the_input_guard_is_enough_without_reservation_and_commit_turns() {
    let guard_alone = |rules: &mut Rules| (rules.reservation, rules.commit_turns) = (false, false);
    holds("the input guard alone", rivals().but(guard_alone), &[COLLECTED]);
}

/// The outputs of an attempt that was ended are garbage.
#[test]
fn without_the_attempt_check() {
    breaks(alone().but(|rules| rules.attempt_check = false), KEPT);
}

#[test]
fn without_one_transaction() {
    breaks(alone().but(|rules| rules.one_transaction = false), ATOMIC);
}

#[test]
fn without_files_first() {
    breaks(alone().but(|rules| rules.files_first = false), KEPT);
}

#[test]
fn without_carry_over() {
    breaks(alone().but(|rules| rules.carry_over = false), DELETED);
}

#[test]
fn without_the_judgement_of_a_start() {
    breaks(copied().but(|rules| rules.judge = false), SEALED);
}

#[test]
fn without_the_note_before_the_mark() {
    breaks(alone().but(|rules| rules.note_first = false), KNOWN);
}

#[test]
fn without_a_conditional_swap() {
    breaks(copied().but(|rules| rules.conditional_swap = false), SEALED);
}

#[test]
fn without_turns() {
    breaks(copied().but(|rules| rules.turns = false), KEPT);
}

#[test]
fn without_a_turn_after_a_commit_that_was_overtaken() {
    breaks(copied().but(|rules| rules.due_after_commit = false), KEPT);
}

#[test]
fn without_a_turn_after_a_drop() {
    breaks(copied_with_a_drop().but(|rules| rules.due_after_drops = false), KEPT);
}

#[test]
fn without_a_look_before_a_commit() {
    let instant = |rules: &mut Rules| (rules.instant_commit, rules.look_before_commit) = (true, false);
    breaks(copied().but(instant), MILLISECONDS);
}

#[test]
fn without_a_look_before_collecting() {
    breaks(copied().but(|rules| rules.look_before_collecting = false), KEPT);
}

#[test]
fn without_tolerance() {
    breaks(alone().but(|rules| rules.tolerance = false), KEPT);
}

#[test]
fn without_sparing_attempts() {
    breaks(alone().but(|rules| rules.spare_attempts = false), KEPT);
}

#[test]
fn without_sparing_pinned_segments() {
    breaks(reading().but(|rules| rules.spare_pinned = false), READABLE);
}

#[test]
fn without_a_look_after_the_pin() {
    breaks(reading().but(|rules| rules.pin_then_look = false), READABLE);
}

#[test]
fn without_a_stop_after_a_commit_that_has_no_answer() {
    let budget = Budget { starts: 2, crashes: 1, unanswered: 1, ..Budget::default() };
    let protocol = Protocol { coordinators: 1, ..Protocol::new(Catalogs::Shared, APART, budget) };
    holds("a commit without an answer", protocol.clone(), &[COLLECTED]);
    breaks(protocol.but(|rules| rules.stop_when_unsure = false), KEPT);
}

/// Ids follow the clock, so two runs share one only if the clock of the second start is behind.
#[test]
fn without_ids_of_its_own() {
    breaks(copied().but(|rules| rules.own_ids = false), WRITTEN_ONCE);
}

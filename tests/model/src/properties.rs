//! Conditions that must always hold, by the numbers of the promises in `src/lib.rs`, and conditions that must occur: a
//! search that never meets a refusal or a collected object has shown nothing.

use stateright::Property;

use super::{
    rules::Protocol,
    state::{Catalog, Plan, Segments, World},
};

pub(crate) const ATOMIC: &str = "P1, P2: every row is in exactly one live segment";
pub(crate) const DURABLE: &str = "P1: memory equals the catalog";
pub(crate) const DELETED: &str = "P4: a deleted row stays deleted";
pub(crate) const KEPT: &str = "P5: the store has the live objects of every catalog that may run";
pub(crate) const READABLE: &str = "P5: the store has every object that a reader reads";
pub(crate) const WRITTEN_ONCE: &str = "P5: no object is replaced";
pub(crate) const NEWEST_EPOCH: &str = "P6: only the newest epoch changes a catalog";
pub(crate) const ONE_OWNER: &str = "P6: one coordinator has the store";
pub(crate) const SEALED: &str = "P6: a start has every commit that a turn has sealed";
pub(crate) const KNOWN: &str = "P6: some catalog knows the mark";

/// Limits that docs/design.md states: they do happen.
pub(crate) const MILLISECONDS: &str = "limit: a commit between the look at the mark and a new owner's start";
pub(crate) const TEN_SECONDS: &str = "limit: a copy starts without the commits since the last turn";
pub(crate) const FORCED: &str = "limit: a catalog that is forced in names objects that were collected";

pub(crate) const BOTH_DONE: &str = "seen: both plans complete";
pub(crate) const REFUSED: &str = "seen: a start is refused";
pub(crate) const READ: &str = "seen: a reader ends";
pub(crate) const COLLECTED: &str = "seen: garbage is collected";

type Condition = fn(&Protocol, &World) -> bool;

/// All properties that hold in every scenario.
pub(crate) const ALWAYS: &[(&str, Condition)] = &[
    (ATOMIC, |protocol, world| catalogs(world).all(|catalog| has_each_row_once(protocol, catalog))),
    (DURABLE, |protocol, world| {
        world.runs.iter().enumerate().filter(|(_, run)| run.is_up() && !run.is_unsure).all(|(c, run)| {
            let at = if protocol.catalogs == super::rules::Catalogs::Shared { 0 } else { c };
            let current = world.catalogs[at].as_ref().filter(|catalog| catalog.epoch == run.epoch);
            current.is_none_or(|catalog| catalog.content == run.memory)
        })
    }),
    (DELETED, |protocol, world| {
        catalogs(world).map(|catalog| &catalog.content).filter(|content| content.deleted).all(|content| {
            let mut holders = content.live.each().filter(|s| s.rows(&protocol.plans).has(Segments::FIRST));
            holders.all(|segment| content.hit.has(segment) || content.clean.has(segment))
        })
    }),
    (KEPT, |_, world| world.seen.taken_over || !names_lost_objects(world)),
    (READABLE, |_, world| {
        world.seen.taken_over
            || world.runs.iter().all(|run| match run.reader {
                super::state::Reader::Reading(segments) => world.objects.has(segments),
                _ => true,
            })
    }),
    (WRITTEN_ONCE, |_, world| !world.seen.overwritten),
    (NEWEST_EPOCH, |_, world| !world.seen.commit_without_epoch),
    (ONE_OWNER, |_, world| world.runs.iter().filter(|run| run.is_up() && run.owns(world.mark)).count() <= 1),
    (SEALED, |_, world| !world.seen.lost_sealed),
    (KNOWN, |_, world| catalogs(world).any(|catalog| catalog.knows(world.mark))),
];

const SOMETIMES: &[(&str, Condition)] = &[
    (BOTH_DONE, |_, world| catalogs(world).any(|catalog| catalog.content.plans == [Plan::Completed; 2])),
    (REFUSED, |_, world| world.seen.refused),
    (READ, |_, world| world.seen.read),
    (COLLECTED, |_, world| world.seen.collected),
    (MILLISECONDS, |_, world| world.seen.commit_without_store),
    (TEN_SECONDS, |_, world| world.seen.lost_fresh),
    (FORCED, |_, world| world.seen.taken_over && names_lost_objects(world)),
];

pub(crate) fn all(_: &Protocol) -> Vec<Property<Protocol>> {
    let always = ALWAYS.iter().map(|(name, condition)| Property::always(name, *condition));
    always.chain(SOMETIMES.iter().map(|(name, condition)| Property::sometimes(name, *condition))).collect()
}

fn catalogs(world: &World) -> impl Iterator<Item = &Catalog> {
    world.catalogs.iter().flatten()
}

fn has_each_row_once(protocol: &Protocol, catalog: &Catalog) -> bool {
    let mut rows = catalog.content.live.each().map(|segment| segment.rows(&protocol.plans));
    let sum = rows.try_fold(Segments::NONE, |sum, rows| (!sum.meets(rows)).then(|| sum.with(rows)));
    let removed = if catalog.content.removed { Segments::LAST } else { Segments::NONE };
    sum.is_some_and(|sum| !sum.meets(removed) && sum.with(removed) == Segments::INPUTS)
}

/// A catalog that a start would let in names live segments whose objects are gone.
fn names_lost_objects(world: &World) -> bool {
    catalogs(world).filter(|catalog| catalog.knows(world.mark)).any(|catalog| {
        let content = &catalog.content;
        let delta = content.live.and(content.hit).has(Segments::FIRST);
        !world.objects.has(content.live.with(if delta { Segments::DELTA } else { Segments::NONE }))
    })
}

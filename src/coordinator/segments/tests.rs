use proptest::prelude::*;

use super::*;
use crate::kit::model;

fn group(partition: i64) -> Arc<Group> {
    Arc::new(model::group(1, partition, &format!("c_1v{}", partition % 2)))
}

fn segment(id: i64, rows: u64, state: SegmentState, level: SegmentLevel) -> Segment {
    Segment {
        state,
        level,
        rows,
        insert_bytes: 10 * rows,
        delta_rows: rows / 2,
        // A segment never changes its group.
        ..model::segment(id, &group(id % 3))
    }
}

/// The expected content of a table: every segment by its id, as it was last folded.
type Model = BTreeMap<SegmentId, Segment>;

fn check(table: &SegmentTable, model: &Model) {
    let of = |live: bool| model.values().filter(|s| s.is_live() == live).cloned().collect::<Vec<_>>();
    let (live, dropped) = (of(true), of(false));
    assert_eq!(table.live(), live);
    assert_eq!(table.dropped()[..], dropped);
    let groups: std::collections::BTreeSet<Arc<Group>> = live.iter().map(|s| Arc::clone(&s.group)).collect();
    assert!(table.groups().eq(groups.iter()), "a group without live segments is none");
    for group in &groups {
        let in_group: Vec<_> = live.iter().filter(|s| s.group == *group).cloned().collect();
        assert_eq!(table.live_in(group)[..], in_group);
        assert!(table.has_group(group));
    }
    for id in (0..20).map(SegmentId) {
        assert_eq!(table.find(id), model.get(&id));
        assert_eq!(table.knows(id), model.contains_key(&id));
    }
    assert_eq!(table.rows(None), live.iter().map(|s| s.rows).sum::<u64>());
    for state in [SegmentState::Flushed, SegmentState::Dropped] {
        for level in [SegmentLevel::L0, SegmentLevel::L1, SegmentLevel::L2] {
            let these: Vec<_> = model.values().filter(|s| s.state == state && s.level == level).collect();
            let expected = StateSum {
                segments: these.len() as u64,
                rows: these.iter().map(|s| s.rows).sum(),
                insert_bytes: these.iter().map(|s| s.insert_bytes).sum(),
                delta_rows: these.iter().map(|s| s.delta_rows).sum(),
            };
            assert_eq!(table.sums().of(state, level), expected, "{state:?} {level:?}");
        }
    }
}

/// A commit, or a round of garbage collection.
#[derive(Debug, Clone)]
enum Change {
    Fold(Vec<Segment>),
    Forget(Vec<SegmentId>),
}

fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let level = prop_oneof![Just(SegmentLevel::L0), Just(SegmentLevel::L1), Just(SegmentLevel::L2)];
    let state = prop_oneof![Just(SegmentState::Flushed), Just(SegmentState::Dropped)];
    let one = (0i64..20, 0u64..100, state, level).prop_map(|(id, rows, state, level)| segment(id, rows, state, level));
    proptest::collection::vec(one, 0..6)
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let ids = proptest::collection::vec((0i64..20).prop_map(SegmentId), 0..6);
    proptest::collection::vec(
        prop_oneof![3 => segments().prop_map(Change::Fold), 1 => ids.prop_map(Change::Forget)],
        0..12,
    )
}

proptest! {
    /// After any commits in any order, lists, look-ups and sums are those of the segments that are left; a table that a
    /// reader kept is as it was; and a start finds the state after the last commit.
    #[test]
    fn a_table_is_the_fold_of_the_commits(changes in changes()) {
        let (mut table, mut model) = (SegmentTable::default(), Model::new());
        for change in changes {
            let (kept, before) = (table.clone(), model.clone());
            match change {
                Change::Fold(segments) => {
                    // Nothing comes back from the dropped.
                    let is_new = |s: &Segment| !(s.is_live() && model.get(&s.id).is_some_and(|old| !old.is_live()));
                    let mut folded: Vec<Segment> = Vec::new();
                    for segment in segments.into_iter().filter(is_new) {
                        folded.retain(|s| s.id != segment.id);
                        folded.push(segment);
                    }
                    model.extend(folded.iter().map(|s| (s.id, s.clone())));
                    table.fold(folded);
                }
                Change::Forget(ids) => {
                    let gone: Vec<_> = ids.into_iter().filter(|id| model.get(id).is_none_or(|s| !s.is_live())).collect();
                    model.retain(|id, _| !gone.contains(id));
                    table.forget(&gone);
                }
            }
            check(&table, &model);
            check(&kept, &before);
            check(&SegmentTable::of(&mut model.values().rev().cloned().collect()), &model);
        }
    }
}

use std::{collections::HashMap, sync::Arc};

use arrow_array::{Int64Array, StringArray};
use proptest::prelude::*;
use rstest::rstest;

use super::{super::deletes::Shard, *};
use crate::model::{DataType, Delete, PrimaryKey};

fn map(key_type: DataType, deletes: &[Delete]) -> DeleteMap {
    let mut map = DeleteMap::new(key_type);
    let shard = Shard::split(0, 1).next().unwrap();
    map.absorb(deletes.to_vec(), Timestamp::MAX, shard).unwrap();
    map
}

fn kept_rows(keep: &Keep, rows: usize) -> Vec<usize> {
    match keep {
        Keep::All => (0..rows).collect(),
        Keep::None => vec![],
        Keep::Some(bits) => bits.set_indices().collect(),
    }
}

#[rstest]
#[case::older_delete(9, true)]
#[case::upsert_survives_itself(10, true)]
#[case::newer_delete(11, false)]
fn a_delete_kills_strictly_older_rows_only(#[case] delete_ts: u64, #[case] survives: bool) {
    let delete = |key| Delete { key, ts: Timestamp(delete_ts) };
    let cases: [(DeleteMap, ArrayRef); 2] = [
        (map(DataType::Int64, &[delete(PrimaryKey::Int(5))]), Arc::new(Int64Array::from(vec![5]))),
        (map(DataType::VarChar, &[delete(PrimaryKey::Str("é".into()))]), Arc::new(StringArray::from(vec!["é"]))),
    ];
    for (deletes, keys) in cases {
        let mut mask = Mask::new(1);
        assert_eq!(mask.drop_deleted(0, &keys, &[10], &deletes), Some(u64::from(!survives)));
        assert_eq!(mask.finish(), if survives { Keep::All } else { Keep::None });
    }
}

#[test]
fn timestamps_compare_as_unsigned() {
    let deletes = map(DataType::Int64, &[Delete { key: PrimaryKey::Int(1), ts: Timestamp(u64::MAX) }]);
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 1]));
    let mut mask = Mask::new(2);
    assert_eq!(mask.drop_deleted(0, &keys, &[-1, 5], &deletes), Some(1));
    let mut range = None;
    mask.extend_range(0, &[-1, 5], &mut range);
    assert_eq!(range, Some(TimeRange { from: Timestamp(u64::MAX), to: Timestamp(u64::MAX) }));
    assert_eq!(kept_rows(&mask.finish(), 2), [0]);
}

#[test]
fn expiry_is_strict_and_counts_only_rows_that_still_live() {
    let ts: Vec<i64> = [1_000, 999, 998].iter().map(|ms| Timestamp::from_ms(*ms).0 as i64).collect();
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let deletes = map(DataType::Int64, &[Delete { key: PrimaryKey::Int(3), ts: Timestamp::MAX }]);
    let mut mask = Mask::new(3);
    assert_eq!(mask.drop_deleted(0, &keys, &ts, &deletes), Some(1));
    assert_eq!(mask.drop_expired(0, &ts, Duration::from_millis(500), 1_500), 1);
    assert_eq!(kept_rows(&mask.finish(), 3), [0]);
}

#[test]
fn a_column_that_does_not_fit_is_refused() {
    let deletes = map(DataType::Int64, &[]);
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    assert_eq!(Mask::new(2).drop_deleted(0, &texts, &[1, 1], &deletes), None, "other type");
    assert_eq!(Mask::new(2).drop_deleted(1, &ints, &[1, 1], &deletes), None, "longer than the batch");
    assert_eq!(Mask::new(2).drop_deleted(0, &ints, &[1], &deletes), None, "more keys than timestamps");
}

#[test]
fn row_ids_know_their_range_and_order() {
    let of = |parts: &[&[i64]]| {
        let mut ids = None;
        parts.iter().for_each(|part| RowIds::extend(&mut ids, part));
        ids.map(|r| (r.min, r.max, r.ascending))
    };
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[&[1, 2], &[2, 7]]), Some((1, 7, true)));
    assert_eq!(of(&[&[3, 4], &[2]]), Some((2, 4, false)));
    assert_eq!(of(&[&[5, 6], &[6, 5, 9]]), Some((5, 9, false)));
}

proptest! {
    /// Against the rule written down naively, with the key column in slices of any length.
    #[test]
    fn selects_rows_by_the_rule(
        rows in prop::collection::vec((0i64..20, 0u64..50), 0..300),
        deletes in prop::collection::vec((0i64..20, 0u64..50), 0..30),
        ttl in prop::option::of(0u64..50),
        step in 1usize..70,
    ) {
        let to_ts = |ms: u64| Timestamp::from_ms(ms);
        let mut newest: HashMap<i64, u64> = HashMap::new();
        for (key, ms) in &deletes {
            let slot = newest.entry(*key).or_default();
            *slot = (*slot).max(*ms);
        }
        let dead = |key: &i64, ms: &u64| newest.get(key).is_some_and(|deleted| deleted > ms);
        let old = |ms: &u64| ttl.is_some_and(|ttl| ms + ttl < 60);
        let expected: Vec<usize> =
            rows.iter().enumerate().filter(|(_, (k, ms))| !dead(k, ms) && !old(ms)).map(|(i, _)| i).collect();

        let all: Vec<Delete> =
            deletes.iter().map(|(k, ms)| Delete { key: PrimaryKey::Int(*k), ts: to_ts(*ms) }).collect();
        let map = map(DataType::Int64, &all);
        let ts: Vec<i64> = rows.iter().map(|(_, ms)| to_ts(*ms).0 as i64).collect();
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(k, _)| *k)));
        let mut mask = Mask::new(rows.len());
        let (mut deleted, mut expired, mut range) = (0, 0, None);
        for offset in (0..rows.len()).step_by(step) {
            let part = keys.slice(offset, step.min(rows.len() - offset));
            let ts = &ts[offset..offset + part.len()];
            deleted += mask.drop_deleted(offset, &part, ts, &map).unwrap();
            expired += ttl.map_or(0, |ttl| mask.drop_expired(offset, ts, Duration::from_millis(ttl), 60));
            mask.extend_range(offset, ts, &mut range);
        }
        prop_assert_eq!(deleted, rows.iter().filter(|(k, ms)| dead(k, ms)).count() as u64);
        prop_assert_eq!(expired, rows.iter().filter(|(k, ms)| !dead(k, ms) && old(ms)).count() as u64);
        let kept_ts = expected.iter().map(|row| ts[*row] as u64);
        let expected_range = kept_ts.clone().min().zip(kept_ts.max());
        prop_assert_eq!(range.map(|range: TimeRange| (range.from.0, range.to.0)), expected_range);
        prop_assert_eq!(mask.kept(), expected.len());

        let keep = mask.finish();
        prop_assert_eq!(&kept_rows(&keep, rows.len()), &expected);
        let mut values = Vec::new();
        for offset in (0..rows.len()).step_by(step) {
            let len = step.min(rows.len() - offset);
            let part = keep.slice(offset, len).apply(&keys.slice(offset, len)).unwrap();
            values.extend_from_slice(part.as_primitive::<Int64Type>().values());
        }
        let expected_values: Vec<i64> = expected.iter().map(|row| rows[*row].0).collect();
        prop_assert_eq!(values, expected_values);
    }
}

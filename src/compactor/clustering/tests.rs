use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn ints(weights: &[(i64, u64)]) -> Vec<(Scalar, u64)> {
    weights.iter().map(|(value, weight)| (Scalar::Int(*value), *weight)).collect()
}

/// Drawn as `..3 | 3.. 3 | 4..`: `3.. 3` is a slice of one value.
fn draw(slices: &[Slice]) -> String {
    let slice = |s: &Slice| {
        let from = s.from.as_ref().map_or(String::new(), |b| format!("{}{}", if b.after { ">" } else { "" }, b.value));
        let to = s.to.as_ref().map_or(String::new(), |b| format!("{}{}", if b.after { "=" } else { "" }, b.value));
        format!("{from}..{to}")
    };
    slices.iter().map(slice).collect::<Vec<_>>().join(" ")
}

#[rstest]
#[case::nothing(&[], 100, "..")]
#[case::fits(&[(1, 50), (2, 50)], 100, "..")]
#[case::even(&[(1, 40), (2, 40), (3, 40), (4, 40)], 100, "..3 3..")]
#[case::as_even_as_can_be(&[(1, 60), (2, 60), (3, 60)], 100, "..2 2..3 3..")]
#[case::a_heavy_value(&[(1, 10), (2, 300), (3, 10)], 100, "..2 2..=2 >2..")]
#[case::nothing_but_a_heavy_value(&[(2, 300)], 100, "..2 2..=2 >2..")]
#[case::heavy_neighbours(&[(1, 300), (2, 300)], 100, "..1 1..=1 >1..2 2..=2 >2..")]
fn ranges_are_even(#[case] weights: &[(i64, u64)], #[case] most: u64, #[case] expected: &str) {
    assert_eq!(draw(&slices(&ints(weights), most)), expected);
}

proptest! {
    /// For any sample, every key is in exactly one slice, and slices of several sampled keys keep the limit.
    #[test]
    fn every_key_is_in_one_slice(weights in prop::collection::btree_map(-40i64..40, 1u64..60, 0..40), most in 1u64..200) {
        let sample = ints(&weights.into_iter().collect::<Vec<_>>());
        let slices = slices(&sample, most);
        for key in -45..45 {
            let key = Scalar::Int(key);
            let holding = slices.iter().filter(|s| s.holds(|value| key.cmp(value)));
            prop_assert_eq!(holding.count(), 1, "{}: {}", key, draw(&slices));
        }
        for slice in &slices {
            let inside: Vec<_> = sample.iter().filter(|(key, _)| slice.holds(|value| key.cmp(value))).collect();
            let weight: u64 = inside.iter().map(|(_, weight)| weight).sum();
            prop_assert!(weight <= most || inside.len() == 1, "{} in {}", weight, draw(&slices));
            for (key, _) in &inside {
                prop_assert!(slice.meets(key, key) && slice.meets(&Scalar::Int(-99), &Scalar::Int(99)));
            }
        }
    }
}

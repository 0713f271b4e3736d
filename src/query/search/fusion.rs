//! Fusion: one value for a row that several searches found, from its places or its values in them.
//!
//! Formulas and single precision are those of Milvus 2.6.

use std::f32::consts::PI;

use crate::model::Metric;

/// How the results of several searches become one.
#[derive(Debug, Clone, PartialEq)]
pub enum Fusion {
    /// Reciprocal ranks: the row at place n of a search gets 1/(k + n) for it. More is better.
    Reciprocal { k: f32 },
    /// The values of a row in the searches, each times the weight of its search.
    Weighted {
        /// One for each search.
        weights: Vec<f32>,
        /// Values of any metric are brought into 0 to 1 first, where more is nearer.
        normalized: bool,
    },
}

impl Fusion {
    /// True if a row with a smaller sum is the better one: the sum is one of plain distances.
    pub(super) fn smaller_is_better(&self, metrics: &[Metric]) -> bool {
        let is_plain = matches!(self, Self::Weighted { normalized: false, .. });
        is_plain && metrics.iter().all(|metric| !metric.greater_is_nearer())
    }

    /// The part of a search in the value of a row: `place` counts from 0, `value` is in the metric of the search. Metrics
    /// are `mixed` if a greater value is nearer in some of the searches only.
    pub(super) fn share(&self, search: usize, metric: Metric, mixed: bool, place: usize, value: f32) -> f32 {
        match self {
            Self::Reciprocal { k } => 1.0 / (k + (place + 1) as f32),
            Self::Weighted { weights, normalized } => {
                let weight = weights.get(search).copied().unwrap_or(0.0);
                let plain = !normalized && (!mixed || metric.greater_is_nearer());
                // One zero: values that are equal have to compare as equal.
                weight * (if plain { value } else { normal(metric, value) }) + 0.0
            }
        }
    }
}

/// A value between 0 and 1; more is nearer.
fn normal(metric: Metric, value: f32) -> f32 {
    let angle = || f64::from(value).atan() as f32;
    match metric {
        Metric::Cosine => (1.0 + value) * 0.5,
        Metric::Ip => 0.5 + angle() / PI,
        _ => 1.0 - 2.0 * angle() / PI,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the formulas in the documentation of Milvus.
    #[test]
    fn values_of_metrics_between_0_and_1() {
        for (metric, value, expected) in [
            (Metric::Cosine, -1.0, 0.0),
            (Metric::Cosine, 0.5, 0.75),
            (Metric::Ip, 0.0, 0.5),
            (Metric::Ip, 1.0, 0.75),
            (Metric::Ip, -1.0, 0.25),
            (Metric::L2, 0.0, 1.0),
            (Metric::L2, 1.0, 0.5),
            (Metric::Hamming, 1.0, 0.5),
            (Metric::Jaccard, 1.0, 0.5),
        ] {
            assert!((normal(metric, value) - expected).abs() < 1e-6, "{metric:?} {value}: {}", normal(metric, value));
        }
    }

    #[test]
    fn shares_of_places_and_of_values() {
        let reciprocal = Fusion::Reciprocal { k: 60.0 };
        for (place, expected) in [(0, 1.0 / 61.0), (1, 1.0 / 62.0), (99, 1.0 / 160.0)] {
            assert_eq!(reciprocal.share(3, Metric::L2, false, place, 7.0), expected);
        }
        let weighted = |normalized| Fusion::Weighted { weights: vec![0.5, 1.0], normalized };
        for (normalized, mixed, metric, expected) in [
            (false, false, Metric::L2, [0.5, 1.0]),
            (false, true, Metric::L2, [0.25, 0.5]),
            (false, true, Metric::Ip, [0.5, 1.0]),
            (true, false, Metric::L2, [0.25, 0.5]),
            (true, false, Metric::Ip, [0.375, 0.75]),
        ] {
            let shares = [0, 1].map(|search| weighted(normalized).share(search, metric, mixed, 9, 1.0));
            assert!(shares.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{shares:?} {expected:?}");
        }
    }

    #[test]
    fn only_plain_distances_are_better_if_smaller() {
        let weighted = |normalized| Fusion::Weighted { weights: vec![1.0, 1.0], normalized };
        let (l2, mixed) = ([Metric::L2, Metric::Hamming], [Metric::L2, Metric::Ip]);
        assert!(weighted(false).smaller_is_better(&l2));
        assert!(!weighted(false).smaller_is_better(&mixed) && !weighted(true).smaller_is_better(&l2));
        assert!(!Fusion::Reciprocal { k: 1.0 }.smaller_is_better(&l2));
    }
}

//! Distances of one query vector from many vectors, through the kernels of `simsimd`.
//!
//! A kernel is chosen once for each query of a search. It gives a *rank* per vector: smaller is nearer, for every metric.

use simsimd::{BinarySimilarity, SpatialSimilarity};

use super::QueryVectors;
use crate::{model::Metric, storage::Vectors};

/// A query vector, prepared for its metric.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel<'q> {
    metric: Metric,
    query: &'q [u8],
    floats: &'q [f32],
    /// Length of a query of floats, for the cosine.
    norm: f64,
}

impl<'q> Kernel<'q> {
    pub(super) fn new(metric: Metric, queries: &'q QueryVectors, index: usize) -> Self {
        let (query, floats) = (queries.bytes(index), queries.floats(index));
        // A query without a direction has the cosine 0 with every vector that has one, as in Milvus.
        let norm = Some(length(floats)).filter(|norm| *norm > 0.0).unwrap_or(1.0);
        Self { metric, query, floats, norm }
    }

    /// The rank of a vector. Not finite if there is none: a component is no number, a sum is beyond all numbers, a vector
    /// without a direction has no cosine, or a structure is not contained.
    pub(super) fn rank(&self, vectors: &Vectors, index: usize) -> f32 {
        let rank = match self.metric {
            Metric::L2 | Metric::Ip | Metric::Cosine => return self.rank_floats(vectors.floats(index)),
            Metric::Hamming => u8::hamming(self.query, vectors.bytes(index)).unwrap_or(NO_RANK),
            Metric::Jaccard => jaccard(self.query, vectors.bytes(index)),
            Metric::Substructure => contained(self.query, vectors.bytes(index)),
            Metric::Superstructure => contained(vectors.bytes(index), self.query),
        };
        one_zero(rank)
    }

    /// The rank of a vector of floats; no rank if the metric is over bits.
    pub(super) fn rank_floats(&self, vector: &[f32]) -> f32 {
        one_zero(match self.metric {
            Metric::L2 => f32::l2sq(self.floats, vector).unwrap_or(NO_RANK),
            Metric::Ip => -f32::dot(self.floats, vector).unwrap_or(NO_RANK),
            Metric::Cosine => -f32::dot(self.floats, vector).unwrap_or(NO_RANK) / (self.norm * length(vector)),
            Metric::Hamming | Metric::Jaccard | Metric::Substructure | Metric::Superstructure => NO_RANK,
        })
    }
}

/// A kernel has no answer for vectors of different lengths. The fields of a collection have one length.
const NO_RANK: f64 = f64::NAN;

/// Ranks that are equal have to compare as equal.
fn one_zero(rank: f64) -> f32 {
    rank as f32 + 0.0
}

/// The value that a client gets for a rank.
pub(super) fn score(metric: Metric, rank: f32) -> f32 {
    if metric.greater_is_nearer() { 0.0 - rank } else { rank }
}

/// The rank of a value that a client got.
pub(super) fn rank(metric: Metric, score: f32) -> f32 {
    if metric.greater_is_nearer() { -score } else { score }
}

fn length(vector: &[f32]) -> f64 {
    f32::dot(vector, vector).unwrap_or(f64::NAN).sqrt()
}

/// Two vectors without bits have none in common: their distance is 1, as in Milvus.
fn jaccard(one: &[u8], other: &[u8]) -> f64 {
    if one.iter().chain(other).all(|byte| *byte == 0) {
        return 1.0;
    }
    u8::jaccard(one, other).unwrap_or(f64::NAN)
}

/// 0 if all bits of `part` are set in `whole`. Otherwise the two are near in no way.
fn contained(part: &[u8], whole: &[u8]) -> f64 {
    let all = part.iter().zip(whole).all(|(part, whole)| part & !whole == 0);
    if all { 0.0 } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use arrow_buffer::Buffer;
    use rstest::rstest;

    use super::*;

    fn scores(metric: Metric, query: Vec<u8>, stored: Vec<u8>, width: usize) -> Vec<Option<f32>> {
        let (queries, stored) = (QueryVectors::new(query, width), Vectors::dense(Buffer::from_vec(stored), width));
        let kernel = Kernel::new(metric, &queries, 0);
        let ranks = (0..stored.len()).map(|index| kernel.rank(&stored, index));
        ranks.map(|rank| rank.is_finite().then(|| score(metric, rank))).collect()
    }

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// As Milvus 2.3.5 answers. None: the row is not found.
    #[rstest]
    #[case(Metric::Ip, [1.0, 0.0], [1.0, 0.0, -1.0, 0.0, 2.0, 3.0].map(Some))]
    #[case(Metric::Ip, [-1.0, -1.0], [-1.0, -1.0, 1.0, 0.0, -4.0, -3.0].map(Some))]
    #[case(Metric::Ip, [2.0, 0.5], [2.0, 0.5, -2.0, 0.0, 5.0, 6.0].map(Some))]
    #[case(Metric::L2, [1.0, 0.0], [0.0, 2.0, 4.0, 1.0, 5.0, 4.0].map(Some))]
    #[case(Metric::Cosine, [1.0, 0.0], [Some(1.0), Some(0.0), Some(-1.0), None, Some(0.707_106_77), Some(1.0)])]
    #[case(Metric::Cosine, [0.0, 0.0], [Some(0.0), Some(0.0), Some(0.0), None, Some(0.0), Some(0.0)])]
    #[case(
        Metric::Cosine,
        [2.0, 0.5],
        [Some(0.970_142_54), Some(0.242_535_63), Some(-0.970_142_54), None, Some(0.857_493), Some(0.970_142_54)]
    )]
    fn values_of_numbers(#[case] metric: Metric, #[case] query: [f32; 2], #[case] expected: [Option<f32>; 6]) {
        let stored = bytes(&[1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, 0.0, 2.0, 2.0, 3.0, 0.0]);
        for (found, expected) in scores(metric, bytes(&query), stored, 8).into_iter().zip(expected) {
            let near = |(a, b): (f32, f32)| (a - b).abs() < 1e-6;
            assert!(found.zip(expected).map_or(found == expected, near), "{found:?} {expected:?}");
        }
    }

    /// As Milvus 2.3.5 answers, for vectors 0000, ff00, 0f00, ffff and 0100.
    #[rstest]
    #[case(Metric::Hamming, [0x0f, 0], [4.0, 4.0, 0.0, 12.0, 3.0].map(Some))]
    #[case(Metric::Hamming, [0xff, 0x0f], [12.0, 4.0, 8.0, 4.0, 11.0].map(Some))]
    #[case(Metric::Jaccard, [0x0f, 0], [1.0, 0.5, 0.0, 0.75, 0.75].map(Some))]
    #[case(Metric::Jaccard, [0, 0], [1.0; 5].map(Some))]
    #[case(Metric::Jaccard, [0xff, 0x0f], [1.0, 0.333_333_34, 0.666_666_7, 0.25, 0.916_666_7].map(Some))]
    #[case(Metric::Substructure, [0x0f, 0], [None, Some(0.0), Some(0.0), Some(0.0), None])]
    #[case(Metric::Substructure, [0, 0], [0.0; 5].map(Some))]
    #[case(Metric::Superstructure, [0x0f, 0], [Some(0.0), None, Some(0.0), None, Some(0.0)])]
    #[case(Metric::Superstructure, [0xff, 0x0f], [Some(0.0), Some(0.0), Some(0.0), None, Some(0.0)])]
    fn values_of_bits(#[case] metric: Metric, #[case] query: [u8; 2], #[case] expected: [Option<f32>; 5]) {
        let stored = vec![0, 0, 0xff, 0, 0x0f, 0, 0xff, 0xff, 1, 0];
        assert_eq!(scores(metric, query.to_vec(), stored, 2), expected);
    }

    /// Every length, so that each kernel meets vectors that don't fill its registers.
    #[test]
    fn kernels_agree_with_the_definition() {
        let number = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 8.0;
        for dim in (1..70).chain([127, 128, 129, 768, 1536]) {
            let query: Vec<f32> = (0..dim).map(number).collect();
            let stored: Vec<f32> = (0..dim * 3).map(|i| number(i + 11)).collect();
            for metric in [Metric::L2, Metric::Ip, Metric::Cosine] {
                let found = scores(metric, bytes(&query), bytes(&stored), dim * 4);
                for (found, vector) in found.iter().zip(stored.chunks(dim)) {
                    let pairs = query.iter().zip(vector).map(|(a, b)| (f64::from(*a), f64::from(*b)));
                    let product: f64 = pairs.clone().map(|(a, b)| a * b).sum();
                    let squares = pairs.clone().fold((0.0, 0.0), |(x, y), (a, b)| (x + a * a, y + b * b));
                    let expected = match metric {
                        Metric::L2 => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
                        Metric::Ip => product,
                        _ => product / (squares.0 * squares.1).sqrt(),
                    };
                    let scale = if metric == Metric::Cosine { 1.0 } else { (squares.0 + squares.1).max(1.0) };
                    let found = f64::from(found.unwrap_or(0.0));
                    assert!((found - expected).abs() <= scale * 1e-5, "{metric:?} {dim}: {found} {expected}");
                }
            }
        }
    }
}

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rstest::rstest;

use super::*;
use crate::model::Metric;

const DIM: u32 = 24;

fn shape(metric: Metric) -> GraphShape {
    GraphShape { metric, dim: DIM, links: 16, width: 100 }
}

/// Vectors around a few centres.
fn vectors(rows: usize, seed: u64) -> Vec<Vec<f32>> {
    let numbers = |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        move || random.random::<f32>() - 0.5
    };
    let mut number = numbers(0);
    let centres: Vec<Vec<f32>> = (0..12).map(|_| (0..DIM).map(|_| 2.0 * number()).collect()).collect();
    let mut number = numbers(seed);
    (0..rows).map(|row| centres[row % 12].iter().map(|at| at + number()).collect()).collect()
}

fn graph(metric: Metric, vectors: &[Vec<f32>]) -> Graph {
    let builder = GraphBuilder::new(shape(metric), vectors.len(), 2).unwrap();
    let half = vectors.len() / 2;
    std::thread::scope(|scope| {
        for (first, part) in [(0, &vectors[..half]), (half, &vectors[half..])] {
            let builder = &builder;
            scope.spawn(move || {
                for (row, vector) in part.iter().enumerate() {
                    builder.add((first + row) as u64, vector).unwrap();
                }
            });
        }
    });
    Graph::open(builder.to_bytes().unwrap().into(), shape(metric), vectors.len() as u64).unwrap()
}

fn distance(metric: Metric, one: &[f32], other: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    match metric {
        Metric::L2 => one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum(),
        Metric::Ip => -dot(one, other),
        _ => -dot(one, other) / (dot(one, one) * dot(other, other)).sqrt(),
    }
}

fn exact(metric: Metric, query: &[f32], vectors: &[Vec<f32>], keep: impl Fn(u64) -> bool) -> Vec<u64> {
    let kept = (0..vectors.len() as u64).filter(|place| keep(*place));
    let mut ranked: Vec<(f32, u64)> =
        kept.map(|place| (distance(metric, query, &vectors[place as usize]), place)).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.truncate(10);
    ranked.into_iter().map(|(_, place)| place).collect()
}

#[rstest]
#[case(Metric::L2)]
#[case(Metric::Ip)]
#[case(Metric::Cosine)]
fn finds_nearly_all_of_the_nearest(#[case] metric: Metric) {
    let stored = vectors(4000, 1);
    let graph = graph(metric, &stored);
    assert_eq!(graph.rows(), 4000);
    let (mut found, mut found_kept) = (0, 0);
    let is_kept = |place: u64| place % 7 == 3;
    for query in vectors(50, 2) {
        let nearest = exact(metric, &query, &stored, |_| true);
        let answer = graph.nearest(&query, 64, None).unwrap();
        found += nearest.iter().filter(|place| answer.contains(place)).count();
        let nearest = exact(metric, &query, &stored, is_kept);
        let answer = graph.nearest(&query, 64, Some(&is_kept)).unwrap();
        assert!(answer.iter().all(|place| is_kept(*place)));
        found_kept += nearest.iter().filter(|place| answer.contains(place)).count();
    }
    // One row in seven is so few that searches rank all of them instead.
    assert!(found >= 490 && found_kept >= 450, "{found} and {found_kept} of 500");
}

#[test]
fn vectors_that_no_search_finds_are_left_out() {
    for (metric, rows) in [(Metric::L2, 2), (Metric::Ip, 2), (Metric::Cosine, 1)] {
        let builder = GraphBuilder::new(GraphShape { dim: 2, ..shape(metric) }, 8, 1).unwrap();
        for (place, vector) in
            [[1.0, 2.0], [0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 0.0], [1e30, 0.0]].iter().enumerate()
        {
            builder.add(place as u64, vector).unwrap();
        }
        assert_eq!(builder.rows(), rows, "{metric:?}");
    }
}

#[test]
fn vectors_are_given_back() {
    let mut stored = vectors(3_000, 3);
    stored[40] = stored[17].clone();
    let graph = graph(Metric::L2, &stored);
    for (place, vector) in stored.iter().enumerate() {
        assert_eq!(graph.vector(place as u64).unwrap(), vector);
    }
    assert_eq!((graph.vector(3_000), graph.vector(u64::MAX)), (None, None));
    // Some of the rows of a segment, one of them without a vector.
    let builder = GraphBuilder::new(shape(Metric::L2), 4, 1).unwrap();
    for (place, vector) in [(5, &stored[5]), (6, &vec![f32::NAN; DIM as usize]), (7, &stored[7])] {
        builder.add(place, vector).unwrap();
    }
    let bytes = bytes::Bytes::from(builder.to_bytes().unwrap());
    let graph = Graph::open(bytes.clone(), shape(Metric::L2), 100).unwrap();
    let found = [4, 5, 6, 7, 8].map(|place| graph.vector(place));
    assert_eq!(found, [None, Some(&stored[5][..]), None, Some(&stored[7][..]), None]);
    assert!(matches!(Graph::open(bytes, shape(Metric::L2), 7).unwrap_err(), GraphError::Other { .. }));
}

#[test]
fn bytes_of_another_shape_are_refused() {
    let builder = GraphBuilder::new(shape(Metric::L2), 4, 1).unwrap();
    builder.add(0, &[1.0; DIM as usize]).unwrap();
    let bytes = bytes::Bytes::from(builder.to_bytes().unwrap());
    for other in [shape(Metric::Ip), GraphShape { dim: DIM + 1, ..shape(Metric::L2) }] {
        let refused = Graph::open(bytes.clone(), other, 1).unwrap_err();
        assert!(matches!(refused, GraphError::Other { .. }), "{refused}");
    }
    assert!(Graph::open(bytes.slice(..10), shape(Metric::L2), 1).is_err());
    // At an address that fits no number.
    let mut moved = vec![0];
    moved.extend_from_slice(&bytes);
    let graph = Graph::open(bytes::Bytes::from(moved).slice(1..), shape(Metric::L2), 1).unwrap();
    assert_eq!(graph.nearest(&[0.0; DIM as usize], 5, None).unwrap(), [0]);
    assert!(graph.nearest(&[0.0; 3], 5, None).is_err(), "a query of another dimension");
}

#[test]
fn many_search_at_once() {
    let stored = vectors(500, 4);
    let graph = graph(Metric::L2, &stored);
    std::thread::scope(|scope| {
        for thread in 0..100 {
            let (graph, stored) = (&graph, &stored);
            scope.spawn(move || assert_eq!(graph.nearest(&stored[thread], 8, None).unwrap()[0], thread as u64));
        }
    });
}

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rstest::rstest;

use super::{halves::Halves, walk::with_query, *};
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

/// A builder of these vectors, none of which is linked.
fn builder(shape: GraphShape, vectors: &[Vec<f32>]) -> GraphBuilder {
    let mut collected = GraphVectors::new(shape, vectors.len()).unwrap();
    for (place, vector) in vectors.iter().enumerate() {
        assert!(collected.push(place as u64, vector).unwrap());
    }
    GraphBuilder::new(collected, 2).unwrap()
}

fn link_all(builder: &GraphBuilder) {
    std::thread::scope(|scope| {
        for first in 0..2 {
            let own = (first..builder.rows()).step_by(2);
            scope.spawn(move || own.for_each(|number| builder.link(number).unwrap()));
        }
    });
}

fn bytes(shape: GraphShape, vectors: &[Vec<f32>]) -> bytes::Bytes {
    let builder = builder(shape, vectors);
    link_all(&builder);
    builder.into_bytes().unwrap().into()
}

fn graph(metric: Metric, vectors: &[Vec<f32>]) -> Graph {
    Graph::open(bytes(shape(metric), vectors), shape(metric), vectors.len() as u64, Walk::Halves).unwrap()
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
    for (metric, taken) in [(Metric::L2, 2), (Metric::Ip, 2), (Metric::Cosine, 1)] {
        let mut vectors = GraphVectors::new(GraphShape { dim: 2, ..shape(metric) }, 8).unwrap();
        for (place, vector) in
            [[1.0, 2.0], [0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 0.0], [1e30, 0.0]].iter().enumerate()
        {
            vectors.push(place as u64, vector).unwrap();
        }
        assert_eq!(vectors.rows(), taken, "{metric:?}");
    }
}

#[test]
fn vectors_that_do_not_belong_are_refused() {
    let mut vectors = GraphVectors::new(shape(Metric::L2), 2).unwrap();
    let mut refused = |place: u64, vector: &[f32]| vectors.push(place, vector).map_err(|error| error.to_string());
    let vector = [1.0; DIM as usize];
    assert_eq!(refused(0, &vector[1..]).unwrap_err(), "an index of 23 dimensions where 24 dimensions was written");
    assert_eq!(refused(5, &vector), Ok(true));
    assert_eq!(refused(5, &vector).unwrap_err(), "the index engine: place 5 comes after place 5");
    assert_eq!(refused(6, &vector), Ok(true));
    assert_eq!(refused(7, &vector).unwrap_err(), "the index engine: more than the 2 vectors announced");
    let builder = GraphBuilder::new(vectors, 1).unwrap();
    builder.link(1).unwrap();
    assert!(builder.link(1).is_err(), "linked twice");
    assert_eq!(builder.link(2).unwrap_err(), GraphError::Engine("no vector 2".into()));
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
    let mut collected = GraphVectors::new(shape(Metric::L2), 4).unwrap();
    for (place, vector) in [(5, &stored[5]), (6, &vec![f32::NAN; DIM as usize]), (7, &stored[7])] {
        collected.push(place, vector).unwrap();
    }
    let builder = GraphBuilder::new(collected, 1).unwrap();
    // The order of linking is that of the bytes.
    builder.link(1).unwrap();
    builder.link(0).unwrap();
    let bytes = bytes::Bytes::from(builder.into_bytes().unwrap());
    let graph = Graph::open(bytes.clone(), shape(Metric::L2), 100, Walk::Stored).unwrap();
    let found = [4, 5, 6, 7, 8].map(|place| graph.vector(place));
    assert_eq!(found, [None, Some(&stored[5][..]), None, Some(&stored[7][..]), None]);
    let refused = Graph::open(bytes, shape(Metric::L2), 7, Walk::Stored).unwrap_err();
    assert!(matches!(refused, GraphError::Other { .. }));
}

#[test]
fn bytes_of_another_shape_are_refused() {
    let bytes = bytes(shape(Metric::L2), &[vec![1.0; DIM as usize]]);
    for other in [shape(Metric::Ip), GraphShape { dim: DIM + 1, ..shape(Metric::L2) }] {
        let refused = Graph::open(bytes.clone(), other, 1, Walk::Halves).unwrap_err();
        assert!(matches!(refused, GraphError::Other { .. }), "{refused}");
    }
    assert!(Graph::open(bytes.slice(..10), shape(Metric::L2), 1, Walk::Halves).is_err());
    // At an address that fits no number.
    let mut moved = vec![0];
    moved.extend_from_slice(&bytes);
    let graph = Graph::open(bytes::Bytes::from(moved).slice(1..), shape(Metric::L2), 1, Walk::Halves).unwrap();
    assert_eq!(graph.nearest(&[0.0; DIM as usize], 5, None).unwrap(), [0]);
    assert!(graph.nearest(&[0.0; 3], 5, None).is_err(), "a query of another dimension");
}

/// A shape whose vectors have halves.
fn long_shape(metric: Metric) -> GraphShape {
    GraphShape { dim: 264, ..shape(metric) }
}

/// Long vectors: each is a short one eleven times, turned a little, around a point at `offset` from the origin.
fn long_vectors(rows: usize, seed: u64, offset: f32, spread: f32) -> Vec<Vec<f32>> {
    let mut random = StdRng::seed_from_u64(seed);
    let short = vectors(rows, seed);
    let mut long = |short: &Vec<f32>| -> Vec<f32> {
        let numbers = short.iter().cycle().take(264);
        numbers.map(|number| offset + spread * (number + 0.1 * random.random::<f32>())).collect()
    };
    short.iter().map(&mut long).collect()
}

#[rstest]
#[case(Metric::L2, 1.0)]
#[case(Metric::L2, 1e-12)]
#[case(Metric::L2, 1e12)]
#[case(Metric::Ip, 1.0)]
#[case(Metric::Cosine, 1.0)]
fn halves_of_long_vectors_find_as_much(#[case] metric: Metric, #[case] spread: f32) {
    let shape = long_shape(metric);
    let stored = long_vectors(2_000, 6, 0.0, spread);
    let builder = builder(shape, &stored);
    link_all(&builder);
    assert!(builder.to_be_linked_exactly(2).unwrap().is_none());
    let bytes = bytes::Bytes::from(builder.into_bytes().unwrap());
    let open = |walk| Graph::open(bytes.clone(), shape, 2_000, walk).unwrap();
    let (halves, whole) = (open(Walk::Halves), open(Walk::Stored));
    let beside = halves.bytes_in_memory() - whole.bytes_in_memory();
    assert_eq!(beside, if Halves::serve(&shape) { 2_000 * 264 * 2 } else { 0 });
    let (mut found, mut found_whole) = (0, 0);
    for query in long_vectors(40, 7, 0.0, spread) {
        let nearest = exact(metric, &query, &stored, |_| true);
        let count = |graph: &Graph| {
            let answer = graph.nearest(&query, 64, None).unwrap();
            nearest.iter().filter(|place| answer.contains(place)).count()
        };
        found += count(&halves);
        found_whole += count(&whole);
    }
    assert!(found >= 392 && found_whole >= 392, "{found} and {found_whole} of 400");
}

#[test]
fn a_walk_compares_halves() {
    let shape = long_shape(Metric::L2);
    let stored = long_vectors(500, 8, 0.0, 1.0);
    // In one order, so that each run has the same graph.
    let one_by_one = builder(shape, &stored);
    (0..500).for_each(|number| one_by_one.link(number).unwrap());
    let bytes = bytes::Bytes::from(one_by_one.into_bytes().unwrap());
    let graph = Graph::open(bytes.clone(), shape, 500, Walk::Halves).unwrap();
    let Some(halves) = &graph.halves else { return assert!(!Halves::serve(&shape)) };
    // With the halves of another query a walk arrives at that one.
    for (query, other) in [(3, 200), (400, 7)] {
        let found = with_query(&stored[query], halves.of_query(&stored[other]).as_deref(), || {
            graph.index.search(&stored[query], 64).unwrap().keys
        });
        assert_eq!(found[0], other as u64);
        assert_eq!(graph.nearest(&stored[query], 64, None).unwrap()[0], query as u64, "and the next one does not");
    }
    // So far away that halves have no number for the distance, and without a direction.
    let far = vec![1e6; 264];
    assert!(halves.of_query(&far).is_none());
    let whole = Graph::open(bytes, shape, 500, Walk::Stored).unwrap();
    assert_eq!(graph.nearest(&far, 64, None), whole.nearest(&far, 64, None));
    let zeros = Graph::open(super::tests::bytes(shape, &vec![vec![0.0; 264]; 3]), shape, 3, Walk::Halves).unwrap();
    assert!(zeros.halves.is_none());
    assert_eq!(zeros.nearest(&[0.0; 264], 3, None).unwrap().len(), 3);
}

#[test]
fn vectors_that_halves_do_not_tell_apart_are_compared_whole() {
    let shape = long_shape(Metric::L2);
    // Halves have eleven bits: near 1,000 they are 0.5 apart.
    let stored = long_vectors(1_000, 9, 1_000.0, 0.1);
    let builder = builder(shape, &stored);
    link_all(&builder);
    if !Halves::serve(&shape) {
        return assert!(builder.to_be_linked_exactly(2).unwrap().is_none());
    }
    let exactly = builder.to_be_linked_exactly(2).unwrap().unwrap();
    link_all(&exactly);
    assert!(exactly.to_be_linked_exactly(2).unwrap().is_none());
    let graph = Graph::open(exactly.into_bytes().unwrap().into(), shape, 1_000, Walk::Halves).unwrap();
    assert!(graph.halves.is_none());
    let mut found = 0;
    for query in long_vectors(20, 10, 1_000.0, 0.1) {
        let answer = graph.nearest(&query, 64, None).unwrap();
        found += exact(Metric::L2, &query, &stored, |_| true).iter().filter(|place| answer.contains(place)).count();
    }
    assert!(found >= 180, "{found} of 200");
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

//! Rows that are divided among threads in every way, beside the same rows compared by one.

use arrow_array::Int64Array;
use arrow_buffer::Buffer;
use proptest::prelude::*;

use super::*;
use crate::{
    kit::model as fixture,
    model::{CollectionSchema, DataType, FieldId, Metric, PrimaryKey, Timestamp},
    query::{Effort, Grouping, IteratorPage, QueryVectors, Range as ValueRange, Scope, Search, scan::KeyColumn},
};

const KEY: FieldId = FieldId(100);
const GROUP: FieldId = FieldId(101);
const VECTOR: FieldId = FieldId(102);
const WIDTH: usize = 8;

fn schema() -> CollectionSchema {
    let fields = vec![
        fixture::key(KEY.0, "id", DataType::Int64),
        fixture::field(GROUP.0, "n", DataType::Int64),
        fixture::vector(VECTOR.0, "v", 2),
    ];
    fixture::schema("divided", fields)
}

fn vector(number: i64) -> impl Iterator<Item = u8> {
    [number as f32, 0.0].into_iter().flat_map(f32::to_le_bytes)
}

/// Few different values, so that keys, groups and ranks repeat.
#[derive(Debug, Clone)]
struct Row {
    is_live: bool,
    key: i64,
    group: i64,
    number: i64,
    ts: u64,
}

fn row() -> impl Strategy<Value = Row> {
    (any::<bool>(), 0..9i64, 0..4i64, 0..7i64, 1..4u64).prop_map(|(is_live, key, group, number, ts)| Row {
        is_live,
        key,
        group,
        number,
        ts,
    })
}

#[derive(Debug, Clone)]
enum Kind {
    Rows,
    Page(Option<f32>),
    Groups,
    Members(Vec<i64>, u64),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Rows),
        prop::option::of((0..9).prop_map(|after| after as f32)).prop_map(Kind::Page),
        Just(Kind::Groups),
        (prop::sample::subsequence(vec![0, 1, 2, 3], 1..4), 1..4u64)
            .prop_map(|(groups, size)| Kind::Members(groups, size)),
    ]
}

#[derive(Debug, Clone)]
struct Case {
    rows: Vec<Row>,
    /// Rows of each part of the vectors; the last one has the rest.
    parts: Vec<usize>,
    queries: Vec<i64>,
    limit: u64,
    width: Option<f32>,
    kind: Kind,
}

fn case() -> impl Strategy<Value = Case> {
    let rows = prop::collection::vec(row(), 1..120);
    let parts = prop::collection::vec(0..40usize, 0..4);
    let queries = prop::collection::vec(0..7i64, 1..3);
    (rows, parts, queries, 1..9u64, prop::option::weighted(0.3, 1.0..20.0f32), kind())
        .prop_map(|(rows, parts, queries, limit, width, kind)| Case { rows, parts, queries, limit, width, kind })
}

impl Case {
    fn wanted(&self) -> Arc<Wanted> {
        let group = matches!(self.kind, Kind::Groups | Kind::Members(..)).then_some(Grouping { field: GROUP, size: 1 });
        let page = match self.kind {
            Kind::Page(after) => Some(IteratorPage { after }),
            _ => None,
        };
        let search = Search {
            scope: Scope::default(),
            field: VECTOR,
            metric: Metric::L2,
            queries: QueryVectors::new(self.queries.iter().flat_map(|number| vector(*number)).collect(), WIDTH),
            limit: self.limit,
            offset: 0,
            range: self.width.map(|radius| ValueRange { radius, near: None }),
            group,
            page,
            output: Vec::new(),
            effort: Effort::Exact,
        };
        Arc::new(Wanted::of(&schema(), search).unwrap())
    }

    fn round(&self) -> SearchRound {
        match &self.kind {
            Kind::Members(groups, size) => {
                let groups: Vec<_> = groups.iter().map(|group| PrimaryKey::Int(*group)).collect();
                SearchRound::Members { groups: vec![groups; self.queries.len()], size: *size }
            }
            _ => SearchRound::First,
        }
    }

    /// The live rows, behind some places that belong to rows before them.
    fn comparison(&self, piece_rows: usize) -> Comparison {
        let start = 1_000;
        let live = || (start..).zip(&self.rows).filter(|(_, row)| row.is_live);
        let column =
            |of: fn(&Row) -> i64| KeyColumn::of(Arc::new(Int64Array::from_iter_values(live().map(|(_, row)| of(row)))));
        let batch = Survivors {
            source: 3,
            rows: live().count() as u64,
            places: live().map(|(place, _)| place).collect(),
            keys: Some(column(|row| row.key)),
            times: live().map(|(_, row)| Timestamp(row.ts)).collect(),
            groups: Some(column(|row| row.group)).filter(|_| matches!(self.kind, Kind::Groups | Kind::Members(..))),
        };
        let mut rest = self.rows.as_slice();
        let mut parts = Vec::new();
        for rows in self.parts.iter().copied().chain([usize::MAX]) {
            let (part, behind) = rest.split_at(rows.min(rest.len()));
            let bytes: Vec<u8> = part.iter().flat_map(|row| vector(row.number)).collect();
            parts.push(Vectors::dense(Buffer::from_vec(bytes), WIDTH));
            rest = behind;
        }
        let rows = 0..batch.places.len();
        Comparison::new(self.wanted(), Arc::new(batch), rows, start, parts.into(), piece_rows * WIDTH)
    }
}

/// Rank, key and place of every row, for each query.
fn hits(found: Vec<FoundRows>) -> Vec<Vec<(f32, PrimaryKey, RowPlace)>> {
    let hits = |found: FoundRows| found.into_hits().into_iter().map(|hit| (hit.rank.0, hit.key, hit.place)).collect();
    found.into_iter().map(hits).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// `turns` are the threads that take the pieces, and the order in which their lists are merged.
    #[test]
    fn divided_rows_give_the_lists_of_undivided_ones(
        case in case(),
        piece_rows in 1..9usize,
        threads in 2..5usize,
        turns in prop::collection::vec(0..20usize, 20),
    ) {
        let (wanted, round) = (case.wanted(), case.round());
        let kernels = (0..case.queries.len()).map(|query| Kernel::new(Metric::L2, &wanted.search.queries, query));
        let kernels: Vec<_> = kernels.collect();
        let checkpoint = Checkpoint::none();
        let mut undivided = wanted.places(&round);
        let whole = case.comparison(usize::MAX / WIDTH);
        whole.take_pieces(&mut undivided, &checkpoint).unwrap();

        let mut lists: Vec<_> = (0..threads).map(|_| wanted.places(&round)).collect();
        let divided = case.comparison(piece_rows);
        let mut turns = turns.into_iter().cycle();
        let mut turn = |most: usize| turns.next().unwrap() % most;
        while let Some(piece) = divided.take_piece() {
            divided.compare(piece, &kernels, &mut lists[turn(threads)], &checkpoint).unwrap();
        }
        let first = lists.swap_remove(turn(threads));
        let mut others = Vec::new();
        while !lists.is_empty() {
            others.push(lists.swap_remove(turn(lists.len())));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let merged = runtime.block_on(merged(first, others, &Interrupt::default())).unwrap();
        prop_assert_eq!(hits(merged), hits(undivided));
    }
}

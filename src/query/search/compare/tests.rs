//! Rows that are divided among threads in every way, for several searches, beside the same rows compared by one for one.

use std::sync::{
    Arc, Barrier, Mutex,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use arrow_array::Int64Array;
use arrow_buffer::Buffer;
use futures::{
    FutureExt,
    future::{BoxFuture, join3},
};
use proptest::prelude::*;
use tokio::sync::Notify;

use super::{
    super::{
        grouped::FoundRows,
        wanted::{SearchRound, Wanted},
    },
    joint::JointComparison,
    *,
};
use crate::{
    kit::model as fixture,
    model::{CollectionSchema, DataType, FieldId, Metric, PrimaryKey, Timestamp},
    query::{
        Effort, Grouping, IteratorPage, QueryError, QueryLimits, QueryVectors, Range as ValueRange, Scope, Search,
        SearchCores,
        interrupt::{Checkpoint, Interrupt},
        scan::{KeyColumn, Survivors},
        select::RowPlace,
    },
    storage::Vectors,
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
    key: i64,
    group: i64,
    number: i64,
    ts: u64,
}

fn row() -> impl Strategy<Value = Row> {
    (0..9i64, 0..4i64, 0..7i64, 1..4u64).prop_map(|(key, group, number, ts)| Row { key, group, number, ts })
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
struct Stored {
    rows: Vec<Row>,
    /// Rows of each part of the vectors; the last one has the rest.
    parts: Vec<usize>,
}

fn stored() -> impl Strategy<Value = Stored> {
    let rows = prop::collection::vec(row(), 1..120);
    let parts = prop::collection::vec(0..40usize, 0..4);
    (rows, parts).prop_map(|(rows, parts)| Stored { rows, parts })
}

impl Stored {
    fn vectors(&self) -> Arc<[Vectors]> {
        let mut rest = self.rows.as_slice();
        let mut parts = Vec::new();
        for rows in self.parts.iter().copied().chain([usize::MAX]) {
            let (part, behind) = rest.split_at(rows.min(rest.len()));
            let bytes: Vec<u8> = part.iter().flat_map(|row| vector(row.number)).collect();
            parts.push(Vectors::dense(Buffer::from_vec(bytes), WIDTH));
            rest = behind;
        }
        parts.into()
    }
}

#[derive(Debug, Clone)]
struct Asked {
    /// Whether the row of a place is seen; from the first one again behind the last.
    seen: Vec<bool>,
    queries: Vec<i64>,
    limit: u64,
    width: Option<f32>,
    kind: Kind,
}

fn asked() -> impl Strategy<Value = Asked> {
    let seen = prop::collection::vec(any::<bool>(), 1..50);
    let queries = prop::collection::vec(0..7i64, 1..3);
    (seen, queries, 1..9u64, prop::option::weighted(0.3, 1.0..20.0f32), kind())
        .prop_map(|(seen, queries, limit, width, kind)| Asked { seen, queries, limit, width, kind })
}

impl Asked {
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

    fn round(&self) -> Arc<SearchRound> {
        Arc::new(match &self.kind {
            Kind::Members(groups, size) => {
                let groups: Vec<_> = groups.iter().map(|group| PrimaryKey::Int(*group)).collect();
                SearchRound::Members { groups: vec![groups; self.queries.len()], size: *size }
            }
            _ => SearchRound::First,
        })
    }

    /// The rows that it sees, behind some places that belong to rows before them.
    fn comparing(&self, stored: &Stored, vectors: &Arc<[Vectors]>) -> ComparingSearch {
        let start = 1_000;
        let seen = || {
            let rows = (start..).zip(&stored.rows).zip(self.seen.iter().cycle());
            rows.filter(|(_, is_seen)| **is_seen).map(|(row, _)| row)
        };
        let column =
            |of: fn(&Row) -> i64| KeyColumn::of(Arc::new(Int64Array::from_iter_values(seen().map(|(_, row)| of(row)))));
        let batch = Survivors {
            source: 3,
            rows: seen().count() as u64,
            places: seen().map(|(place, _)| place).collect(),
            keys: Some(column(|row| row.key)),
            times: seen().map(|(_, row)| Timestamp(row.ts)).collect(),
            groups: Some(column(|row| row.group)).filter(|_| matches!(self.kind, Kind::Groups | Kind::Members(..))),
        };
        let rows = 0..batch.places.len();
        let vectors = (start, Arc::clone(vectors));
        let comparison = Comparison::new((self.wanted(), self.round()), (Arc::new(batch), rows), vectors);
        ComparingSearch { comparison, limits: QueryLimits::default(), interrupt: Interrupt::default() }
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
    fn divided_rows_give_every_search_the_lists_of_undivided_ones(
        stored in stored(),
        searches in prop::collection::vec(asked(), 1..4),
        piece_rows in 1..9usize,
        threads in 2..5usize,
        turns in prop::collection::vec(0..20usize, 20),
    ) {
        let vectors = stored.vectors();
        let comparing = || searches.iter().map(|asked| asked.comparing(&stored, &vectors));
        let checkpoint = Checkpoint::none();
        let undivided = comparing().map(|search| {
            let mut lists = search.comparison.lists();
            search.comparison.compare(&(0..u64::MAX), &search.comparison.kernels(), &mut lists, &checkpoint).unwrap();
            lists
        });
        let undivided: Vec<_> = undivided.map(hits).collect();

        let mut turns = turns.into_iter().cycle();
        let mut turn = |most: usize| turns.next().unwrap() % most;
        let mut lists: Vec<Vec<_>> =
            (0..threads).map(|_| comparing().map(|search| search.comparison.lists()).collect()).collect();
        let joint = JointComparison::of(comparing().collect(), piece_rows * WIDTH);
        while let Some(piece) = joint.take_piece() {
            for (search, lists) in comparing().zip(&mut lists[turn(threads)]) {
                search.comparison.compare(&piece, &search.comparison.kernels(), lists, &checkpoint).unwrap();
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut divided = lists.swap_remove(turn(threads));
        while !lists.is_empty() {
            let other = lists.swap_remove(turn(lists.len()));
            let both = divided.into_iter().zip(other);
            let all = both.map(|(all, part)| runtime.block_on(merged(all, vec![part], &Interrupt::default())).unwrap());
            divided = all.collect();
        }
        prop_assert_eq!(divided.into_iter().map(hits).collect::<Vec<_>>(), undivided);
    }
}

/// The numbers of searches in the order in which they compared pieces.
type Compared = Arc<Mutex<Vec<usize>>>;

/// Ten rows, one piece each, and searches that see all of them.
struct Together {
    stored: Stored,
    vectors: Arc<[Vectors]>,
    cores: SearchCores,
    compared: Compared,
}

impl Together {
    fn new() -> Self {
        let rows = (0..10).map(|number| Row { key: number, group: 0, number, ts: 1 }).collect();
        let stored = Stored { rows, parts: Vec::new() };
        let vectors = stored.vectors();
        Self { stored, vectors, cores: SearchCores::new(1).with_pieces_of(WIDTH), compared: Compared::default() }
    }

    /// The search for the row of its number. `on_piece` is called before each piece.
    fn search(&self, number: usize, on_piece: Box<dyn Fn() + Send + Sync>) -> BoxFuture<'static, Answer> {
        let asked = Asked { seen: vec![true], queries: vec![number as i64], limit: 1, width: None, kind: Kind::Rows };
        let compared = Arc::clone(&self.compared);
        let interrupt = Interrupt::observed(Arc::new(move |units| {
            if units == 1 {
                compared.lock().unwrap().push(number);
                on_piece();
            }
        }));
        let search = asked.comparing(&self.stored, &self.vectors);
        let limits = QueryLimits { cores: self.cores.clone(), ..QueryLimits::default() };
        let search = async move {
            let _ends_with_the_caller = interrupt.on_drop();
            let own = search.comparison.lists();
            let found = compare(ComparingSearch { limits, interrupt, ..search }, own).await?;
            Ok(found.into_iter().flat_map(FoundRows::into_hits).map(|hit| hit.place.row as i64 - 1_000).collect())
        };
        search.boxed()
    }

    fn plain(&self, number: usize) -> BoxFuture<'static, Answer> {
        self.search(number, Box::new(|| {}))
    }
}

/// The rows that a search found.
type Answer = Result<Vec<i64>, QueryError>;

/// Lets a search wait for its turn. No turn begins meanwhile: its task runs when the test waits.
fn begin(search: &mut BoxFuture<'static, Answer>) {
    assert!(search.now_or_never().is_none());
}

#[tokio::test]
async fn searches_that_wait_for_the_same_vectors_compare_them_together() {
    let all = Together::new();
    let [mut first, mut second, mut third] = [1, 2, 3].map(|number| all.plain(number));
    [&mut first, &mut second, &mut third].into_iter().for_each(begin);
    let (first, second, third) = join3(first, second, third).await;
    assert_eq!([first.unwrap(), second.unwrap(), third.unwrap()], [[1], [2], [3]]);
    let expected = [vec![1; 10], [2, 3].repeat(10)].concat();
    assert_eq!(*all.compared.lock().unwrap(), expected, "piece by piece");
    assert_eq!(all.plain(4).await.unwrap(), [4], "nobody waits any more");
    assert_eq!(all.cores.free(), 1);
}

#[tokio::test]
async fn a_search_that_is_given_up_takes_no_other_with_it() {
    let all = Together::new();
    let (begun, release) = (Arc::new(Notify::new()), Arc::new(Barrier::new(2)));
    let on_piece = {
        let (begun, release) = (Arc::clone(&begun), Arc::clone(&release));
        let once = AtomicBool::new(false);
        Box::new(move || {
            if !once.swap(true, SeqCst) {
                begun.notify_one();
                release.wait();
            }
        })
    };
    let mut within = all.search(1, on_piece);
    begin(&mut within);
    begun.notified().await;
    let [mut before, mut stays, mut last] = [2, 3, 4].map(|number| all.plain(number));
    [&mut before, &mut stays, &mut last].into_iter().for_each(begin);
    drop((within, before));
    release.wait();
    assert_eq!((stays.await.unwrap(), last.await.unwrap()), (vec![3], vec![4]));
    assert!(!all.compared.lock().unwrap().contains(&2));
    assert_eq!(all.cores.free(), 1);
}

#[tokio::test]
async fn a_turn_that_breaks_down_ends_its_searches_and_no_others() {
    let all = Together::new();
    let [mut first, mut third, mut fourth] = [1, 3, 4].map(|number| all.plain(number));
    let mut second = all.search(2, Box::new(|| panic!("of the test")));
    [&mut first, &mut second, &mut third].into_iter().for_each(begin);
    assert_eq!(first.await.unwrap(), [1]);
    begin(&mut fourth);
    for broken in [second, third] {
        let error = broken.await.unwrap_err();
        assert!(matches!(&error, QueryError::Comparison(reason) if reason.contains("of the test")), "{error}");
    }
    assert_eq!(fourth.await.unwrap(), [4]);
    assert_eq!(all.cores.free(), 1);
}

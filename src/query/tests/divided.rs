//! Searches that are divided among cores.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread::{self, ThreadId},
    time::Duration,
};

use futures::future::try_join_all;
use proptest::prelude::*;
use tokio::sync::Notify;

use super::{
    super::interrupt::Interrupt,
    model::{Backing, Case, case, read_set, rows_of, scope},
    *,
};
use crate::{
    memory::Pool,
    query::{Grouping, IteratorPage, QueryLimits, Range, ReadSet, SearchCores, search, search::search_until},
};

/// Far longer than it takes; a test that gets here fails.
const PATIENCE: Duration = Duration::from_secs(60);
const ROWS: i64 = 40_000;
const QUERIES: usize = 50;

fn divided(cores: usize) -> QueryLimits {
    QueryLimits { cores: SearchCores::new(cores).with_pieces_of(8), ..QueryLimits::default() }
}

fn many_rows(schema: &CollectionSchema) -> ReadSet {
    let rows: Vec<Row> = (0..ROWS).map(|i| Row { row_id: i, ts: 10, key: ROWS - i, number: i }).collect();
    ReadSet { sources: vec![growing(schema, 1, 0, &[rows], Vec::new())], deletes: Vec::new() }
}

async fn check(case: Case, halves: Vec<i32>, form: u8, width: Option<f32>, size: u64) -> Result<(), TestCaseError> {
    let schema = schema(if case.text_keys { DataType::VarChar } else { DataType::Int64 });
    let rows = rows_of(&case.sources);
    let vectors: Vec<[f32; 2]> = halves.iter().map(|half| [1000.0 + *half as f32 / 2.0, 0.5]).collect();
    let asked = Search {
        scope: scope(&case, &schema),
        queries: queries(if form == 1 { &vectors[..1] } else { &vectors }),
        range: width.map(|radius| Range { radius, near: None }),
        page: (form == 1).then_some(IteratorPage { after: width.map(|width| width / 4.0) }),
        group: (form == 2).then_some(Grouping { field: NUMBER, size }),
        offset: case.offset,
        output: vec![FieldId::ROW_ID, VECTOR],
        ..nearest_to(0.0, case.limit.unwrap_or(7))
    };
    for backing in &Backing::ways() {
        let set = read_set(&case, &schema, &rows, backing, None).await;
        let undivided = search(&schema, set, asked.clone(), &QueryLimits::default()).await.unwrap();
        // Others search the same vectors, for other rows.
        let limits = divided(4);
        let unfiltered = Search { scope: Scope::default(), ..asked.clone() };
        let mut searches = Vec::new();
        for asked in [&unfiltered, &asked, &unfiltered] {
            let set = read_set(&case, &schema, &rows, backing, None).await;
            searches.push(search(&schema, set, asked.clone(), &limits));
        }
        let found = try_join_all(searches).await.unwrap().swap_remove(1);
        prop_assert_eq!((found.counts, found.scores), (undivided.counts, undivided.scores));
        prop_assert_eq!(found.rows, undivided.rows);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn divided_searches_have_the_answers_of_undivided_ones(
        case in case(),
        halves in prop::collection::vec(0..80i32, 1..4),
        form in 0..3u8,
        width in prop::option::weighted(0.3, 1.0..400.0f32),
        size in 1..4u64,
    ) {
        let check = check(case, halves, form, width, size);
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(check)?;
    }
}

/// Lets the first thread that compares go on only when another one has compared, too.
#[tokio::test]
async fn one_search_computes_on_two_cores() {
    let schema = schema(DataType::Int64);
    let threads: Arc<Mutex<HashSet<ThreadId>>> = Arc::default();
    let (meet, met) = mpsc::channel();
    let met = Mutex::new(met);
    let observer = {
        let threads = Arc::clone(&threads);
        move |units: usize| {
            // A piece has one row; everything else of this search is more, or the begin of work.
            if units != 1 {
                return;
            }
            let (is_new, count) = {
                let mut threads = threads.lock().unwrap();
                (threads.insert(thread::current().id()), threads.len())
            };
            match (is_new, count) {
                (true, 1) => met.lock().unwrap().recv_timeout(PATIENCE).expect("another thread compares"),
                (true, 2) => meet.send(()).unwrap(),
                _ => {}
            }
        }
    };
    let interrupt = Interrupt::observed(Arc::new(observer));
    let found = search_until(&schema, many_rows(&schema), nearest_to(100.2, 3), &divided(2), interrupt).await.unwrap();
    assert_eq!(int_column(&found.rows, 0), [100, 101, 99]);
    assert_eq!(threads.lock().unwrap().len(), 2);
}

/// Pieces of work that a search for so many rows gives to other threads.
async fn begun(limits: &QueryLimits, rows: u64) -> usize {
    let schema = schema(DataType::Int64);
    let begun = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&begun);
    let interrupt = Interrupt::observed(Arc::new(move |units| {
        counter.fetch_add(usize::from(units == 0), SeqCst);
    }));
    search_until(&schema, many_rows(&schema), nearest_to(100.2, rows), limits, interrupt).await.unwrap();
    begun.load(SeqCst)
}

#[tokio::test]
async fn a_search_stays_on_one_core_while_others_have_the_rest() {
    let undivided = begun(&QueryLimits::default(), 3).await;
    let limits = divided(4);
    assert_eq!(begun(&limits, 3).await, undivided + 3);
    let others = [limits.cores.begin(), limits.cores.begin()];
    assert_eq!(begun(&limits, 3).await, undivided + 1);
    let third = limits.cores.begin();
    assert_eq!(begun(&limits, 3).await, undivided);
    drop((others, third));
    assert_eq!(begun(&limits, 3).await, undivided + 3, "the cores are free again");
    // Few rows are not worth another core.
    let usual = QueryLimits { cores: SearchCores::new(4), ..QueryLimits::default() };
    assert_eq!(begun(&usual, 3).await, undivided);
}

/// Five binlogs. The first search brings their vectors into memory, one after the other.
#[tokio::test]
async fn vectors_in_memory_are_compared_as_one_part() {
    let schema = schema(DataType::Int64);
    let store = SegmentStore::in_memory();
    let rows: Vec<Row> = (0..400).map(|i| Row { row_id: i, ts: 10, key: 400 - i, number: i }).collect();
    let source = flushed(&store, &schema, 10, 1, 0, &rows, &[]).await;
    let source = source.with_cache(Arc::new(SegmentCache::new(4 << 20)));
    let mut begun = Vec::new();
    for _ in 0..3 {
        let comparisons = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&comparisons);
        let interrupt = Interrupt::observed(Arc::new(move |units| {
            counter.fetch_add(usize::from(units == 0), SeqCst);
        }));
        let set = ReadSet { sources: vec![Box::new(source.clone())], deletes: Vec::new() };
        let limits = QueryLimits::default();
        let found = search_until(&schema, set, nearest_to(100.2, 3), &limits, interrupt).await.unwrap();
        assert_eq!(int_column(&found.rows, 0), [100, 101, 99]);
        begun.push(comparisons.load(SeqCst));
    }
    assert_eq!([begun[0] - begun[1], begun[1] - begun[2]], [4, 0]);
}

/// The lists of a core take 96 kB here. The read itself needs somewhat more, but afterwards.
#[tokio::test]
async fn a_search_is_divided_among_as_many_cores_as_its_memory_has_lists_for() {
    const MOST: u64 = 4 << 20;
    let undivided = begun(&QueryLimits::default(), 300).await;
    for (room, more) in [(130_000, 1), (230_000, 2), (MOST, 3)] {
        let memory = Some(Pool::new("some.key", MOST).account(0).await);
        let limits = QueryLimits { memory, ..divided(4) };
        limits.hold(MOST - room).unwrap();
        assert_eq!(begun(&limits, 300).await, undivided + more, "{room}");
    }
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// All threads are held in the middle of comparing, and the search is dropped. None of them compares to the end.
#[tokio::test]
async fn a_dropped_search_ends_on_every_core() {
    let schema = schema(DataType::Int64);
    let (held, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (go_on, waiting) = mpsc::channel::<()>();
    let (threads, ranks): (Arc<Mutex<HashSet<ThreadId>>>, Arc<AtomicUsize>) = Default::default();
    let observer = {
        let (held, ended, ranks) = (Arc::clone(&held), NotifyOnDrop(Arc::clone(&ended)), Arc::clone(&ranks));
        let waiting = Mutex::new(waiting);
        move |units: usize| {
            let _held_by_the_work = &ended;
            if units != 1 {
                return;
            }
            ranks.fetch_add(1, SeqCst);
            let (is_new, count) = {
                let mut threads = threads.lock().unwrap();
                (threads.insert(thread::current().id()), threads.len())
            };
            if is_new && count == 3 {
                held.notify_one();
            }
            if is_new {
                let told = waiting.lock().unwrap().recv_timeout(PATIENCE);
                assert_eq!(told, Err(mpsc::RecvTimeoutError::Disconnected), "the test drops the other end");
            }
        }
    };
    let limits = divided(3);
    let cores = limits.cores.clone();
    let interrupt = Interrupt::observed(Arc::new(observer));
    let vectors: Vec<[f32; 2]> = (0..QUERIES).map(|i| [i as f32, 0.5]).collect();
    let asked = Search { queries: queries(&vectors), ..nearest_to(0.0, 3) };
    let mut running =
        Box::pin(async move { search_until(&schema, many_rows(&schema), asked, &limits, interrupt).await.map(drop) });
    tokio::select! {
        result = &mut running => panic!("ended by itself: {result:?}"),
        () = held.notified() => {}
    }
    assert_eq!(cores.free(), 0);
    drop(running);
    drop(go_on);
    ended.notified().await;
    // Each thread looks at the token after 65,536 ranks. Two million would have to be computed.
    let ranks = ranks.load(SeqCst);
    assert!(ranks <= 3 * 70_000, "{ranks}");
    assert_eq!(cores.free(), 3);
}

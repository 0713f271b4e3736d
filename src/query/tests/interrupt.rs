//! A dropped read ends on every thread that works for it. The tests count the work after the drop.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use futures::FutureExt;
use rstest::rstest;
use tokio::sync::Notify;

use super::{super::interrupt::Interrupt, *};
use crate::query::{
    Query, QueryError, QueryLimits, ReadSet, Scope, count::count_until, count::matching_keys_until,
    search::search_until, select::query_until,
};

/// Counts work. At the given amount it notifies the test and blocks the work until the test lets it continue.
#[derive(Default)]
struct Work {
    done: AtomicUsize,
    hold_at: usize,
    held: Notify,
    ended: Arc<Notify>,
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Work {
    fn interrupt(self: &Arc<Self>, go_on: mpsc::Receiver<()>) -> Interrupt {
        let (work, go_on) = (Arc::clone(self), Mutex::new(go_on));
        let ended = NotifyOnDrop(Arc::clone(&self.ended));
        Interrupt::observed(Arc::new(move |units| {
            let _held_by_the_work = &ended;
            let before = work.done.fetch_add(units, Ordering::SeqCst);
            if before < work.hold_at && before + units >= work.hold_at {
                work.held.notify_one();
                go_on.lock().unwrap().recv().unwrap();
            }
        }))
    }
}

#[derive(Debug, Clone, Copy)]
enum Read {
    Count,
    Keys,
    Rows,
    Nearest,
}

const ROWS: i64 = 200_000;

fn read_set(schema: &Arc<CollectionSchema>) -> ReadSet {
    let rows: Vec<Row> = (0..ROWS).map(|i| Row { row_id: i, ts: 10, key: ROWS - i, number: i }).collect();
    ReadSet { sources: vec![growing(schema, 1, 0, &[rows], Vec::new())], deletes: Vec::new() }
}

async fn read(read: Read, schema: Arc<CollectionSchema>, interrupt: Interrupt) -> Result<(), QueryError> {
    let filter = compile("n % 2 != 3 or n % 5 == 2", &schema).unwrap().map(Arc::new);
    let (set, scope) = (read_set(&schema), Scope { filter, ..Scope::default() });
    let limits = QueryLimits::default();
    match read {
        Read::Count => count_until(&schema, set, scope, interrupt).await.map(drop),
        Read::Keys => matching_keys_until(&schema, set, scope, &limits, interrupt).await.map(drop),
        Read::Rows => {
            let query = Query { scope, output: vec![KEY], limit: None, offset: 0 };
            query_until(&schema, set, query, &limits, interrupt).await.map(drop)
        }
        Read::Nearest => {
            // Ten million distances.
            let vectors: Vec<[f32; 2]> = (0..50).map(|i| [i as f32, 0.5]).collect();
            let search = Search { scope, queries: queries(&vectors), ..nearest_to(0.0, 10) };
            search_until(&schema, set, search, &limits, interrupt).await.map(drop)
        }
    }
}

/// One large batch in memory; dropped early and late, while rows are evaluated and while they are collected.
#[rstest]
#[case(Read::Count)]
#[case(Read::Keys)]
#[case(Read::Rows)]
#[case(Read::Nearest)]
#[tokio::test]
async fn a_dropped_read_stops_working(#[case] kind: Read) {
    let schema = schema(DataType::Int64);
    let whole = Arc::new(Work::default());
    read(kind, Arc::clone(&schema), whole.interrupt(mpsc::channel().1)).await.unwrap();
    let whole = whole.done.load(Ordering::SeqCst);
    for part in [0.01, 0.3, 0.6] {
        let work = Arc::new(Work { hold_at: (whole as f64 * part) as usize, ..Work::default() });
        let (go_on, held) = mpsc::channel();
        let mut running = Box::pin(read(kind, Arc::clone(&schema), work.interrupt(held)));
        tokio::select! {
            result = &mut running => panic!("ended by itself: {result:?}"),
            () = work.held.notified() => {}
        }
        let before = work.done.load(Ordering::SeqCst);
        drop(running);
        go_on.send(()).unwrap();
        work.ended.notified().await;
        let after = work.done.load(Ordering::SeqCst) - before;
        assert!(after <= 100_000 && before + after < whole, "{part}: {after} behind {before} of {whole}");
    }
}

/// The read is dropped while all threads are busy. Its work must not begin when a thread becomes free.
#[test]
fn work_that_waits_for_a_thread_never_begins() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (free, busy) = mpsc::channel::<()>();
        let other = tokio::task::spawn_blocking(move || busy.recv().unwrap());
        let work = Arc::new(Work::default());
        let schema = schema(DataType::Int64);
        let mut running = Box::pin(read(Read::Count, schema, work.interrupt(mpsc::channel().1)));
        assert!((&mut running).now_or_never().is_none());
        drop(running);
        free.send(()).unwrap();
        other.await.unwrap();
        // Queued behind all other work, so that is done when this is.
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert_eq!(work.done.load(Ordering::SeqCst), 0);
    });
}

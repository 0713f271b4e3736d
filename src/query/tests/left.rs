//! Reads whose callers leave while a thread works for them.

use std::{
    io,
    pin::{Pin, pin},
};

use tokio::sync::mpsc;

use super::*;
use crate::{
    machine::{Machine, Work, put_in_place},
    memory::{Pool, Spare},
    query::interrupt::Interrupt,
};

/// Hands all work to the test.
#[derive(Debug)]
struct Handing(mpsc::UnboundedSender<Work>);

impl Machine for Handing {
    fn cores(&self) -> usize {
        1
    }

    fn begin(&self, work: Work) -> io::Result<()> {
        self.0.send(work).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn wait(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        futures::executor::block_on(future);
    }

    fn unique(&self) -> u128 {
        1
    }
}

/// Runs the work of a read until its caller leaves, which is before the work of this number has ended. Returns that work;
/// None: the read has ended.
async fn leave(read: impl Future, number: usize, begun: &mut mpsc::UnboundedReceiver<Work>) -> Option<Work> {
    let mut read = pin!(read);
    for done in 0.. {
        let work = tokio::select! {
            biased;
            work = begun.recv() => work?,
            _ = &mut read => return None,
        };
        if done == number {
            return Some(work);
        }
        work();
    }
    None
}

/// An index may have gigabytes, and a caller may ask again at once.
#[tokio::test]
async fn the_memory_of_a_load_counts_until_its_thread_has_ended() {
    let schema = schema(DataType::Int64);
    let rows: Vec<Row> = (0..200).map(|i| Row { row_id: i, ts: 10, key: i, number: i }).collect();
    let store = SegmentStore::in_memory();
    let source = flushed(&store, &schema, 10, 1, 0, &rows, &[delete(&schema, 3, 11)]).await;
    let source = indexed(&store, source, (1, 10), &rows, Metric::L2).await;
    let pool = Pool::new("some.key", 64 << 20);
    let account = pool.account(0).await;

    let (handing, mut begun) = mpsc::unbounded_channel();
    let _machine = put_in_place(Arc::new(Handing(handing)));
    let interrupt = Interrupt::default();
    let mut all_counted = Vec::new();
    for load in ["index", "column", "deletes"] {
        let mut counted = 0;
        for number in 0.. {
            // Nothing was kept: the caller has always left.
            let source = source.clone().with_cache(Arc::new(SegmentCache::new(4 << 20)));
            let spare = Spare::beside(&account);
            let read = async {
                match load {
                    "index" => drop(source.index(VECTOR, &spare).await.unwrap()),
                    "column" => source.keep(&[NUMBER], &spare).await,
                    _ => drop(source.deletes(&interrupt, &spare).await.unwrap()),
                }
                drop(spare);
            };
            let Some(work) = leave(read, number, &mut begun).await else { break };
            // Decoding a binlog counts nothing of its own.
            counted += usize::from(pool.used_bytes() > 0);
            work();
            assert_eq!(pool.used_bytes(), 0, "{load}");
        }
        all_counted.push((load, counted));
    }
    assert_eq!(all_counted, [("index", 1), ("column", 1), ("deletes", 1)]);
}

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use proptest::prelude::*;

use super::*;
use crate::{
    clock::{Clock, ManualClock},
    error::{Classify, ErrorKind},
    model::Timestamp,
};

/// Counts the stores, and refuses them when told to.
#[derive(Default)]
struct Watched {
    inner: MemoryBounds,
    saves: AtomicU64,
    refuse: AtomicBool,
    refusal: Option<ErrorKind>,
}

impl Watched {
    fn saves(&self) -> u64 {
        self.saves.load(Ordering::SeqCst)
    }

    fn refuse(&self, refuse: bool) {
        self.refuse.store(refuse, Ordering::SeqCst);
    }
}

#[async_trait]
impl BoundStore for Watched {
    async fn load(&self, name: &str) -> Result<u64, BoundError> {
        self.inner.load(name).await
    }

    async fn save(&self, name: &str, bound: u64) -> Result<(), BoundError> {
        self.saves.fetch_add(1, Ordering::SeqCst);
        if self.refuse.load(Ordering::SeqCst) {
            let kind = self.refusal.unwrap_or(ErrorKind::Transient);
            return Err(BoundError { kind, message: "store is away".to_owned() });
        }
        self.inner.save(name, bound).await
    }
}

async fn open_at(store: Arc<dyn BoundStore>, ms: u64) -> Numbers {
    open(store, Arc::new(ManualClock::at(ms))).await.unwrap()
}

/// Lets the keeper tick once.
async fn one_tick() {
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn ids_start_at_the_clock_and_go_on_after_a_restart() {
    let store = Arc::new(MemoryBounds::default());
    let first = open_at(store.clone(), 1_700_000_000_000).await.ids;
    assert_eq!(first.next().await.unwrap(), 1_700_000_000_000 << 18);
    let last = first.alloc(10).await.unwrap().end;
    // A clock that went back must not lead back.
    let second = open_at(store, 5).await.ids;
    assert!(second.next().await.unwrap() >= last);
}

#[tokio::test]
async fn an_id_is_never_one_even_at_the_epoch() {
    let ids = open_at(Arc::new(MemoryBounds::default()), 0).await.ids;
    assert!(ids.next().await.unwrap() > 1);
}

#[tokio::test]
async fn a_refused_bound_gives_no_number() {
    let store = Arc::new(Watched::default());
    store.refuse(true);
    let ids = open_at(store.clone(), 1).await.ids;
    assert_eq!(ids.next().await.unwrap_err().kind(), ErrorKind::Transient);
    store.refuse(false);
    assert!(ids.next().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_bound_moves_ahead_of_need_and_rests_while_idle() {
    let store = Arc::new(Watched::default());
    let clock = Arc::new(ManualClock::at(1_000_000));
    let numbers = open(store.clone(), clock.clone()).await.unwrap();
    let tso = &numbers.tso;
    tso.next().await.unwrap();
    assert_eq!(store.saves(), 1);
    clock.advance(Duration::from_millis(2_000));
    tso.next().await.unwrap();
    one_tick().await;
    assert_eq!(store.saves(), 2, "less than half of the window was left");
    clock.advance(Duration::from_millis(3_000));
    tso.next().await.unwrap();
    assert_eq!(store.saves(), 2, "the caller did not wait for the store");
    one_tick().await;
    clock.advance(Duration::from_secs(3_600));
    one_tick().await;
    one_tick().await;
    assert_eq!(store.saves(), 3, "an idle range needs no store");
}

#[tokio::test(start_paused = true)]
async fn a_fenced_process_moves_no_bound_ahead() {
    let store = Arc::new(Watched { refusal: Some(ErrorKind::Fenced), ..Watched::default() });
    let clock = Arc::new(ManualClock::at(1_000_000));
    let numbers = open(store.clone(), clock.clone()).await.unwrap();
    numbers.tso.next().await.unwrap();
    clock.advance(Duration::from_millis(2_000));
    numbers.tso.next().await.unwrap();
    store.refuse(true);
    one_tick().await;
    one_tick().await;
    assert_eq!(store.saves(), 2, "asked once, and not again");
    clock.advance(Duration::from_millis(3_000));
    assert_eq!(numbers.tso.next().await.unwrap_err().kind(), ErrorKind::Fenced, "a caller is told why");
}

#[tokio::test]
async fn a_stopped_keeper_releases_the_store_and_stores_nothing() {
    let store = Arc::new(Watched::default());
    let numbers = open_at(store.clone(), 1).await;
    numbers.ids.next().await.unwrap();
    numbers.keeper.stop().await;
    assert_eq!(Arc::strong_count(&store), 1);
    assert!(numbers.ids.next().await.is_ok(), "below the stored bound");
    assert_eq!(numbers.tso.next().await.unwrap_err().kind(), ErrorKind::Transient);
    assert_eq!(store.saves(), 1);
}

#[tokio::test]
async fn the_physical_part_follows_the_clock() {
    let clock = Arc::new(ManualClock::at(1_000_000));
    let tso = open(Arc::new(MemoryBounds::default()), clock.clone()).await.unwrap().tso;
    assert_eq!(tso.next().await.unwrap(), Timestamp::from_ms(1_000_000));
    assert_eq!(tso.next().await.unwrap().logical(), 1);
    clock.advance(Duration::from_millis(7));
    assert_eq!(tso.next().await.unwrap(), Timestamp::from_ms(1_000_007));
    tso.advance_past(Timestamp::from_ms(2_000_000));
    assert!(tso.next().await.unwrap() > Timestamp::from_ms(2_000_000));
}

/// Plain threads and tasks side by side; the first of them has to wait for a bound.
#[tokio::test]
async fn threads_never_share_a_number() {
    let ids = open_at(Arc::new(MemoryBounds::default()), 9).await.ids;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let ids = ids.clone();
            tokio::task::spawn_blocking(move || (0..1_000).map(|_| ids.next_blocking().unwrap()).collect::<Vec<_>>())
        })
        .collect();
    let mut all = Vec::new();
    for _ in 0..1_000 {
        all.push(ids.next().await.unwrap());
    }
    for thread in threads {
        all.extend(thread.await.unwrap());
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 5_000);
}

proptest! {
    /// Strictly increasing, although the clock jumps, the process restarts and the store refuses.
    #[test]
    fn timestamps_increase(steps in prop::collection::vec((0u64..10_000_000, 0u8..10), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let outcome: Result<(), TestCaseError> = runtime.block_on(async {
            let store = Arc::new(Watched::default());
            let mut last = Timestamp::ZERO;
            let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1));
            let mut tso = open(store.clone(), clock).await.unwrap().tso;
            for (ms, action) in steps {
                store.refuse(action == 9);
                if action < 3 {
                    tso = open_at(store.clone(), ms).await.tso;
                }
                for _ in 0..=action {
                    if let Ok(ts) = tso.next().await {
                        prop_assert!(ts > last);
                        last = ts;
                    }
                }
            }
            Ok(())
        });
        outcome?;
    }
}

//! One memory limit for all merging of the process (promise P8).
//!
//! At the start of each of its steps, a plan reserves the bytes that it holds all the time plus those of its largest unit
//! of work, so that it can always run one unit at a time. Further units run beside that one only while the budget has
//! room *right now*: a running plan never waits for memory, so plans can't block each other, and a plan that waits to
//! start is served in order of arrival, before any extra unit of the running ones.
//!
//! Nothing is refused: a plan that needs more than the whole limit takes the whole limit and runs alone.
//!
//! Must never: wait for memory while holding some.

use std::{future::Future, sync::Arc};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fault::{self, Planted};

const KIB: u64 = 1024;
/// Of the limit: an object that is read whole takes no more than one of so many parts.
const WHOLE_SHARE: u64 = 16;
/// Below this, asking for parts costs more than holding the whole.
const LEAST_WHOLE: u64 = 64 << 10;
/// Above this, more at once does not make reading faster.
const MOST_WHOLE: u64 = 16 << 20;
/// A page of fewer bytes is more header than page.
const LEAST_PAGE: u64 = 4096;
/// Above this, writing more small objects together saves nothing.
const MOST_WAITING: u64 = 8 << 20;

/// Bytes shared by all running plans.
#[derive(Debug, Clone)]
pub(super) struct MemoryBudget {
    /// One permit is one KiB.
    permits: Arc<Semaphore>,
    limit_kib: u32,
}

/// Memory that is accounted for until this is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    _permit: Option<OwnedSemaphorePermit>,
}

impl MemoryBudget {
    pub(super) fn new(limit_bytes: u64) -> Self {
        let limit_kib = (limit_bytes / KIB).clamp(1, (u32::MAX / 2).into()) as u32;
        Self { permits: Arc::new(Semaphore::new(limit_kib as usize)), limit_kib }
    }

    pub(super) fn limit_bytes(&self) -> u64 {
        u64::from(self.limit_kib) * KIB
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.limit_bytes().saturating_sub(self.permits.available_permits() as u64 * KIB)
    }

    /// Objects up to this size are read whole; of larger ones no more than this is in memory.
    pub(super) fn whole_bytes(&self) -> u64 {
        (self.limit_bytes() / WHOLE_SHARE).clamp(LEAST_WHOLE, MOST_WHOLE)
    }

    /// Bytes that reading an object of this size holds at most.
    pub(super) fn reading_bytes(&self, object_bytes: u64) -> u64 {
        object_bytes.min(self.whole_bytes())
    }

    /// Bytes of the pages that are written: as configured, if there is room for that.
    pub(super) fn page_bytes(&self, configured: u64) -> u64 {
        configured.min(self.limit_bytes() / WHOLE_SHARE).max(LEAST_PAGE)
    }

    /// Rows in memory that become a binlog. One column of them may be nearly all of it, is held twice, and must leave room
    /// for another one.
    pub(super) fn binlog_bytes(&self, configured: u64) -> u64 {
        configured.min(self.limit_bytes() / 4).max(1)
    }

    /// Small objects wait until they have this size together.
    pub(super) fn waiting_bytes(&self) -> u64 {
        (self.limit_bytes() / WHOLE_SHARE).min(MOST_WAITING)
    }

    fn kib(&self, bytes: u64) -> u32 {
        bytes.div_ceil(KIB).min(self.limit_kib.into()) as u32
    }

    /// Waits, first come first served, until `bytes` are free.
    pub(super) async fn reserve(&self, bytes: u64) -> Reservation {
        if fault::planted(Planted::MemoryNotTaken) {
            return Reservation { _permit: None };
        }
        // The semaphore is never closed, so there is always a permit.
        let permit = self.permits.clone().acquire_many_owned(self.kib(bytes)).await.ok();
        if fault::planted(Planted::MemoryLeaked) {
            if let Some(permit) = permit {
                permit.forget();
            }
            return Reservation { _permit: None };
        }
        Reservation { _permit: permit }
    }

    /// None if the bytes are not free, or another plan waits for them.
    fn try_reserve(&self, bytes: u64) -> Option<Reservation> {
        let permit = self.permits.clone().try_acquire_many_owned(self.kib(bytes)).ok()?;
        Some(Reservation { _permit: Some(permit) })
    }
}

/// Runs the units of one plan, `parallel` at a time at most and in order of their start: one in the plan's own
/// reservation, others beside it as the budget allows. `run` is told the unit; its result is handed to `done`.
///
/// After an error no further unit starts and `stop` is called; those that run are waited for, so that nothing is
/// written any more when this returns. The first error is returned.
pub(super) async fn run_units<U, T, E, F>(
    budget: &MemoryBudget,
    units: impl IntoIterator<Item = (u64, U)>,
    parallel: usize,
    run: impl Fn(U) -> F,
    mut done: impl FnMut(T),
    stop: impl Fn(),
) -> Result<(), E>
where
    F: Future<Output = Result<T, E>>,
{
    let mut units = units.into_iter().peekable();
    let mut running = FuturesUnordered::new();
    let mut own_is_free = true;
    let mut failure = None;
    loop {
        while failure.is_none() && running.len() < parallel.max(1) {
            let Some((bytes, _)) = units.peek() else { break };
            let extra = if own_is_free { None } else { Some(budget.try_reserve(*bytes)) };
            if matches!(extra, Some(None)) {
                break;
            }
            let Some((_, unit)) = units.next() else { break };
            own_is_free = false;
            let work = run(unit);
            running.push(async move { (work.await, extra.flatten()) });
        }
        let Some((result, extra)) = running.next().await else { break };
        own_is_free |= extra.is_none();
        match result {
            Ok(value) => done(value),
            Err(error) if failure.is_none() => {
                failure = Some(error);
                stop();
            }
            // The others were told to stop and say so.
            Err(_) => {}
        }
    }
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        collections::BTreeMap,
    };

    use futures::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Counts the units that run at once.
    #[derive(Default)]
    struct Running {
        now: Cell<usize>,
        most: Cell<usize>,
    }

    impl Running {
        /// A unit with this result, from this call on until the future is done.
        fn unit<T>(&self, result: T) -> impl Future<Output = Result<T, ()>> {
            self.now.set(self.now.get() + 1);
            self.most.set(self.most.get().max(self.now.get()));
            async move {
                tokio::task::yield_now().await;
                self.now.set(self.now.get() - 1);
                Ok(result)
            }
        }
    }

    #[tokio::test]
    async fn one_unit_runs_even_if_nothing_else_is_free() {
        let budget = MemoryBudget::new(4 * MIB);
        let _all = budget.reserve(u64::MAX).await;
        let (running, sum) = (Running::default(), Cell::new(0));
        let units = (1..=5).map(|n| (MIB, n));
        run_units(&budget, units, 8, |n| running.unit(n), |n| sum.set(sum.get() + n), || {}).await.unwrap();
        assert_eq!((running.most.get(), sum.get()), (1, 15));
    }

    #[tokio::test]
    async fn extra_units_stay_inside_the_budget_and_the_parallelism() {
        for (limit, parallel, expected) in [(4, 8, 4), (4, 3, 3), (1, 8, 1), (64, 64, 10)] {
            let budget = MemoryBudget::new(limit * MIB);
            let _own = budget.reserve(MIB).await;
            let running = Running::default();
            let units = (0..10).map(|_| (MIB, ()));
            run_units(&budget, units, parallel, |()| running.unit(()), |()| {}, || {}).await.unwrap();
            assert_eq!(running.most.get(), expected, "limit {limit} MiB, parallel {parallel}");
            assert!(budget.try_reserve((limit - 1) * MIB).is_some(), "extra reservations are returned");
        }
    }

    #[tokio::test]
    async fn a_plan_that_waits_goes_before_extra_units() {
        let budget = MemoryBudget::new(4 * MIB);
        let running = budget.reserve(2 * MIB).await;
        let waiting = budget.reserve(3 * MIB);
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(budget.try_reserve(MIB).is_none());
        drop(running);
        assert!(waiting.now_or_never().is_some());
    }

    #[tokio::test]
    async fn after_an_error_the_running_units_are_waited_for_and_no_other_starts() {
        let budget = MemoryBudget::new(64 * MIB);
        let (release, released) = oneshot::channel();
        let released = RefCell::new(Some(released));
        let (started, finished, stops) = (RefCell::new(vec![]), RefCell::new(BTreeMap::new()), Cell::new(0));
        let release = RefCell::new(Some(release));
        let result = run_units(
            &budget,
            (0..5).map(|n| (MIB, n)),
            2,
            |n| {
                started.borrow_mut().push(n);
                let (released, finished) = (&released, &finished);
                async move {
                    if n == 0 {
                        // Ends only after the other one has failed.
                        let wait = released.borrow_mut().take().unwrap();
                        wait.await.unwrap();
                        finished.borrow_mut().insert(n, ());
                        return Err("stopped");
                    }
                    Err("broken")
                }
            },
            |()| {},
            || {
                stops.set(stops.get() + 1);
                release.borrow_mut().take().unwrap().send(()).unwrap();
            },
        )
        .await;
        assert_eq!(result, Err("broken"));
        assert_eq!((started.into_inner(), finished.borrow().len(), stops.get()), (vec![0, 1], 1, 1));
    }
}

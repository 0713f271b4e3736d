//! Steps: the only way to change the catalog, and with it the truth in memory.
//!
//! A change is durable first and seen afterwards (P1). Between the two a caller may go away: its deadline passes, its
//! connection closes, the server stops. If its future were dropped there, memory would stay behind the catalog, and
//! every later change of the same records would be refused until a restart. So commit and fold are one task that
//! no caller can drop. The task owns the locks that the change is made under; the caller only waits for the result.
//!
//! Reading, writing objects and waiting for locks come before the step. They stay with the caller and may be dropped with
//! it: nothing has happened yet. So a step lasts no longer than a commit, and a stop can wait for all of them. A change
//! of several parts, which has to get from its first to its last, is one step around them: [`StepCatalog::run`].
//!
//! # When a step dies
//! A panic in a step is a defect, and it is unknown how far memory got. From then on every step is refused and the
//! health report says why: a change that was made from memory which is behind the catalog could undo an acknowledged
//! one, and garbage collection could take objects that the catalog names. The process goes on, because the log still
//! acknowledges writes that a restart finds, and reads still show durable rows. A restart ends this state: it loads
//! the catalog anew.
//!
//! The same holds for a commit that the catalog answers with an error of its store: the change may be stored all the same.
//! An error that says that nothing was stored (a conflict, a limit, the fence) is an ordinary answer.
//!
//! Nothing here decides what a change contains. No other module of the coordinator can commit: [`StepTxn`] keeps its
//! transaction to itself.

use std::{
    any::Any,
    ops::{Deref, DerefMut},
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{
    runtime::Handle,
    sync::{OwnedRwLockWriteGuard, RwLock, oneshot},
};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error};

use super::CoordinatorError;
use crate::{
    fault::{self, Planted, Point},
    meta::{Catalog, CatalogSnapshot, CatalogTxn, MetaError},
    model::{Group, SegmentId, SegmentLogs},
};

/// Characters of a panic's text that are kept.
const PANIC_TEXT: usize = 200;

/// The catalog as the coordinator has it: reads as they come, changes as steps.
#[derive(Debug)]
pub(super) struct StepCatalog {
    catalog: Catalog,
    steps: Arc<Steps>,
    running: TaskTracker,
    /// Steps run here and not in the runtime of their caller, which may end before them.
    runtime: Handle,
    /// Set after each commit.
    has_committed: Arc<AtomicBool>,
    /// Held for reading from a commit to its fold.
    changing: Arc<RwLock<()>>,
}

#[derive(Debug, Default)]
struct Steps {
    /// Why memory may be behind the catalog, once it may.
    died: OnceLock<String>,
}

/// A transaction that only [`StepCatalog::commit`] can commit.
#[derive(Debug)]
#[must_use = "nothing happens before commit"]
pub(super) struct StepTxn(CatalogTxn);

impl Deref for StepTxn {
    type Target = CatalogTxn;

    fn deref(&self) -> &CatalogTxn {
        &self.0
    }
}

impl DerefMut for StepTxn {
    fn deref_mut(&mut self) -> &mut CatalogTxn {
        &mut self.0
    }
}

impl StepCatalog {
    /// To be called where steps are to run: inside the runtime of the process. `has_committed` is set after each commit.
    pub(super) fn new(catalog: Catalog, has_committed: Arc<AtomicBool>) -> Self {
        let running = TaskTracker::new();
        // It only counts: steps can be added all the same.
        running.close();
        Self {
            catalog,
            steps: Arc::default(),
            running,
            runtime: Handle::current(),
            has_committed,
            changing: Arc::default(),
        }
    }

    /// The log lists of a segment; `NotFound` if it has none.
    pub(super) async fn segment_logs(&self, group: &Group, id: SegmentId) -> Result<SegmentLogs, MetaError> {
        self.catalog.segment_logs(group, id).await
    }

    /// Most operations that a transaction may have.
    pub(super) fn max_operations(&self) -> usize {
        self.catalog.max_operations()
    }

    pub(super) fn txn(&self) -> StepTxn {
        StepTxn(self.catalog.txn())
    }

    /// Commits, and then has `fold` take the change into memory: both, or neither. `held` are the locks that the change
    /// is made under; they go when the step has ended.
    ///
    /// Dropping the call before it is polled does nothing; afterwards it changes nothing.
    ///
    /// # Errors
    /// Those of the catalog; [`CoordinatorError::StepDied`] after a panic in any step.
    pub(super) async fn commit<T: Send + 'static>(
        &self,
        txn: StepTxn,
        held: impl Send + 'static,
        fold: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CoordinatorError> {
        let (steps, has_committed) = (Arc::clone(&self.steps), Arc::clone(&self.has_committed));
        let changing = Arc::clone(&self.changing);
        let change = async move {
            let _changing = changing.read_owned().await;
            // Asked once more: a step may have died while this one waited for its turn.
            steps.check()?;
            if fault::planted(Planted::FoldedBeforeCommit) {
                let folded = fold();
                return txn.0.commit().await.map(|()| folded).map_err(CoordinatorError::from);
            }
            fault::reached(Point::CommitBegun);
            if let Err(error) = txn.0.commit().await {
                if error.may_have_happened() && !fault::planted(Planted::UnknownForgotten) {
                    has_committed.store(true, Ordering::Release);
                    steps.lose(&error);
                }
                return Err(error.into());
            }
            fault::reached(Point::CommitDurable);
            has_committed.store(true, Ordering::Release);
            Ok(fold())
        };
        self.run_holding(held, change).await
    }

    /// Runs a change of several parts to its end, also after the caller is gone. The caller should hold a lock that the
    /// change needs, and give it to the change: that bounds how many changes of callers that are gone can be under way.
    ///
    /// # Errors
    /// Those of the change; [`CoordinatorError::StepDied`] after a panic in any step.
    pub(super) async fn run<T, E>(&self, change: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CoordinatorError> + Send + 'static,
    {
        self.run_holding((), change).await
    }

    /// `held` goes after the change has ended and its death, if so, is known: the next holder does not begin then.
    async fn run_holding<T, E>(
        &self,
        held: impl Send + 'static,
        change: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CoordinatorError> + Send + 'static,
    {
        self.check()?;
        let steps = Arc::clone(&self.steps);
        let (answer, answered) = oneshot::channel();
        // Boxed, so that tokio's task is compiled once and not for each kind of step.
        let step: BoxFuture<'static, ()> = Box::pin(async move {
            let outcome = AssertUnwindSafe(change).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|panic| Err(steps.die(&*panic).into()));
            drop(held);
            // A caller that has gone does not want to know.
            let _ = answer.send(outcome);
        });
        self.running.spawn_on(step.in_current_span(), &self.runtime);
        // Without an answer the runtime is being shut down, and with it everything that would be told.
        answered.await.unwrap_or_else(|_| Err(CoordinatorError::Stopping.into()))
    }

    /// Whether memory is certain to agree with the catalog.
    pub(super) fn check(&self) -> Result<(), CoordinatorError> {
        self.steps.check()
    }

    /// Waits for the commits under way, and holds others back while the value lives: catalog and memory agree meanwhile.
    /// To be kept for some milliseconds at most.
    pub(super) async fn hold_still(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.changing).write_owned().await
    }

    /// Everything that the catalog holds now.
    pub(super) async fn snapshot(&self) -> Result<CatalogSnapshot, MetaError> {
        self.catalog.snapshot().await
    }

    /// Waits until no step is under way.
    pub(super) async fn idle(&self) {
        self.running.wait().await;
    }
}

impl Steps {
    fn check(&self) -> Result<(), CoordinatorError> {
        self.died.get().map_or(Ok(()), |why| Err(CoordinatorError::StepDied(why.clone())))
    }

    /// Notes the first death, by a panic.
    fn die(&self, panic: &(dyn Any + Send)) -> CoordinatorError {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message");
        let why: String = text.chars().take(PANIC_TEXT).collect();
        error!(panic = %why, "a change of the catalog died: no other one is begun until a restart");
        self.end(why)
    }

    /// Notes that it is unknown whether the catalog holds a change.
    fn lose(&self, error: &MetaError) {
        error!(%error, "a change of the catalog has no answer: no other one is begun until a restart");
        self.end(format!("without an answer: {error}"));
    }

    /// The first reason stays.
    fn end(&self, why: String) -> CoordinatorError {
        CoordinatorError::StepDied(self.died.get_or_init(|| why).clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Mutex;

    use super::*;
    use crate::{
        error::{Classify, ErrorKind},
        meta::MemoryStore,
        model::{Channel, CollectionId, Database, PartitionId, Segment, Timestamp},
    };

    async fn catalog() -> StepCatalog {
        StepCatalog::new(Catalog::open(Arc::new(MemoryStore::new())).await.unwrap(), Arc::default())
    }

    fn a_change(catalog: &StepCatalog) -> StepTxn {
        let mut txn = catalog.txn();
        txn.put_database(&Database { name: "d".to_owned(), created_at: Timestamp(1) });
        txn
    }

    #[tokio::test]
    async fn a_step_whose_caller_is_gone_runs_to_its_end_with_its_locks() {
        let (catalog, lock, folded) = (catalog().await, Arc::new(Mutex::new(())), Arc::new(AtomicU32::new(0)));
        let held = Arc::clone(&lock).lock_owned().await;
        let (fold, txn) = (Arc::clone(&folded), a_change(&catalog));
        let call = catalog.commit(txn, held, move || fold.fetch_add(1, Ordering::SeqCst));
        assert!(call.now_or_never().is_none(), "polled once, and dropped");
        assert!(lock.try_lock().is_err(), "the step holds it");
        catalog.idle().await;
        assert_eq!(folded.load(Ordering::SeqCst), 1);
        assert!(lock.try_lock().is_ok());
    }

    #[tokio::test]
    async fn while_the_catalog_is_held_still_no_step_commits() {
        let (catalog, folded) = (catalog().await, Arc::new(AtomicU32::new(0)));
        let still = catalog.hold_still().await;
        let (fold, txn) = (Arc::clone(&folded), a_change(&catalog));
        let mut call = Box::pin(catalog.commit(txn, (), move || fold.fetch_add(1, Ordering::SeqCst)));
        // The step has every chance to run: this store and this runtime need no other thread.
        for _ in 0..100 {
            assert!((&mut call).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        assert_eq!(folded.load(Ordering::SeqCst), 0);
        drop(still);
        call.await.unwrap();
        assert_eq!(folded.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_refused_transaction_is_not_folded() {
        let catalog = catalog().await;
        let mut txn = a_change(&catalog);
        let group = Group { collection: CollectionId(1), partition: PartitionId(2), channel: Channel::new("c_1v0") };
        txn.expect_segment(&Segment::new(SegmentId(3), Arc::new(group)));
        let folded = Arc::new(AtomicU32::new(0));
        let fold = Arc::clone(&folded);
        let refused = catalog.commit(txn, (), move || fold.fetch_add(1, Ordering::SeqCst)).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(folded.load(Ordering::SeqCst), 0);
        assert!(catalog.check().is_ok());
    }

    #[tokio::test]
    async fn after_a_step_that_died_no_other_one_begins() {
        let catalog = catalog().await;
        let txn = a_change(&catalog);
        let out_of_luck = || -> u32 { panic!("out of luck") };
        let died = catalog.commit(txn, (), out_of_luck).await.unwrap_err().to_string();
        assert!(died.contains("out of luck"), "{died}");
        let folded = Arc::new(AtomicU32::new(0));
        let (fold, txn) = (Arc::clone(&folded), a_change(&catalog));
        let refused = catalog.commit(txn, (), move || fold.fetch_add(1, Ordering::SeqCst)).await.unwrap_err();
        assert_eq!(refused.to_string(), died);
        assert_eq!(folded.load(Ordering::SeqCst), 0);
        assert!(catalog.run(async { Ok::<_, CoordinatorError>(()) }).await.is_err() && catalog.check().is_err());
    }
}

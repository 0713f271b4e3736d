//! The rule of a start as a table, every step of a start interrupted, and random lives of catalogs and their copies.

use std::collections::BTreeSet;

use async_trait::async_trait;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    config::StorageConfig,
    coordinator::steps::StepCatalog,
    ids::BoundStore,
    kit::gate::{Fault, Gate, Operation},
    meta::{MemoryStore, MetaError, MetaSnapshot, MetaStore, Page, PageLimit, Span, Tally, Txn},
    model::{Database, Timestamp},
    storage::{Object, StorageBackend, StorageError},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn mark(catalog: u128, run: u128) -> Mark {
    Mark { catalog: Uuid::from_u128(catalog), epoch: 1, run: Uuid::from_u128(run), turn: 0 }
}

fn old(catalog: u128) -> Mark {
    Mark { epoch: 0, ..mark(catalog, 0) }
}

#[rstest]
#[case::fresh(FoundMark::Nothing, Marks::default(), false, Ok(MarkClaim::Own))]
#[case::own(FoundMark::Mark(mark(1, 5)), Marks::settled(mark(1, 5)), true, Ok(MarkClaim::Own))]
#[case::intended(FoundMark::Mark(mark(1, 6)), Marks::settled(mark(1, 5)).intending(Some(mark(1, 5)), mark(1, 6)), true, Ok(MarkClaim::Own))]
#[case::before_the_intended(FoundMark::Mark(mark(1, 5)), Marks::settled(mark(1, 5)).intending(Some(mark(1, 5)), mark(1, 6)), true, Ok(MarkClaim::Own))]
#[case::a_copy_ran_since(
    FoundMark::Mark(mark(1, 7)),
    Marks::settled(mark(1, 5)),
    true,
    Err("run 00000000-0000-0000-0000-000000000007")
)]
#[case::another_catalog(
    FoundMark::Mark(mark(2, 5)),
    Marks::settled(mark(1, 5)),
    true,
    Err("catalog 00000000-0000-0000-0000-000000000002")
)]
#[case::of_an_older_release(FoundMark::Mark(old(1)), Marks::default(), true, Ok(MarkClaim::Own))]
#[case::of_an_older_release_interrupted(FoundMark::Mark(old(1)), Marks::default().intending(None, mark(1, 5)), true, Ok(MarkClaim::Own))]
#[case::an_older_store_restored(
    FoundMark::Mark(old(1)),
    Marks::settled(mark(1, 5)),
    true,
    Err("--take-over 00000000-0000-0000-0000-000000000001")
)]
#[case::an_older_release_of_another(
    FoundMark::Mark(old(2)),
    Marks::default(),
    false,
    Err("00000000-0000-0000-0000-000000000002")
)]
#[case::a_folder_that_is_away(FoundMark::Nothing, Marks::settled(mark(1, 5)), true, Err("--take-over none"))]
#[case::an_empty_folder_of_an_older_release(FoundMark::Nothing, Marks::default(), true, Err("here (its key)"))]
#[case::torn(FoundMark::Unreadable("datac".to_owned()), Marks::settled(mark(1, 5)), true, Err("--take-over unreadable"))]
fn a_start_goes_on_with_marks_of_its_own_only(
    #[case] found: FoundMark,
    #[case] marks: Marks,
    #[case] has_segments: bool,
    #[case] expected: Result<MarkClaim, &str>,
) {
    let identity = Uuid::from_u128(1);
    let claimant = Claimant { identity, marks, has_segments, take_over: "" };
    let judged = judge("here (its key)", &found, &claimant);
    match expected {
        Ok(verdict) => assert_eq!(judged, Ok(verdict)),
        Err(part) => {
            let error = judged.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Precondition);
            let text = error.to_string();
            assert!(text.contains(part) && text.contains(&identity.to_string()), "{text}");
            // Named on purpose it is taken, and nothing else is.
            let named = Claimant { take_over: &found.name(), ..claimant.clone() };
            assert_eq!(judge("here", &found, &named), Ok(MarkClaim::TakenOver));
            let other = Claimant { take_over: "00000000-0000-0000-0000-0000000000ff", ..claimant };
            assert!(judge("here", &found, &other).is_err());
        }
    }
}

/// A catalog's file: commits that fail can be ordered.
#[derive(Debug, Default)]
struct File {
    inner: MemoryStore,
    /// Commits until the process dies, and whether that one is done first.
    dies: Mutex<Option<(u64, bool)>>,
}

impl File {
    fn copy(&self) -> Arc<Self> {
        Arc::new(Self { inner: self.inner.clone(), ..Self::default() })
    }
}

#[async_trait]
impl MetaStore for File {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        self.inner.get(key).await
    }

    async fn commit(&self, txn: Txn) -> Result<(), MetaError> {
        let dies = {
            let mut dies = self.dies.lock();
            match &mut *dies {
                Some((0, _)) => Some(false),
                Some((left, is_done)) => {
                    *left -= 1;
                    (*left == 0).then_some(*is_done)
                }
                None => None,
            }
        };
        if dies != Some(false) {
            self.inner.commit(txn).await?;
        }
        if dies.is_some() { Err(MetaError::Closed) } else { Ok(()) }
    }

    async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError> {
        self.inner.scan(span, limit).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn MetaSnapshot>, MetaError> {
        self.inner.snapshot().await
    }

    async fn tally(&self, class: &str) -> Result<Option<Tally>, MetaError> {
        self.inner.tally(class).await
    }

    fn max_operations(&self) -> usize {
        self.inner.max_operations()
    }
}

async fn start_over(
    backend: Arc<dyn StorageBackend>,
    file: &Arc<File>,
    take_over: &str,
) -> Result<Ownership, CoordinatorError> {
    let fence = Fence::default();
    let catalog = Catalog::open(Arc::clone(file) as Arc<dyn MetaStore>).await?.behind(fence.clone());
    let config = StorageConfig { max_attempts: 1, retry_backoff: Duration::ZERO, ..StorageConfig::default() };
    let store = SegmentStore::with_backend(backend, &config).for_run(fence.clone(), Default::default());
    Ownership::take(store, catalog, fence, true, (take_over, PATIENCE)).await
}

/// A store that has the mark of a catalog, with segments, and its file.
async fn owned() -> (Arc<dyn StorageBackend>, Arc<File>) {
    let backend = SegmentStore::in_memory().backend();
    let file = Arc::new(File::default());
    start_over(Arc::clone(&backend), &file, NO_MARK).await.unwrap();
    (backend, file)
}

/// A commit of outputs as the coordinator makes it.
async fn commit(owner: &Ownership) -> Result<(), CoordinatorError> {
    owner.before_commit().await?;
    change(owner).await
}

/// Any change of the catalog.
async fn change(owner: &Ownership) -> Result<(), CoordinatorError> {
    let catalog = StepCatalog::new(owner.catalog.clone(), owner.has_committed());
    let mut txn = catalog.txn();
    txn.put_database(&Database { name: "d".to_owned(), created_at: Timestamp(1) });
    catalog.commit(txn, (), || ()).await
}

#[rstest]
#[tokio::test]
async fn a_start_that_dies_at_any_step_is_repeated_and_a_copy_of_before_is_not_let_in(
    #[values(1, 2, 3, 4)] nth: u64,
    #[values(true, false)] in_catalog: bool,
    #[values(true, false)] is_done: bool,
) {
    let (backend, file) = owned().await;
    let before = file.copy();
    let faulty = Gate::new(Arc::clone(&backend));
    if in_catalog {
        *file.dies.lock() = Some((nth, is_done));
    } else {
        faulty.fail_from(None, nth, if is_done { Fault::AnswerLost } else { Fault::Unavailable });
    }
    let died = start_over(faulty, &file, "").await.is_err();
    // A start takes the epoch, notes the mark, notes that it settled; it reads the mark, swaps it, reads it again.
    assert_eq!(died, nth <= 3);
    *file.dies.lock() = None;
    let again = start_over(Arc::clone(&backend), &file, "").await.unwrap();
    again.before_commit().await.unwrap();
    let refused = start_over(Arc::clone(&backend), &before, "").await.unwrap_err();
    assert!(matches!(refused, CoordinatorError::Ownership(OwnershipError::Foreign { .. })), "{refused}");
    again.before_collecting().await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_turn_that_fails_at_any_step_is_taken_later_and_fences_nobody(
    #[values(1, 2, 3, 4, 5, 6)] nth: u64,
    #[values(true, false)] is_done: bool,
) {
    let (backend, file) = owned().await;
    let faulty = Gate::new(Arc::clone(&backend));
    let owner = start_over(faulty.clone(), &file, "").await.unwrap();
    let copy = file.copy();
    commit(&owner).await.unwrap();
    let calls = faulty.calls().len() as u64;
    faulty.fail(None, calls + nth, if is_done { Fault::AnswerLost } else { Fault::Unavailable });
    // A look, then a turn: read, swap, read.
    assert_eq!(owner.keep().await.is_err(), nth <= 4);
    faulty.heal();
    owner.before_commit().await.unwrap();
    owner.keep().await.unwrap();
    owner.before_collecting().await.unwrap();
    assert!(start_over(Arc::clone(&backend), &copy, "").await.is_err(), "it was copied before the turn");
    drop(owner);
    start_over(backend, &file, "").await.unwrap();
}

/// A turn may come between the look at the mark and the commit.
#[tokio::test]
async fn a_turn_that_overtakes_a_commit_is_followed_by_another() {
    let (backend, file) = owned().await;
    let owner = start_over(Arc::clone(&backend), &file, "").await.unwrap();
    commit(&owner).await.unwrap();
    owner.before_commit().await.unwrap();
    owner.keep().await.unwrap();
    let copy = file.copy();
    change(&owner).await.unwrap();
    owner.keep().await.unwrap();
    let refused = start_over(Arc::clone(&backend), &copy, "").await.unwrap_err();
    assert!(matches!(refused, CoordinatorError::Ownership(OwnershipError::Foreign { .. })), "{refused}");
    // Nothing more was committed, so nothing more is written.
    let mark = owner.mark();
    owner.keep().await.unwrap();
    assert_eq!(owner.mark(), mark);
}

#[tokio::test]
async fn a_store_that_is_taken_over_fences_its_former_owner_for_good() {
    let (backend, file) = owned().await;
    let first = start_over(Arc::clone(&backend), &file, "").await.unwrap();
    let copy = file.copy();
    commit(&first).await.unwrap();
    first.keep().await.unwrap();
    let refused = start_over(Arc::clone(&backend), &copy, "").await.unwrap_err().to_string();
    let named = first.mark().name().to_string();
    assert!(refused.contains(&format!("--take-over {named}")), "{refused}");
    let second = start_over(Arc::clone(&backend), &copy, &named).await.unwrap();
    assert_eq!(first.before_commit().await.unwrap_err().kind(), ErrorKind::Fenced);
    // The catalog, the bounds of its ids and the store are behind the same fence.
    let mut txn = first.catalog.txn();
    txn.put_marks(&Marks::default());
    assert_eq!(txn.commit().await.unwrap_err().kind(), ErrorKind::Fenced);
    let bounds = first.catalog.bounds();
    assert_eq!(bounds.save("ids", 5).await.unwrap_err().kind, ErrorKind::Fenced);
    let swapped = first.store.swap_mark(None, Bytes::from_static(b"x")).await;
    assert!(matches!(swapped, Err(StorageError::Fenced(_))), "{swapped:?}");
    second.before_commit().await.unwrap();
    // The same words again are no licence to take it back and forth.
    assert!(start_over(Arc::clone(&backend), &file, &named).await.is_err());
    drop(second);
    start_over(backend, &copy, &named).await.unwrap();
}

#[tokio::test]
async fn a_mark_that_is_away_for_a_moment_stops_writing_and_fences_nobody() {
    let (backend, file) = owned().await;
    let owner = start_over(Arc::clone(&backend), &file, "").await.unwrap();
    let saved = backend.get("datacoord-owner").await.unwrap();
    backend.delete("datacoord-owner").await.unwrap();
    let lost = owner.before_commit().await.unwrap_err();
    assert!(matches!(lost, CoordinatorError::Ownership(OwnershipError::Lost { .. })), "{lost}");
    assert_eq!(lost.kind(), ErrorKind::Transient);
    let object = Object { name: "datacoord-owner".to_owned(), bytes: saved, rest: None, pace: None, read_soon: true };
    backend.put(&[object]).await.unwrap();
    owner.before_commit().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_start_over_a_store_that_hangs_is_given_up() {
    let (backend, file) = owned().await;
    let gate = Gate::new(backend);
    gate.hold(Operation::Get, "");
    let error = start_over(gate, &file, "").await.unwrap_err();
    assert!(matches!(error, CoordinatorError::Ownership(OwnershipError::Silent { after: PATIENCE, .. })), "{error}");
}

#[derive(Debug, Clone)]
enum Step {
    Start(usize),
    /// A start of which the n-th commit or request is the last, done or not.
    Die(usize, u64, bool, bool),
    End(usize),
    Copy(usize, usize),
    Commit(usize),
    Keep(usize),
    TakeOver(usize),
}

const CATALOGS: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let one = 0..CATALOGS;
    prop_oneof![
        4 => one.clone().prop_map(Step::Start),
        2 => (one.clone(), 1u64..4, any::<bool>(), any::<bool>()).prop_map(|(i, n, c, d)| Step::Die(i, n, c, d)),
        2 => one.clone().prop_map(Step::End),
        3 => (one.clone(), one.clone()).prop_map(|(from, to)| Step::Copy(from, to)),
        5 => one.clone().prop_map(Step::Commit),
        2 => one.clone().prop_map(Step::Keep),
        1 => one.prop_map(Step::TakeOver),
    ]
}

/// A catalog: its file, the process that runs over it, and the commits in it.
struct Life {
    file: Arc<File>,
    owner: Option<Ownership>,
    has: BTreeSet<u64>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// However they are started, killed and copied: at most one can commit or collect, and none that was let in by itself
    /// is without something that was committed before the last turn.
    #[test]
    fn of_all_copies_at_most_one_writes_and_it_has_all_commits(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (backend, file) = owned().await;
            let mut lives: Vec<Life> =
                (0..CATALOGS).map(|_| Life { file: file.copy(), owner: None, has: BTreeSet::new() }).collect();
            let (mut commits, mut turned, mut fresh) = (0, BTreeSet::new(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Start(i) if lives[i].owner.is_none() => {
                        if let Ok(owner) = start_over(Arc::clone(&backend), &lives[i].file, "").await {
                            prop_assert!(turned.is_subset(&lives[i].has), "{turned:?} in {:?}", lives[i].has);
                            lives[i].owner = Some(owner);
                            (turned, fresh) = (lives[i].has.clone(), BTreeSet::new());
                        }
                    }
                    Step::Die(i, nth, in_catalog, is_done) if lives[i].owner.is_none() => {
                        let faulty = Gate::new(Arc::clone(&backend));
                        let fault = if is_done { Fault::AnswerLost } else { Fault::Unavailable };
                        if in_catalog {
                            *lives[i].file.dies.lock() = Some((nth, is_done));
                        } else {
                            faulty.fail_from(None, nth, fault);
                        }
                        let before = backend.get("datacoord-owner").await.unwrap();
                        let died = start_over(faulty.clone(), &lives[i].file, "").await;
                        prop_assert!(died.is_err());
                        *lives[i].file.dies.lock() = None;
                        // Its mark may be there: from then on only a catalog that knows that one is let in.
                        if backend.get("datacoord-owner").await.unwrap() != before {
                            prop_assert!(turned.is_subset(&lives[i].has));
                            (turned, fresh) = (lives[i].has.clone(), BTreeSet::new());
                        }
                    }
                    Step::End(i) => lives[i].owner = None,
                    Step::Copy(from, to) if lives[to].owner.is_none() => {
                        (lives[to].file, lives[to].has) = (lives[from].file.copy(), lives[from].has.clone());
                    }
                    Step::Commit(i) => {
                        let Some(owner) = &lives[i].owner else { continue };
                        match commit(owner).await {
                            Ok(()) => {
                                commits += 1;
                                lives[i].has.insert(commits);
                                fresh.insert(commits);
                            }
                            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Fenced),
                        }
                    }
                    Step::Keep(i) => {
                        let Some(owner) = &lives[i].owner else { continue };
                        if owner.keep().await.is_ok() {
                            turned.append(&mut fresh);
                        }
                    }
                    Step::TakeOver(i) if lives[i].owner.is_none() => {
                        let bytes = backend.get("datacoord-owner").await.unwrap();
                        let name = FoundMark::of(Some(&bytes)).name();
                        let owner = start_over(Arc::clone(&backend), &lives[i].file, &name).await;
                        lives[i].owner = Some(owner.unwrap());
                        (turned, fresh) = (lives[i].has.clone(), BTreeSet::new());
                    }
                    _ => {}
                }
                let mut writers = 0;
                for owner in lives.iter().filter_map(|life| life.owner.as_ref()) {
                    writers += usize::from(owner.before_collecting().await.is_ok());
                }
                prop_assert!(writers <= 1, "{writers} may collect");
            }
            Ok(())
        })?;
    }
}

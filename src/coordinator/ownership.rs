//! One writer (P5, P6): checks that the store still belongs to this run before anything is committed or collected.
//!
//! A catalog's epoch keeps two processes over one metadata file apart, and can't see a *copy* of that file. So the store
//! carries a mark, which is never twice the same, and the catalog remembers the marks that it wrote. A mark that the
//! catalog does not know was written by a later run of a copy, or by another catalog. This catalog
//! would take the objects of that one for garbage.
//!
//! ```text
//!   catalog: may write N ──▶ store: M becomes N, if it is still M ──▶ catalog: wrote N        start, and every turn
//!   store: still N? ──▶ write, commit or delete                                               while it runs
//! ```
//!
//! - The note comes before the mark, so a crash in between leaves no mark that its own catalog does not know.
//! - The mark changes on a condition, so of two servers that start at once one is let in.
//! - While commits are made the mark takes another *turn* now and then: a copy that was taken while the server ran is
//!   told apart, too, once the original has taken a turn since.
//! - A store that does not answer is never taken for a permission to write.
//!
//! Between the look at the mark and a commit there are milliseconds in which another process may take the store. The new
//! owner does not see such a commit, but does not delete its objects either: they were written a moment ago, and nothing
//! younger than `dataCoord.gc.missingTolerance` is collected.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    CoordinatorError,
    error::{NO_MARK, OwnershipError, UNREADABLE},
};
use crate::{
    error::{Classify, ErrorKind},
    fault::{self, Planted, Point},
    fence::Fence,
    ids,
    meta::Catalog,
    model::{Mark, Marks},
    storage::{SegmentStore, StorageError, Swapped},
};

/// How often a running server looks at the mark although it has nothing to write, and takes another turn if it had.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often a start that waits for the store says so.
const STILL_WAITING: Duration = Duration::from_secs(5);

/// The owner that the store names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum FoundMark {
    Nothing,
    Mark(Mark),
    Unreadable(String),
}

impl FoundMark {
    fn of(bytes: Option<&Bytes>) -> Self {
        let Some(bytes) = bytes else { return Self::Nothing };
        let text = String::from_utf8_lossy(bytes);
        text.parse().map_or_else(|_| Self::Unreadable(text.chars().take(120).collect()), Self::Mark)
    }

    /// How an operator names it.
    fn name(&self) -> String {
        match self {
            Self::Nothing => NO_MARK.to_owned(),
            Self::Mark(mark) => mark.name().to_string(),
            Self::Unreadable(_) => UNREADABLE.to_owned(),
        }
    }
}

/// A catalog at its start, as far as ownership goes.
#[derive(Debug, Clone)]
struct Claimant<'a> {
    identity: Uuid,
    marks: Marks,
    has_segments: bool,
    /// Empty: nothing.
    take_over: &'a str,
}

/// Why a start may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MarkClaim {
    Own,
    /// On purpose.
    TakenOver,
}

/// The rule of every start.
fn judge(place: &str, found: &FoundMark, claimant: &Claimant<'_>) -> Result<MarkClaim, OwnershipError> {
    let Claimant { identity, marks, has_segments, take_over } = claimant;
    let is_own = match found {
        // Nothing that this catalog names can be missing, and of several that find it so one is let in.
        FoundMark::Nothing => !has_segments,
        // Before there were runs, the identity was all there was.
        FoundMark::Mark(mark) if mark.is_old() && marks.settled.is_none() => mark.catalog == *identity,
        FoundMark::Mark(mark) => marks.know(mark),
        FoundMark::Unreadable(_) => false,
    };
    if is_own || fault::planted(Planted::ForeignMarkTaken) {
        return Ok(MarkClaim::Own);
    }
    if *take_over == found.name() {
        return Ok(MarkClaim::TakenOver);
    }
    let (place, ours) = (place.to_owned(), *identity);
    Err(match found {
        FoundMark::Nothing => OwnershipError::Missing { place, ours },
        FoundMark::Mark(found) => OwnershipError::Foreign { place, found: *found, ours },
        FoundMark::Unreadable(text) => OwnershipError::Unreadable { place, text: text.clone(), ours },
    })
}

/// The marks of this run that the store may have.
#[derive(Debug, Clone, Copy)]
struct Current {
    mark: Mark,
    /// While it takes a turn.
    next: Option<Mark>,
}

/// A run's hold on its store.
#[derive(Debug)]
pub(super) struct Ownership {
    store: SegmentStore,
    catalog: Catalog,
    fence: Fence,
    current: Mutex<Current>,
    /// Since the last turn began.
    has_committed: Arc<AtomicBool>,
    /// One turn at a time.
    turning: tokio::sync::Mutex<()>,
}

impl Ownership {
    /// Takes the store for this catalog. To be called before anything else is written, with `has_segments` as the
    /// catalog has them now.
    ///
    /// # Errors
    /// [`OwnershipError`] if it is another one's, or does not answer in time; failures of store and catalog.
    pub(super) async fn take(
        store: SegmentStore,
        catalog: Catalog,
        fence: Fence,
        has_segments: bool,
        (take_over, patience): (&str, Duration),
    ) -> Result<Self, CoordinatorError> {
        info!(store = store.place(), "taking the store");
        let taking = {
            let (store, catalog) = (store.clone(), catalog.clone());
            async move { Self::take_now(&store, &catalog, has_segments, take_over).await }
        };
        tokio::pin!(taking);
        let began = tokio::time::Instant::now();
        let mark = loop {
            let left = patience.saturating_sub(began.elapsed());
            match tokio::time::timeout(left.min(STILL_WAITING), &mut taking).await {
                Ok(taken) => break taken?,
                Err(_elapsed) if began.elapsed() < patience => {
                    warn!(store = store.place(), seconds = began.elapsed().as_secs(), "the store has not answered yet");
                }
                Err(_elapsed) => {
                    return Err(OwnershipError::Silent { place: store.place().to_owned(), after: patience }.into());
                }
            }
        };
        info!(store = store.place(), %mark, "the store is ours");
        let current = Mutex::new(Current { mark, next: None });
        Ok(Self { store, catalog, fence, current, has_committed: Arc::default(), turning: Default::default() })
    }

    async fn take_now(
        store: &SegmentStore,
        catalog: &Catalog,
        has_segments: bool,
        take_over: &str,
    ) -> Result<Mark, CoordinatorError> {
        // A bucket that segments should be in must not be made: it is another one.
        let read = if has_segments { store.mark().await } else { store.mark_or_make().await };
        let unreachable = |error: StorageError| OwnershipError::Unreachable {
            place: store.place().to_owned(),
            kind: error.kind(),
            error: error.to_string(),
        };
        let bytes = read.map_err(unreachable)?;
        let found = FoundMark::of(bytes.as_ref());
        let identity = catalog.identity().await?;
        let marks = catalog.marks().await?;
        let claimant = Claimant { identity, marks: marks.clone(), has_segments, take_over };
        let verdict = judge(store.place(), &found, &claimant)?;
        let before = match (&found, verdict) {
            (FoundMark::Mark(mark), MarkClaim::Own) => Some(*mark),
            // A mark that is replaced on purpose never becomes one's own.
            _ => marks.settled,
        };
        if verdict == MarkClaim::TakenOver {
            warn!(store = store.place(), from = found.name(), "taking the store over: its owner before is fenced");
        }
        let mut txn = catalog.txn();
        let next = Mark { catalog: identity, epoch: catalog.epoch().0, run: ids::unique_name(), turn: 0 };
        txn.put_marks(&marks.intending(before, next));
        txn.commit().await?;
        fault::reached(Point::StartMarkIntended);
        replace(store, bytes, next).await?;
        fault::reached(Point::StartMarkReplaced);
        settle(catalog, next).await?;
        fault::reached(Point::StartMarkSettled);
        Ok(next)
    }

    /// To be set after each commit of the catalog, and not before: the turn that follows a commit shuts out copies which
    /// lack it, and a turn that began before the commit does not. Every change counts, since a copy without it may name
    /// objects that are garbage now.
    pub(super) fn has_committed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_committed)
    }

    /// To be called before outputs are committed.
    ///
    /// # Errors
    /// A kind Fenced if the store is another one's by now: then nothing is written any more. Other kinds if the store
    /// can't be asked.
    pub(super) async fn before_commit(&self) -> Result<(), CoordinatorError> {
        if fault::planted(Planted::MarkUncheckedAtCommit) {
            return Ok(());
        }
        self.look().await
    }

    /// To be called before every few deletions, with the same errors.
    pub(super) async fn before_collecting(&self) -> Result<(), CoordinatorError> {
        if fault::planted(Planted::MarkUncheckedAtCollection) {
            return Ok(());
        }
        self.look().await
    }

    /// Looks at the mark, and has it take another turn if something was committed since the last one.
    pub(super) async fn keep(&self) -> Result<(), CoordinatorError> {
        self.look().await?;
        if self.has_committed.swap(false, Ordering::AcqRel) {
            // The turn is still due: the next look tries again.
            self.turn().await.inspect_err(|_| self.has_committed.store(true, Ordering::Release))?;
        }
        Ok(())
    }

    /// The newest mark of this run.
    #[cfg(test)]
    fn mark(&self) -> Mark {
        self.current.lock().mark
    }

    fn is_current(of: Current, mark: Mark) -> bool {
        of.mark == mark || of.next == Some(mark)
    }

    async fn look(&self) -> Result<(), CoordinatorError> {
        self.fence.check()?;
        // A turn may be taken at any time in between: the marks before and after it are both ours.
        let before = *self.current.lock();
        let bytes = self.store.mark().await?;
        let after = *self.current.lock();
        let found = FoundMark::of(bytes.as_ref());
        match &found {
            FoundMark::Mark(mark) if Self::is_current(before, *mark) || Self::is_current(after, *mark) => Ok(()),
            FoundMark::Nothing => Err(OwnershipError::Lost { place: self.store.place().to_owned() }.into()),
            FoundMark::Mark(_) | FoundMark::Unreadable(_) => Err(self.fence_off(&found, after.mark)),
        }
    }

    fn fence_off(&self, found: &FoundMark, ours: Mark) -> CoordinatorError {
        let found = match found {
            FoundMark::Mark(mark) => mark.to_string(),
            other => other.name(),
        };
        let place = self.store.place();
        let why = format!(
            "{place} was taken over by {found}, it was this server's as {ours}: nothing is written or deleted any more. \
             Stop this server; docs/operations.md, Back up and restore, says how to go on"
        );
        let fenced = self.fence.raise(why);
        tracing::error!(error = %fenced, "this server has lost its store");
        fenced.into()
    }

    async fn turn(&self) -> Result<(), CoordinatorError> {
        let _alone = self.turning.lock().await;
        let Current { mark, next } = *self.current.lock();
        // A turn whose answer never came may have been taken, or not.
        let bytes = self.store.mark().await?;
        let found = match FoundMark::of(bytes.as_ref()) {
            FoundMark::Mark(found) if found == mark || Some(found) == next => found,
            FoundMark::Nothing => return Err(OwnershipError::Lost { place: self.store.place().to_owned() }.into()),
            found => return Err(self.fence_off(&found, mark)),
        };
        let following = Mark { turn: next.map_or(mark.turn, |next| next.turn) + 1, ..mark };
        let mut txn = self.catalog.txn();
        txn.put_marks(&Marks::default().intending(Some(found), following));
        txn.commit().await?;
        *self.current.lock() = Current { mark: found, next: Some(following) };
        fault::reached(Point::TurnIntended);
        replace(&self.store, bytes, following).await?;
        fault::reached(Point::TurnReplaced);
        settle(&self.catalog, following).await?;
        *self.current.lock() = Current { mark: following, next: None };
        Ok(())
    }
}

/// Has the store say `next`, if it still says `found`, and looks whether it does.
async fn replace(store: &SegmentStore, found: Option<Bytes>, next: Mark) -> Result<(), CoordinatorError> {
    let next = Bytes::from(next.to_string());
    let raced = |instead: Option<&Bytes>| OwnershipError::Raced {
        place: store.place().to_owned(),
        found: instead.map_or_else(|| "nothing".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned()),
    };
    match store.swap_mark(found, next.clone()).await? {
        Swapped::Done => {}
        // An attempt succeeded whose answer was lost.
        Swapped::Instead(Some(bytes)) if bytes == next => {}
        Swapped::Instead(instead) => return Err(raced(instead.as_ref()).into()),
    }
    // Not every store keeps to conditions.
    let now = store.mark().await?;
    if now.as_ref() == Some(&next) { Ok(()) } else { Err(raced(now.as_ref()).into()) }
}

async fn settle(catalog: &Catalog, mark: Mark) -> Result<(), CoordinatorError> {
    let mut txn = catalog.txn();
    txn.put_marks(&Marks::settled(mark));
    Ok(txn.commit().await?)
}

/// Looks after the mark until it is dropped. A failure is tried again at the next look; a fence ends it.
pub(super) async fn keep(ownership: Arc<Ownership>) {
    #[expect(clippy::disallowed_methods, reason = "a background loop; tests move tokio's clock")]
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first one is at once, and the start has just looked.
    tick.tick().await;
    loop {
        tick.tick().await;
        match ownership.keep().await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Fenced => return,
            Err(error) => warn!(%error, "the mark of the store could not be looked at, will be tried again"),
        }
    }
}

#[cfg(test)]
mod tests;

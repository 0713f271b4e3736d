//! Searches that want many rows of the same vectors compare them together.
//!
//! ```text
//!  search 1 ──▶ turn of 1 ───────▶ its lists
//!  search 2 ─────── waits ──┐
//!  search 3 ────── waits ───┴─▶ turn of 2 and 3 ───▶ lists of 2, lists of 3
//! ```
//!
//! A turn is a task of its own. So the callers of its searches may leave, and no search waits for the caller of another.
//!
//! Must never: let a search wait for more than one turn before its own; hold vectors that no search waits for.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot};

use super::{
    super::grouped::FoundRows,
    joint::{ComparingSearch, JointComparison, ThreadLists},
};
use crate::{
    query::{QueryError, SearchCores},
    storage::Vectors,
};

/// Queries of a search that shares its turn. With more of them its own queries share each piece, and others would wait long.
const MOST_QUERIES: usize = 8;

/// The searches that wait for vectors whose turn others have. An address means one thing in the process: a turn holds its
/// vectors.
static WAITING: Mutex<BTreeMap<VectorsInMemory, Vec<WaitingSearch>>> = Mutex::new(BTreeMap::new());

/// The address of the first vectors that are not empty, and the number of all.
type VectorsInMemory = (usize, usize);

struct WaitingSearch {
    search: ComparingSearch,
    own: Vec<FoundRows>,
    told: oneshot::Sender<Result<ThreadLists, QueryError>>,
}

/// Compares all rows of a search, and puts those that are among the nearest into its lists.
///
/// # Errors
/// The search was given up, or a thread has ended without an answer.
pub(in crate::query::search) async fn compare(
    search: ComparingSearch,
    own: Vec<FoundRows>,
) -> Result<Vec<FoundRows>, QueryError> {
    let interrupt = search.interrupt.clone();
    let cores = search.limits.cores.clone();
    let found = if wants_many(&search, &cores) {
        let (told, found) = oneshot::channel();
        wait(WaitingSearch { search, own, told });
        // The turn ends without an answer if the runtime does.
        found.await.unwrap_or(Err(QueryError::Cancelled))?
    } else {
        let found = JointComparison::of(vec![search], cores.piece_bytes).run(vec![own], &cores).await?;
        found.into_iter().next().unwrap_or(Err(QueryError::Cancelled))?
    };
    found.merged(&interrupt).await
}

/// Whether a search compares so many of the vectors that another one is likely to need the same.
fn wants_many(search: &ComparingSearch, cores: &SearchCores) -> bool {
    let ComparingSearch { comparison, .. } = search;
    let span = comparison.span();
    comparison.len() as u64 >= (span.end - span.start) / 4
        && comparison.len().saturating_mul(comparison.width()) >= cores.shared_bytes
        && comparison.queries() <= MOST_QUERIES
}

/// Puts a search among those that wait. If nobody has the turn of its vectors, its own begins.
fn wait(waiting: WaitingSearch) {
    let vectors = Arc::clone(waiting.search.comparison.vectors());
    let first = {
        let mut all = WAITING.lock();
        match all.get_mut(&in_memory(&vectors)) {
            Some(others) => {
                others.push(waiting);
                None
            }
            None => {
                all.insert(in_memory(&vectors), Vec::new());
                Some(waiting)
            }
        }
    };
    if let Some(first) = first {
        tokio::spawn(take(VectorsTurn { vectors, runtime: Handle::current() }, vec![first]));
    }
}

/// Compares the vectors for all that have waited.
async fn take(turn: VectorsTurn, waited: Vec<WaitingSearch>) {
    let (mut searches, mut own, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for waiting in waited {
        searches.push(waiting.search);
        own.push(waiting.own);
        told.push(waiting.told);
    }
    // All searches of the process share them.
    let cores = searches.first().map(|search| search.limits.cores.clone()).unwrap_or_default();
    let found = JointComparison::of(searches, cores.piece_bytes).run(own, &cores).await;
    drop(turn);
    match found {
        Ok(found) => {
            for (told, found) in told.into_iter().zip(found) {
                // The caller may have left.
                drop(told.send(found));
            }
        }
        Err(error) => {
            let reason = error.to_string();
            for told in told {
                drop(told.send(Err(QueryError::Comparison(reason.clone()))));
            }
        }
    }
}

/// The right to compare vectors. When it is dropped, those who wait have it.
struct VectorsTurn {
    vectors: Arc<[Vectors]>,
    runtime: Handle,
}

impl Drop for VectorsTurn {
    fn drop(&mut self) {
        let next = {
            let mut all = WAITING.lock();
            let next = all.get_mut(&in_memory(&self.vectors)).map(std::mem::take).unwrap_or_default();
            if next.is_empty() {
                all.remove(&in_memory(&self.vectors));
            }
            next
        };
        if !next.is_empty() {
            let turn = Self { vectors: Arc::clone(&self.vectors), runtime: self.runtime.clone() };
            // A runtime that has ended drops the task at once, and this turn with it.
            drop(self.runtime.spawn(take(turn, next)));
        }
    }
}

fn in_memory(vectors: &[Vectors]) -> VectorsInMemory {
    let first = vectors.iter().find(|vectors| !vectors.is_empty());
    (first.map_or(0, Vectors::address), vectors.iter().map(Vectors::len).sum())
}

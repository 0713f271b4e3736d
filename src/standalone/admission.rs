//! Admission of queries: how many run at once, and how much memory they may hold together.
//!
//! A query waits for its turn in order of arrival, before it reads anything. So many clients are served one after the
//! other, and not all at once from ever more memory. Must never be asked by a query that has a turn: it could wait for
//! itself.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    background::ReadRuns,
    config::{Config, Part},
    memory::{Account, Pool},
    query::SearchCores,
};

/// Queries at once, unless it is configured.
const PER_CORE: usize = 2;
const LEAST: usize = 4;
/// One part in this many of the memory for queries is shared equally among the running ones. The rest is for those that
/// need more.
const OWN_SHARE: u64 = 2;

/// The queries of the process.
#[derive(Debug)]
pub(super) struct Queries {
    turns: Arc<Semaphore>,
    memory: Pool,
    /// Each running query is sure of this much.
    own_bytes: u64,
    pub(super) cores: SearchCores,
}

/// A query that runs.
pub(super) struct RunningQuery {
    /// Counts its memory. A clone that is kept with the answer keeps counting it.
    pub(super) memory: Account,
    _turn: Option<OwnedSemaphorePermit>,
    _cores: ReadRuns,
}

impl Queries {
    pub(super) fn new(config: &Config, cores: usize) -> Self {
        let turns = match config.query.max_concurrency {
            0 => cores.saturating_mul(PER_CORE).max(LEAST),
            set => set,
        };
        let memory = Pool::new(Part::Queries.key(), config.budget.queries);
        let own_bytes = memory.limit_bytes() / OWN_SHARE / turns as u64;
        Self { turns: Arc::new(Semaphore::new(turns)), memory, own_bytes, cores: SearchCores::new(cores) }
    }

    /// Waits for a turn, and for the memory that every running query is sure of.
    pub(super) async fn admit(&self) -> RunningQuery {
        // The semaphore is never closed, so there is always a turn.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        let memory = self.memory.account(self.own_bytes).await;
        RunningQuery { memory, _turn: turn, _cores: ReadRuns::begin() }
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.memory.used_bytes()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn queries_take_turns_in_order() {
        let mut config = Config::default();
        config.query.max_concurrency = 2;
        let queries = Queries::new(&config, 64);
        let (first, second) = (queries.admit().await, queries.admit().await);
        let (third, fourth) = (queries.admit(), queries.admit());
        tokio::pin!(third, fourth);
        assert!(third.as_mut().now_or_never().is_none() && fourth.as_mut().now_or_never().is_none());
        drop(first);
        assert!(fourth.as_mut().now_or_never().is_none(), "it came later");
        let third = third.now_or_never().expect("its turn");
        drop(second);
        assert!(fourth.now_or_never().is_some());
        drop(third);
    }

    #[tokio::test]
    async fn an_answer_that_is_still_held_counts_and_gives_its_turn_back() {
        let mut config = Config::default();
        config.query.max_concurrency = 1;
        config.budget.queries = 1 << 20;
        let queries = Queries::new(&config, 1);
        let admitted = queries.admit().await;
        let answer = admitted.memory.clone();
        answer.grow(1 << 20).unwrap();
        drop(admitted);
        let next = queries.admit();
        tokio::pin!(next);
        assert!(next.as_mut().now_or_never().is_none(), "the memory is not free");
        drop(answer);
        assert!(next.now_or_never().is_some());
    }

    #[test]
    fn as_many_at_once_as_cores_can_serve() {
        for (cores, expected) in [(1, 4), (2, 4), (16, 32)] {
            assert_eq!(Queries::new(&Config::default(), cores).turns.available_permits(), expected);
        }
    }
}

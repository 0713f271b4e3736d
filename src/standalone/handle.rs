//! The whole process as the edges hold it.

use std::{collections::BTreeMap, sync::Arc};

use super::{StandaloneError, admission::Queries, names::Names};
use crate::{
    access::{Accounts, Gatekeeper},
    clock::Clock,
    config::Config,
    coordinator::{Ailment, Coordinator, HealthReport},
    ids::{IdAllocator, Tso},
    ingest::{Ingest, IngestStats},
    model::Timestamp,
    telemetry::Metrics,
};

/// A DataCoord with everything around it. Made by [`Standalone::start`].
pub struct Standalone {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) config: Arc<Config>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) ids: Arc<IdAllocator>,
    pub(super) tso: Arc<Tso>,
    pub(super) ingest: Ingest,
    pub(super) queries: Queries,
    pub(super) names: Arc<Names>,
    pub(super) accounts: Accounts,
    /// Serialises changes of definitions.
    pub(super) definitions: Arc<tokio::sync::Mutex<()>>,
    /// Parts around this one that are not well; see [`Standalone::note`].
    pub(super) noted: parking_lot::Mutex<BTreeMap<&'static str, Ailment>>,
}

impl std::fmt::Debug for Standalone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standalone").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Standalone {
    pub fn coordinator(&self) -> &Arc<Coordinator> {
        &self.coordinator
    }

    /// Users, roles and grants.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Decides over callers.
    pub fn gatekeeper(&self) -> &Gatekeeper {
        self.accounts.gatekeeper()
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn ingest_stats(&self) -> IngestStats {
        self.ingest.stats()
    }

    #[cfg(test)]
    pub(crate) fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// Cheap: asks nothing that could wait.
    pub fn health(&self) -> HealthReport {
        let mut health = self.coordinator.health();
        health.add(self.noted.lock().values().cloned());
        health
    }

    /// Adds a part that only the edges of the process know to its health, or takes it out when it is well again.
    pub fn note(&self, part: &'static str, ailment: Option<Ailment>) {
        let mut noted = self.noted.lock();
        match ailment {
            Some(ailment) => noted.insert(part, ailment),
            None => noted.remove(part),
        };
    }

    /// A fresh hybrid timestamp.
    pub async fn timestamp(&self) -> Result<Timestamp, StandaloneError> {
        Ok(self.tso.next().await?)
    }
}

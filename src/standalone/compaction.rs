//! Compactions as Milvus' clients name them: of a collection by name, alias or id, and of jobs by collection.

use std::sync::Arc;

use super::{CollectionName, Standalone, StandaloneError};
use crate::{
    coordinator::CollectionCell,
    model::{CollectionId, JobId, Plan, RequestError},
};

impl Standalone {
    /// The collection to compact: by name or alias or, if that is empty, by id. A request that names none is refused.
    /// Stock reads it as *every* collection, and clients send it by accident.
    ///
    /// # Errors
    /// `NoCollection`, `DatabaseNotFound`, `CollectionNotFound`, `CollectionIdNotFound`.
    pub fn compaction_target(&self, name: CollectionName<'_>, id: i64) -> Result<Arc<CollectionCell>, StandaloneError> {
        if !name.name.is_empty() {
            return self.resolve(name);
        }
        if id <= 0 {
            return Err(RequestError::NoCollection { id }.into());
        }
        self.collection(CollectionId(id))
    }

    /// Plans of a job or, for job 0, of all jobs of a collection that are kept, newest job first, each plan once.
    ///
    /// # Errors
    /// `CompactionDisabled`, `JobNotFound`; those of [`Self::compaction_target`].
    pub fn compaction_plans(
        &self,
        job: JobId,
        name: CollectionName<'_>,
        id: i64,
    ) -> Result<Vec<Plan>, StandaloneError> {
        self.coordinator.check_compaction_enabled()?;
        if job.0 != 0 {
            return Ok(self.coordinator.job(job)?.plans);
        }
        let cell = self.compaction_target(name, id)?;
        Ok(self.coordinator.plans_of_collection(cell.id))
    }
}

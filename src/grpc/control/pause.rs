//! Pauses and the throttle.

use tonic::Status;

use super::{BYTES_PER_MB, ControlApi, grpc_status, invalid, orderer};
use crate::{
    coordinator::control::{PauseScope as Scope, ThrottleView},
    model::{CollectionId, JobId, Pause, Pauses},
    wire::proto::datacoord::{pause_scope::Scope as Asked, *},
};

/// A terabyte per second: a larger number is a mistake.
const MAX_MB_PER_SECOND: f64 = 1_048_576.0;

impl ControlApi {
    pub(super) async fn do_pause_compaction(&self, request: PauseCompactionRequest) -> Result<PausesResponse, Status> {
        let by = orderer(&request.by)?;
        let scope = self.pause_scope(request.scope)?;
        let pauses = self.coordinator.pause(scope, by).await.map_err(grpc_status)?;
        Ok(PausesResponse { pauses: pause_entries(pauses, |id| self.collection_ref(id)) })
    }

    pub(super) async fn do_resume_compaction(
        &self,
        request: ResumeCompactionRequest,
    ) -> Result<PausesResponse, Status> {
        let scope = self.pause_scope(request.scope)?;
        let pauses = self.coordinator.resume(scope).await.map_err(grpc_status)?;
        Ok(PausesResponse { pauses: pause_entries(pauses, |id| self.collection_ref(id)) })
    }

    pub(super) async fn do_set_throttle(&self, request: SetThrottleRequest) -> Result<ThrottleResponse, Status> {
        let limit = match request.mb_per_second {
            None => None,
            Some(0.0) => Some(0),
            // Less than a byte per second would be read as no limit.
            Some(mb) if (1.0 / BYTES_PER_MB..=MAX_MB_PER_SECOND).contains(&mb) => Some((mb * BYTES_PER_MB) as u64),
            Some(mb) => return Err(invalid("mb_per_second", mb, "0, or up to 1048576")),
        };
        Ok(throttle_message(self.coordinator.set_throttle(limit).await.map_err(grpc_status)?))
    }

    pub(super) fn do_get_throttle(&self) -> ThrottleResponse {
        throttle_message(self.coordinator.throttle())
    }

    fn pause_scope(&self, scope: Option<PauseScope>) -> Result<Scope, Status> {
        match scope.and_then(|s| s.scope) {
            Some(Asked::Everything(true)) => Ok(Scope::Everything),
            Some(Asked::Everything(false)) => Err(invalid("scope.everything", false, "true")),
            Some(Asked::Collection(named)) => Ok(Scope::Collection(self.collection(Some(named))?.id)),
            Some(Asked::JobId(id)) => Ok(Scope::Job(JobId(id))),
            None => Err(Status::invalid_argument("scope: missing, expected everything, collection or job_id")),
        }
    }
}

/// All pauses, the widest first.
pub(super) fn pause_entries(pauses: Pauses, named: impl Fn(CollectionId) -> CollectionRef) -> Vec<PauseEntry> {
    let entry = |scope: Asked, pause: Pause| PauseEntry {
        scope: Some(PauseScope { scope: Some(scope) }),
        by: pause.by,
        since_ms: pause.at_ms as i64,
    };
    let everything = pauses.everything.map(|pause| entry(Asked::Everything(true), pause));
    let collections = pauses.collections.into_iter().map(|(id, pause)| entry(Asked::Collection(named(id)), pause));
    let jobs = pauses.jobs.into_iter().map(|(id, pause)| entry(Asked::JobId(id.0), pause));
    everything.into_iter().chain(collections).chain(jobs).collect()
}

fn throttle_message(view: ThrottleView) -> ThrottleResponse {
    let mb = |bytes: f64| bytes / BYTES_PER_MB;
    let limit = mb(view.limit as f64);
    let what = if view.limit == 0 { "no limit".to_owned() } else { format!("{limit} MB per second") };
    let whose = if view.is_set { "set by SetThrottle" } else { "as configured by datacoord.compaction.throttle" };
    ThrottleResponse {
        mb_per_second: Some(limit),
        configured_mb_per_second: Some(mb(view.configured as f64)),
        measured_mb_per_second: Some(mb(view.measured)),
        in_effect: format!("{what}, {whose}"),
    }
}

#[cfg(test)]
mod tests;

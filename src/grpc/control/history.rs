//! Listing, reading and cancelling jobs.

use std::collections::HashSet;

use tonic::Status;

use super::{ControlApi, grpc_status, invalid, orderer, pause::pause_entries, time};
use crate::{
    coordinator::{
        JobView,
        control::{CancelTarget, JobFilter},
        ended_at_ms,
    },
    model::{self, CollectionId, JobId, PlanId, Trigger},
    wire::{compaction, proto::datacoord::*},
};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: i32 = 1000;

impl ControlApi {
    pub(super) fn do_list_compactions(
        &self,
        request: ListCompactionsRequest,
    ) -> Result<ListCompactionsResponse, Status> {
        let state = match JobState::try_from(request.state) {
            Ok(JobState::Unspecified) => None,
            Ok(JobState::Executing) => Some(model::JobState::Executing),
            Ok(JobState::Completed) => Some(model::JobState::Completed),
            Ok(JobState::Failed) => Some(model::JobState::Failed),
            Ok(JobState::PartiallyCompleted) => Some(model::JobState::PartiallyCompleted),
            Ok(JobState::Cancelled) => Some(model::JobState::Cancelled),
            Err(_) => {
                let expected = "0, 1 (executing), 2 (completed), 3 (failed), 4 (partially completed) or 5 (cancelled)";
                return Err(invalid("state", request.state, expected));
            }
        };
        let filter = JobFilter {
            collections: self.collections_of(request.collection)?,
            state,
            trigger: trigger(&request.trigger)?,
            created_from_ms: time("created_from_ms", request.created_from_ms)?,
            created_until_ms: time("created_until_ms", request.created_until_ms)?,
        };
        let page_size = match request.page_size {
            0 => DEFAULT_PAGE,
            size @ 1..=MAX_PAGE => size as usize,
            size => return Err(invalid("page_size", size, "0 to 1000")),
        };
        let before = match request.page_token.as_str() {
            "" => None,
            token => Some(token.parse().map(JobId).map_err(|_| {
                invalid("page_token", format_args!("{token:?}"), "next_page_token of an earlier answer")
            })?),
        };
        let page = self.coordinator.list_jobs(&filter, before, page_size);
        Ok(ListCompactionsResponse {
            jobs: page.jobs.iter().map(|view| self.job_message(view)).collect(),
            next_page_token: page.next.map(|id| id.to_string()).unwrap_or_default(),
            pauses: pause_entries(self.coordinator.pauses(), |id| self.collection_ref(id)),
        })
    }

    pub(super) fn do_get_compaction(&self, request: GetCompactionRequest) -> Result<GetCompactionResponse, Status> {
        let id = JobId(request.job_id);
        let view = self.coordinator.job(id).map_err(grpc_status)?;
        let plans = view.plans.iter().map(|p| compaction::plan_message(p, Some(self.coordinator.plan_progress(p))));
        Ok(GetCompactionResponse { job: Some(self.job_message(&view)), plans: plans.collect() })
    }

    pub(super) async fn do_cancel_compaction(
        &self,
        request: CancelCompactionRequest,
    ) -> Result<CancelCompactionResponse, Status> {
        use cancel_compaction_request::Target;
        let target = match request.target {
            Some(Target::JobId(id)) => CancelTarget::Job(JobId(id)),
            Some(Target::PlanId(id)) => CancelTarget::Plan(PlanId(id)),
            None => return Err(Status::invalid_argument("target: missing, expected job_id or plan_id")),
        };
        let by = orderer(&request.by)?;
        let done = self.coordinator.cancel_compaction(target, by).await.map_err(grpc_status)?;
        let ids = |plans: Vec<PlanId>| plans.into_iter().map(|id| id.0).collect();
        Ok(CancelCompactionResponse {
            cancelled: ids(done.cancelled),
            ended_before: ids(done.ended_before),
            left_to_others: ids(done.left_to_others),
        })
    }

    /// The collections that a filter names; `None`: no filter by collection.
    fn collections_of(&self, named: Option<CollectionRef>) -> Result<Option<HashSet<CollectionId>>, Status> {
        let Some(named) = named.filter(|n| *n != CollectionRef::default()) else { return Ok(None) };
        if !named.collection_name.is_empty() {
            return Ok(Some([self.collection(Some(named))?.id].into()));
        }
        if named.collection_id != 0 {
            return Ok(Some([CollectionId(named.collection_id)].into()));
        }
        let process = &self.standalone;
        let database = process.database(&named.db_name).map_err(grpc_status)?;
        Ok(Some(process.collections(Some(&database.name)).iter().map(|cell| cell.id).collect()))
    }

    pub(super) fn job_message(&self, view: &JobView) -> Compaction {
        let state = compaction::job_state(&view.job, &view.counts(), self.coordinator.job_progress(view));
        let ended = view.plans.iter().filter_map(|p| ended_at_ms(&p.state)).max().unwrap_or(view.job.created_at_ms);
        let is_finished = view.counts().is_finished();
        Compaction {
            job_id: view.job.id.0,
            collection: Some(self.collection_ref(view.job.collection)),
            trigger: state.trigger,
            state: state.state,
            executing_plans: state.executing_plans,
            completed_plans: state.completed_plans,
            failed_plans: state.failed_plans,
            timeout_plans: state.timeout_plans,
            cancelled_plans: state.cancelled_plans,
            reason: state.reason,
            progress: state.progress,
            created_at_ms: view.job.created_at_ms as i64,
            ended_at_ms: if is_finished { ended as i64 } else { 0 },
            paused_by: match self.coordinator.pauses().of_job(view.job.id, view.job.collection) {
                Some(pause) if !is_finished => pause.by.clone(),
                _ => String::new(),
            },
            priority: view.job.terms.priority,
            deadline_ms: view.job.terms.deadline_ms.map_or(0, |ms| ms as i64),
        }
    }

    pub(super) fn collection_ref(&self, id: CollectionId) -> CollectionRef {
        match self.coordinator.collection(id) {
            Ok(cell) => {
                let meta = cell.meta();
                let (db_name, collection_name) = (meta.database.clone(), meta.name.clone());
                CollectionRef { db_name, collection_name, collection_id: id.0 }
            }
            Err(_) => CollectionRef { collection_id: id.0, ..CollectionRef::default() },
        }
    }
}

fn trigger(name: &str) -> Result<Option<Trigger>, Status> {
    if name.is_empty() {
        return Ok(None);
    }
    let all = [Trigger::Manual, Trigger::Flush, Trigger::Tick];
    let found = all.into_iter().find(|t| t.as_str() == name);
    found.map(Some).ok_or_else(|| invalid("trigger", format_args!("{name:?}"), "manual, flush or tick"))
}

#[cfg(test)]
mod tests;

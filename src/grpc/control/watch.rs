//! The stream of progress.

use std::time::Duration;

use futures::{
    FutureExt,
    stream::{self, BoxStream, StreamExt},
};
use tonic::Status;

use super::{BYTES_PER_MB, ControlApi, grpc_status, invalid};
use crate::{
    access::Caller,
    coordinator::control::{Phase, PlanEvent, WatchEvent},
    model::JobId,
    wire::{compaction, proto::datacoord::*, status::of_refusal},
};

const DEFAULT_INTERVAL: Duration = Duration::from_millis(500);

pub(in crate::grpc) type EventStream = BoxStream<'static, Result<CompactionEvent, Status>>;

impl ControlApi {
    /// The stream ends with the login of its caller.
    pub(super) fn do_watch_compaction(
        &self,
        request: WatchCompactionRequest,
        caller: Caller,
    ) -> Result<EventStream, Status> {
        let every = match request.interval_ms {
            0 => DEFAULT_INTERVAL,
            ms @ 50..=60_000 => Duration::from_millis(ms as u64),
            ms => return Err(invalid("interval_ms", ms, "0, or 50 to 60000")),
        };
        let job = (request.job_id != 0).then_some(JobId(request.job_id));
        let watch = self.coordinator.watch(job, every).map_err(grpc_status)?;
        let api = self.clone();
        let gatekeeper = self.standalone.gatekeeper().clone();
        let ended = async move { gatekeeper.login_ended(&caller).await }.boxed();
        let events = stream::unfold(Some((watch, ended)), move |going_on| {
            let api = api.clone();
            async move {
                let (mut watch, mut ended) = going_on?;
                tokio::select! {
                    biased;
                    refusal = &mut ended => Some((Err(of_refusal(&refusal)), None)),
                    event = watch.next() => Some((Ok(api.event_message(event?)), Some((watch, ended)))),
                }
            }
        });
        Ok(events.boxed())
    }

    fn event_message(&self, event: WatchEvent) -> CompactionEvent {
        match event {
            WatchEvent::Plan(event) => plan_event(&event),
            WatchEvent::JobEnded(view) => {
                let job = self.job_message(&view);
                CompactionEvent { at_ms: job.ended_at_ms, job: Some(job), ..CompactionEvent::default() }
            }
        }
    }
}

fn plan_event(event: &PlanEvent) -> CompactionEvent {
    let phase = match event.phase {
        Phase::Queued => PlanPhase::Queued,
        Phase::Paused => PlanPhase::Paused,
        Phase::Reading => PlanPhase::Reading,
        Phase::Merging => PlanPhase::Merging,
        Phase::Committing => PlanPhase::Committing,
        Phase::Ended => PlanPhase::Ended,
    };
    CompactionEvent {
        at_ms: event.at_ms as i64,
        plan: Some(compaction::plan_message(&event.plan, Some(event.progress))),
        phase: phase as i32,
        mb_per_second: event.bytes_per_second.map(|rate| rate / BYTES_PER_MB),
        eta_seconds: event.eta.map(|eta| eta.as_secs_f64()),
        job: None,
    }
}

#[cfg(test)]
mod tests;

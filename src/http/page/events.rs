//! `GET /api/v2/events`: server-sent events, for as long as the page is open.
//!
//! | event | data |
//! |---|---|
//! | `overview` | `GetOverviewResponse`: at once, every two seconds, and when a plan has ended |
//! | `plan` | `CompactionEvent`: the state of each plan at first, then its changes |
//! | `end` | `{"message": …}`: the login has ended, or the call has failed; nothing follows |
//!
//! The stream ends when the server stops. It has no memory: a slow page gets the latest state of a plan and no backlog.
//!
//! Must never: tell of all plans of a long queue. Beyond [`MOST_WAITING`] a plan is told of once it begins.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use serde::Serialize;
use serde_json::json;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tonic::Status;

use super::call::{PageCall, PageFault, refused};
use crate::wire::proto::datacoord::{CompactionEvent, GetOverviewRequest, PlanPhase, WatchCompactionRequest};

/// Time between two overviews, and the shortest one after the end of a plan.
const EVERY: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_millis(300);
/// Waiting plans that a page is told of.
pub(super) const MOST_WAITING: usize = 100;

pub(super) async fn events(call: PageCall) -> Response {
    let opened = async {
        let place = call.shared.streams.take().map_err(PageFault::TooManyStreams)?;
        let request = WatchCompactionRequest::default();
        let plans = call.ask("WatchCompaction", request, |control, request| control.watch_compaction(request)).await?;
        Ok((plans, place))
    };
    match opened.await {
        Ok((plans, place)) => {
            let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
            Sse::new(stream_of(call, plans, place)).keep_alive(keep_alive).into_response()
        }
        Err(fault) => refused(&fault),
    }
}

/// An open stream.
struct PageStream {
    call: PageCall,
    plans: BoxStream<'static, Result<CompactionEvent, Status>>,
    /// Waiting plans that the page knows.
    waiting: HashSet<i64>,
    next_overview: Instant,
    last_overview: Option<Instant>,
    _place: OwnedSemaphorePermit,
}

fn stream_of(
    call: PageCall,
    plans: BoxStream<'static, Result<CompactionEvent, Status>>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let state = PageStream {
        call,
        plans,
        waiting: HashSet::new(),
        next_overview: Instant::now(),
        last_overview: None,
        _place: place,
    };
    stream::unfold(Some(state), async |state| {
        let mut state = state?;
        let (event, goes_on) = state.next().await?;
        Some((Ok(event), goes_on.then_some(state)))
    })
}

impl PageStream {
    /// The next event, and whether others may follow. None: the server stops.
    #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
    async fn next(&mut self) -> Option<(Event, bool)> {
        loop {
            // A timer is late by a moment, in which a long queue would be told of before the first overview.
            if Instant::now() >= self.next_overview {
                return Some(self.overview().await);
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.next_overview) => {}
                event = self.plans.next() => match event? {
                    Ok(event) if self.is_news(&event) => return Some(written("plan", &event)),
                    Ok(_) => {}
                    Err(status) => return Some(end(status.message())),
                },
            }
        }
    }

    async fn overview(&mut self) -> (Event, bool) {
        let request = GetOverviewRequest::default();
        let asked = self.call.ask("GetOverview", request, |control, request| control.get_overview(request)).await;
        let now = Instant::now();
        (self.last_overview, self.next_overview) = (Some(now), now + EVERY);
        match asked {
            Ok(overview) => written("overview", &overview),
            Err(status) => end(status.message()),
        }
    }

    /// Whether the page is told. After the end of a plan it gets an overview soon.
    fn is_news(&mut self, event: &CompactionEvent) -> bool {
        let Some(plan) = &event.plan else { return true };
        match event.phase() {
            PlanPhase::Queued | PlanPhase::Paused => {
                if self.waiting.len() >= MOST_WAITING && !self.waiting.contains(&plan.plan_id) {
                    return false;
                }
                self.waiting.insert(plan.plan_id);
            }
            phase => {
                self.waiting.remove(&plan.plan_id);
                if phase == PlanPhase::Ended {
                    let soon = self.last_overview.map_or_else(Instant::now, |last| last + SHORTEST);
                    self.next_overview = self.next_overview.min(soon);
                }
            }
        }
        true
    }
}

fn written(name: &'static str, data: &impl Serialize) -> (Event, bool) {
    match Event::default().event(name).json_data(data) {
        Ok(event) => (event, true),
        Err(error) => end(&error.to_string()),
    }
}

fn end(message: &str) -> (Event, bool) {
    let data = json!({"message": crate::error::cut(message.to_owned())}).to_string();
    (Event::default().event("end").data(data), false)
}

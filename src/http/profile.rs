//! Profiles of the running process: `GET /debug/pprof/profile` and `/debug/pprof/heap`, as `go tool pprof` asks for them.
//!
//! They need the rights of an administrator.

use axum::{
    extract::{Extension, Query, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{guard::refused, shared::RouteState};
use crate::{
    access::Caller,
    telemetry::profile::{ProfileError, heap_profile, processor_profile},
};

/// As long as Go's own handlers take by default.
const DEFAULT_SECONDS: u64 = 30;

#[derive(Debug, Deserialize)]
pub(super) struct ProfileQuery {
    seconds: Option<u64>,
}

type ProfileQueryResult = Result<Query<ProfileQuery>, QueryRejection>;

pub(super) async fn processor(
    State(shared): State<RouteState>,
    Extension(caller): Extension<Caller>,
    query: ProfileQueryResult,
) -> Response {
    answer(&shared, &caller, query, processor_profile).await
}

pub(super) async fn heap(
    State(shared): State<RouteState>,
    Extension(caller): Extension<Caller>,
    query: ProfileQueryResult,
) -> Response {
    answer(&shared, &caller, query, heap_profile).await
}

async fn answer(
    shared: &RouteState,
    caller: &Caller,
    query: ProfileQueryResult,
    profile: impl AsyncFnOnce(u64) -> Result<Vec<u8>, ProfileError>,
) -> Response {
    if let Err(refusal) = shared.standalone.gatekeeper().permit_admin(caller) {
        return refused(&refusal);
    }
    let seconds = match query {
        Ok(Query(query)) => query.seconds.unwrap_or(DEFAULT_SECONDS),
        Err(rejection) => return (StatusCode::BAD_REQUEST, format!("{}\n", rejection.body_text())).into_response(),
    };
    match profile(seconds).await {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        Err(error) => (status_of(&error), format!("{error}\n")).into_response(),
    }
}

fn status_of(error: &ProfileError) -> StatusCode {
    match error {
        ProfileError::Seconds(_) => StatusCode::BAD_REQUEST,
        ProfileError::Busy => StatusCode::TOO_MANY_REQUESTS,
        ProfileError::NoHeap => StatusCode::NOT_IMPLEMENTED,
        ProfileError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use futures::FutureExt as _;
    use rstest::rstest;
    use tokio::{runtime, sync::Mutex, task, time};

    use super::*;

    /// The process takes one profile at a time, and so do these tests.
    static ALONE: Mutex<()> = Mutex::const_new(());

    #[rstest]
    #[case::none(0)]
    #[case::too_many(61)]
    #[tokio::test]
    async fn a_length_out_of_range_is_refused_with_the_range(#[case] seconds: u64) {
        let error = processor_profile(seconds).await.unwrap_err();
        assert_eq!(status_of(&error), StatusCode::BAD_REQUEST);
        assert_eq!(error.to_string(), format!("seconds: {seconds} is not in 1 to 60"));
    }

    /// A profile that is given up leaves the place to the next one.
    #[tokio::test]
    async fn one_profile_is_taken_at_a_time() {
        let _alone = ALONE.lock().await;
        let first = tokio::spawn(processor_profile(60));
        let refused = async {
            loop {
                match heap_profile(1).await {
                    Err(error @ ProfileError::Busy) => return error,
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        assert_eq!(status_of(&refused.await), StatusCode::TOO_MANY_REQUESTS);
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert!(!matches!(heap_profile(1).await, Err(ProfileError::Busy)));
    }
    /// Otherwise the end of the old one would end the samples of the next.
    #[test]
    fn a_profile_that_is_given_up_while_it_is_written_keeps_its_place_until_then() {
        let _alone = ALONE.blocking_lock();
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            // The thread that would write is busy.
            let (release, busy) = mpsc::channel::<()>();
            let blocker = task::spawn_blocking(move || busy.recv());
            let mut profile = Box::pin(processor_profile(1));
            assert!(profile.as_mut().now_or_never().is_none(), "it samples");
            time::advance(Duration::from_secs(1)).await;
            assert!(profile.as_mut().now_or_never().is_none(), "it waits for the thread");
            drop(profile);
            assert!(matches!(heap_profile(1).await, Err(ProfileError::Busy)));
            release.send(()).unwrap();
            blocker.await.unwrap().unwrap();
            // There is one thread, so the profile is written before this.
            task::spawn_blocking(|| ()).await.unwrap();
            assert!(!matches!(heap_profile(1).await, Err(ProfileError::Busy)));
        });
    }
}

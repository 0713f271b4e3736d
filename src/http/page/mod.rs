//! The operator's page on `/`, and the JSON and the events behind it under `/api/v2`.
//!
//! Every route makes the message of one call of `datacoord.v1` out of its request, makes that call inside the process, in
//! the name of its caller, and writes the answer as JSON with the names of the proto file (`wire::as_json`). So rights,
//! limits and errors are those of gRPC, and the page shows what the command line prints. Ids are texts.
//!
//! ```text
//!  page (web) ─▶ routes ─▶ params: members ─▶ call: the service, as the caller ─▶ JSON
//!        ▲                                                            │
//!        └──── events: overview and plans, as they change ◀───────────┘
//! ```
//!
//! The files of the page need no login, because they hold no data: the page asks for one when an answer is 401. A POST
//! has a body of type `application/json`, which no form of another site can send, and passes `origin`.
//!
//! Must never: send a list whose length a number in a request or the size of a collection decides, or compute what a call
//! computes.

mod assets;
mod call;
mod events;
mod params;
mod routes;
#[cfg(test)]
mod tests;

use axum::{
    Router,
    routing::{get, post},
};

use super::{paths, shared::RouteState};

/// The page, and all routes behind it.
pub(super) fn page_routes() -> Router<RouteState> {
    let mut router = Router::new();
    for asset in &assets::ASSETS {
        router = router.route(asset.path, get(async || asset.response()));
    }
    router
        .route(paths::API_OVERVIEW, get(routes::overview))
        .route(paths::API_EVENTS, get(events::events))
        .route(paths::API_SEGMENTS, get(routes::segments))
        .route(paths::API_EXPLAIN, get(routes::explain))
        .route(paths::API_LINEAGE, get(routes::lineage))
        .route(paths::API_JOBS, get(routes::jobs))
        .route(paths::API_JOB, get(routes::job))
        .route(paths::API_GARBAGE, get(routes::garbage))
        .route(paths::API_PLAN, post(routes::plan))
        .route(paths::API_COMPACT, post(routes::compact))
        .route(paths::API_CANCEL, post(routes::cancel))
        .route(paths::API_PAUSE, post(routes::pause))
        .route(paths::API_RESUME, post(routes::resume))
        .route(paths::API_THROTTLE, post(routes::throttle))
}

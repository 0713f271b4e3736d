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
mod paths;
mod routes;
#[cfg(test)]
mod tests;

use axum::{
    Router,
    routing::{get, post},
};

use super::shared::RouteState;

pub use call::ControlService;
pub(super) use events::StreamPlaces;
pub(super) use paths::{INDEX, ROUTES, is_asset};

/// The page, and all routes behind it.
pub(super) fn page_routes() -> Router<RouteState> {
    let mut router = Router::new();
    for asset in &assets::ASSETS {
        router = router.route(asset.path, get(async || asset.response()));
    }
    router
        .route(paths::OVERVIEW, get(routes::overview))
        .route(paths::EVENTS, get(events::events))
        .route(paths::SEGMENTS, get(routes::segments))
        .route(paths::EXPLAIN, get(routes::explain))
        .route(paths::LINEAGE, get(routes::lineage))
        .route(paths::JOBS, get(routes::jobs))
        .route(paths::JOB, get(routes::job))
        .route(paths::GARBAGE, get(routes::garbage))
        .route(paths::PLAN, post(routes::plan))
        .route(paths::COMPACT, post(routes::compact))
        .route(paths::CANCEL, post(routes::cancel))
        .route(paths::PAUSE, post(routes::pause))
        .route(paths::RESUME, post(routes::resume))
        .route(paths::THROTTLE, post(routes::throttle))
}

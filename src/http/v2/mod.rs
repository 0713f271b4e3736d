//! Milvus' REST of the newer style, `/v2/vectordb/…`: entities, collections and indexes.
//!
//! Each route makes the message of one call of the Milvus service out of its body, makes that call inside the process, and
//! writes the answer as JSON. So rights, limits, load state and errors are those of gRPC. Forms are those of Milvus 2.4 and
//! later: HTTP 200 with a `code`, 0 for success; refused callers get 401 or 403.
//!
//! ```text
//!  body ─▶ members: names, types ─▶ entities, searches, collections, indexes ─▶ call: the service ─▶ answer
//!                                      │ columns: rows of JSON to columns      rows: columns to rows of JSON
//! ```
//!
//! Must never: decide anything that the service decides, or build a tree of a body, which takes many times its memory.

mod answer;
mod call;
mod collections;
mod columns;
mod entities;
mod indexes;
mod members;
mod params;
mod rows;
mod searches;
#[cfg(test)]
mod tests;

use axum::{Router, routing::post};

use super::{paths, shared::RouteState};

/// All routes of this style.
pub(super) fn routes() -> Router<RouteState> {
    Router::new()
        .route(paths::V2_INSERT, post(entities::insert))
        .route(paths::V2_UPSERT, post(entities::upsert))
        .route(paths::V2_DELETE, post(entities::delete))
        .route(paths::V2_QUERY, post(entities::query))
        .route(paths::V2_GET, post(entities::get))
        .route(paths::V2_SEARCH, post(searches::search))
        .route(paths::V2_HYBRID_SEARCH, post(searches::hybrid_search))
        .route(paths::V2_ADVANCED_SEARCH, post(searches::hybrid_search))
        .route(paths::V2_LIST, post(collections::list))
        .route(paths::V2_HAS, post(collections::has))
        .route(paths::V2_DESCRIBE, post(collections::describe))
        .route(paths::V2_STATS, post(collections::stats))
        .route(paths::V2_LOAD_STATE, post(collections::load_state))
        .route(paths::V2_CREATE, post(collections::create))
        .route(paths::V2_DROP, post(collections::drop_one))
        .route(paths::V2_LOAD, post(collections::load))
        .route(paths::V2_RELEASE, post(collections::release))
        .route(paths::V2_FLUSH, post(collections::flush))
        .route(paths::V2_INDEX_LIST, post(indexes::list))
        .route(paths::V2_INDEX_DESCRIBE, post(indexes::describe))
        .route(paths::V2_INDEX_CREATE, post(indexes::create))
        .route(paths::V2_INDEX_DROP, post(indexes::drop_one))
}

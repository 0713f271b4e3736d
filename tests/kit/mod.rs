//! Fixtures of all tests and benches, in one place: schemas, segments, plans, requests, certificates, and a gate in
//! front of a store.
//!
//! Unit tests and integration tests build the same values, so a type that gains a field changes here and nowhere else.
//! The same files are compiled into both worlds:
//! - `src/lib.rs` takes them in as `crate::kit`, in test builds only;
//! - an integration test or a bench says `#[path = "../kit/mod.rs"] mod kit;`.
//!
//! Code in here names the product `datacoord::…`, which means the same crate in both (`lib.rs` declares
//! `extern crate self as datacoord` in test builds). So it can use only what is public.
//!
//! Must never hold a test's own assertions, sleep, or reach outside the test's process and directory.
#![allow(dead_code, reason = "each test and bench uses a part of the kit")]

pub(crate) mod authority;
pub(crate) mod filters;
pub(crate) mod gate;
pub(crate) mod model;
pub(crate) mod numbers;
pub(crate) mod pools;
pub(crate) mod rpc;

use std::{future::Future, time::Duration};

/// Longer than any event takes that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for an event that is bound to happen; panics after a minute.
pub(crate) async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

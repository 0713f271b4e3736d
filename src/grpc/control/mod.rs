//! `datacoord.v1.DataCoord`: our own typed API, for an operator: jobs, history, cancelling, pauses, explanations.
//!
//! Converts and calls; decides nothing. Errors are gRPC status codes.

mod checks;
mod explain;
mod history;
mod lineage;
mod pause;
mod service;
#[cfg(test)]
mod tests;
mod watch;

use checks::{BYTES_PER_MB, invalid, orderer, time};
pub(super) use service::ControlApi;
use service::grpc_status;
use watch::EventStream;

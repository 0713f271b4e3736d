//! `datacoord.v1.DataCoord`: our own typed API, for an operator: jobs, history, cancelling, pauses, explanations.
//!
//! Converts and calls; decides nothing. Errors are gRPC status codes.

mod api;
mod backup;
mod checks;
mod explain;
mod history;
mod lineage;
mod overview;
mod pause;
mod segments;
mod service;
#[cfg(test)]
mod tests;
mod watch;

pub(super) use api::ControlApi;
use api::grpc_status;
pub(super) use backup::BackupStream;
use checks::{BYTES_PER_MB, invalid, orderer, time};
pub(super) use watch::EventStream;

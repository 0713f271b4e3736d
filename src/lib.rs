//! datacoord: a compaction coordinator for vector data that speaks Milvus' protocols.
//!
//! Rows arrive over gRPC, are written to a log, and are flushed into segments of binlogs in Milvus' storage-v1 format.
//! Compaction applies delete logs and merges small segments into large ones, automatically and on request.
//!
//! # Vocabulary
//! *Segment*: rows of one group; it grows in memory and is then written as objects that never change. *Binlog*: one object
//! with one column of one batch of rows. *Delta log*: deletes of one segment. *Channel*: a shard of a collection. *Group*:
//! collection, partition and channel; a plan never spans two groups. *Job*: the work of one trigger; it owns *plans*.
//!
//! # Promises (`docs/design.md` says how each is kept)
//! - P1 every change of the set of segments is atomic, linearizable, and durable before it is seen
//! - P2 a plan takes effect exactly once, or not at all
//! - P3 no acknowledged row is lost
//! - P4 no deleted row comes back
//! - P5 garbage collection never removes an object that a live segment, a reader or a plan names
//! - P6 a process that lost its ownership can't write
//! - P7 job ids, states, counts and reasons are durable and true
//! - P8 memory for merging is bounded, and every class of work makes progress
//!
//! # Map, from pure to wired (a module uses only modules of earlier rows; `tests/architecture` holds this)
//! | row | modules |
//! |---|---|
//! | nouns | [`fault`], [`model`], [`error`], [`fence`], [`clock`], [`machine`], `background`, [`memory`], [`config`], [`tls`], [`connections`], [`telemetry`] |
//! | pure rules, formats, numbers | [`planner`], [`binlog`], [`graph`], [`json`], [`wire`], [`ids`] |
//! | reach behind a trait | [`storage`], [`meta`] |
//! | work | [`ingest`], [`query`], [`compactor`] |
//! | shell | [`scheduler`], [`coordinator`] |
//! | users | [`access`] |
//! | one process | [`standalone`] |
//! | edges | [`grpc`], [`http`], [`client`] |
//! | wiring | [`server`], [`cli`] |
#![deny(rust_2018_idioms, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic"))]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod background;
pub mod clock;
pub mod config;
pub mod connections;
pub mod error;
pub mod fault;
pub mod fence;
pub mod machine;
pub mod memory;
pub mod model;
pub mod telemetry;
pub mod tls;

pub mod binlog;
pub mod graph;
pub mod ids;
pub mod json;
pub mod planner;
pub mod wire;

pub mod meta;
pub mod storage;

pub mod compactor;
pub mod ingest;
pub mod query;

pub mod coordinator;
pub mod scheduler;

pub mod access;

pub mod standalone;

pub mod client;
pub mod grpc;
pub mod http;

pub mod cli;
pub mod server;

/// The name that fixtures know this crate by.
#[cfg(test)]
extern crate self as datacoord;
/// Fixtures of unit tests, the same as those of the integration tests.
#[cfg(test)]
#[path = "../tests/kit/mod.rs"]
mod kit;

//! The gRPC edge: Milvus' services, our own, health and reflection on one port.
//!
//! Handlers convert, call the coordinator, convert back. They never decide and never hold state. One folder per service:
//! `milvus` is Milvus' public API, `data_coord` the part of Milvus' internal DataCoord that we serve, `control` our
//! own.

mod access;
mod admission;
mod answer;
mod control;
mod data_coord;
mod milvus;
mod server;
mod stock_status;

pub use admission::Requests;
pub use server::GrpcServer;

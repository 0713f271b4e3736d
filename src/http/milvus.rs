//! The Milvus service as the REST edge gets it from the one place that knows both edges. Must never: know its implementation.

use std::sync::Arc;

use crate::{access::Caller, wire::proto::milvus::milvus_service_server::MilvusService};

/// The Milvus service of the process.
#[derive(Clone)]
pub struct Milvus {
    pub service: Arc<dyn MilvusService>,
    /// Writes down that the caller of a request was let in to a method.
    pub let_in: fn(&mut tonic::Extensions, &'static str, Caller),
}

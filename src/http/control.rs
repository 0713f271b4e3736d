//! Our own service as the HTTP edge gets it from the one place that knows both edges. Must never: know its implementation.

use std::sync::Arc;

use futures::stream::BoxStream;
use tonic::Status;

use crate::{
    access::Caller,
    wire::proto::datacoord::{BackupPart, CompactionEvent, data_coord_server::DataCoord},
};

/// Messages of a call that streams them.
type CallStream<T> = BoxStream<'static, Result<T, Status>>;

/// The calls of the service.
pub(super) type ControlCalls =
    dyn DataCoord<WatchCompactionStream = CallStream<CompactionEvent>, BackupStream = CallStream<BackupPart>>;

/// The service of the process.
#[derive(Clone)]
pub struct ControlService {
    pub service: Arc<ControlCalls>,
    /// Writes down that the caller of a request was let in to a method.
    pub let_in: fn(&mut tonic::Extensions, &'static str, Caller),
}

//! One port for all gRPC services, with health and reflection.

use std::{collections::HashSet, future::Future, sync::Arc, time::Duration};

use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Extensions, server::NamedService, transport::Server};
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{
    access::{AccessLayer, let_in},
    admission::{AdmissionLayer, Requests, UNMEASURED_BYTES},
    control::{BackupStream, ControlApi, EventStream},
    data_coord::DataCoordApi,
    milvus::MilvusApi,
    stock_status::{StockStatusLayer, show_calls},
};
use crate::{
    access::Caller,
    connections::Listener,
    standalone::Standalone,
    telemetry::Metrics,
    wire::proto::{
        self,
        data::data_coord_server::{DataCoord, DataCoordServer},
        datacoord::data_coord_server::{DataCoord as Control, DataCoordServer as ControlServer},
        milvus::milvus_service_server::{MilvusService, MilvusServiceServer},
    },
};

/// Idle connections are probed this often, and closed if the probe is not answered within the timeout, so that a
/// vanished client does not hold one for ever.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Calls of one connection that the server may have to reset because they break the protocol, before it closes it. hyper's
/// own default; tonic switches it off unless it is given.
const LOCAL_RESETS: usize = 1024;
/// Bodies of one connection that may wait to be read before it stops.
const CONNECTION_WINDOWS: u32 = 128;

/// The services over one process, ready to be served.
#[derive(Debug)]
pub struct GrpcServer {
    standalone: Arc<Standalone>,
    metrics: Arc<Metrics>,
    requests: Requests,
}

impl GrpcServer {
    pub fn new(standalone: Arc<Standalone>, metrics: Arc<Metrics>) -> Self {
        let requests = Requests::new(standalone.config());
        Self { standalone, metrics, requests }
    }

    /// The memory of calls in flight.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// The Milvus service itself.
    pub fn milvus(&self) -> impl MilvusService + use<> {
        self.api()
    }

    fn api(&self) -> MilvusApi {
        MilvusApi::new(Arc::clone(&self.standalone), self.requests.growth().clone())
    }

    /// Writes down that the caller of a request inside the process may make calls, as the layer does for those from
    /// outside. `method` is one of the Milvus service.
    pub fn let_in(extensions: &mut Extensions, method: &'static str, caller: Caller) {
        let_in(extensions, &format!("/{}/{method}", MilvusServiceServer::<MilvusApi>::NAME), caller);
    }

    /// The same for a method of our own service.
    pub fn let_in_to_control(extensions: &mut Extensions, method: &'static str, caller: Caller) {
        let_in(extensions, &format!("/{}/{method}", ControlServer::<ControlApi>::NAME), caller);
    }

    /// The compaction calls of Milvus' DataCoord.
    pub fn data_coord(&self) -> impl DataCoord + use<> {
        DataCoordApi::new(self.api())
    }

    /// Our own service.
    pub fn control(&self) -> impl Control<WatchCompactionStream = EventStream, BackupStream = BackupStream> + use<> {
        ControlApi::new(Arc::clone(&self.standalone))
    }

    /// Serves until `stop` resolves, then lets calls in flight finish.
    ///
    /// # Errors
    /// Failures of the listener; a bad call never ends the server.
    pub async fn serve(
        self,
        listener: Listener,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), tonic::transport::Error> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let health_service = health_service.max_decoding_message_size(UNMEASURED_BYTES);
        set_serving(&health, true).await;
        let methods = Arc::new(methods());
        show_calls(&self.metrics, &methods);
        let max_streams = self.standalone.config().server.max_streams;
        let window = self.requests.window_bytes();
        let reporting = AbortOnDropHandle::new(tokio::spawn(report(health, Arc::clone(&self.standalone))));
        let gatekeeper = self.standalone.gatekeeper().clone();
        let milvus = self.api();
        let milvus_service = MilvusServiceServer::new(milvus.clone())
            .max_decoding_message_size(self.requests.max_message_bytes())
            .max_encoding_message_size(usize::MAX);
        let (most, size_key) = (self.requests.max_message_bytes(), self.requests.size_key());
        let data_coord = DataCoordServer::new(DataCoordApi::new(milvus)).max_decoding_message_size(most);
        let control = ControlServer::new(ControlApi::new(self.standalone)).max_decoding_message_size(most);
        // Newer clients ask for reflection by v1, older ones (and many builds of grpcurl) by v1alpha. Without a usable
        // descriptor set there is no reflection, only a log line.
        let log = |error: &tonic_reflection::server::Error| tracing::error!(%error, "no gRPC reflection");
        let reflection = reflection().build_v1().inspect_err(log).ok();
        let reflection = reflection.map(|service| service.max_decoding_message_size(UNMEASURED_BYTES));
        let reflection_alpha = self::reflection().build_v1alpha().inspect_err(log).ok();
        let reflection_alpha = reflection_alpha.map(|service| service.max_decoding_message_size(UNMEASURED_BYTES));
        let served = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(max_streams)
            .http2_max_local_error_reset_streams(Some(LOCAL_RESETS))
            // Large enough that an insert does not wait for window updates, and bounded because unread bytes take
            // memory.
            .initial_stream_window_size(window)
            // Bodies that wait must not stop the others of their connection; how many may wait is bounded elsewhere.
            .initial_connection_window_size(window.saturating_mul(CONNECTION_WINDOWS))
            .layer(StockStatusLayer { metrics: self.metrics, methods, size_key })
            .layer(AccessLayer { gatekeeper })
            .layer(AdmissionLayer { requests: self.requests })
            .add_service(health_service)
            .add_service(milvus_service)
            .add_service(data_coord)
            .add_service(control)
            .add_optional_service(reflection)
            .add_optional_service(reflection_alpha)
            .serve_with_incoming_shutdown(listener.into_stream(), stop)
            .await;
        drop(reporting);
        served
    }
}

/// How often the health service is brought up to date. It answers its clients from the last update.
const REPORT_EVERY: Duration = Duration::from_secs(1);

async fn set_serving(health: &HealthReporter, takes_calls: bool) {
    let status = if takes_calls { ServingStatus::Serving } else { ServingStatus::NotServing };
    // The empty name stands for the whole server.
    for service in [
        "",
        MilvusServiceServer::<MilvusApi>::NAME,
        DataCoordServer::<DataCoordApi>::NAME,
        ControlServer::<ControlApi>::NAME,
    ] {
        health.set_service_status(service, status).await;
    }
}

/// Repeats the process' health in the health service. An unreachable store is no reason to send calls elsewhere.
async fn report(health: HealthReporter, standalone: Arc<Standalone>) {
    #[expect(clippy::disallowed_methods, reason = "a background loop; tests move tokio's clock")]
    let mut tick = tokio::time::interval(REPORT_EVERY);
    let mut said = true;
    loop {
        tick.tick().await;
        let takes_calls = standalone.health().takes_calls();
        if takes_calls != said {
            set_serving(&health, takes_calls).await;
            said = takes_calls;
        }
    }
}

/// Paths of all methods that are served, except those of reflection.
fn methods() -> HashSet<String> {
    let mut paths = HashSet::new();
    for descriptors in [proto::DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET] {
        // Methods of an unreadable set share one label; the log says so where reflection is made.
        let files = FileDescriptorSet::decode(descriptors).unwrap_or_default().file;
        for (package, service) in files.iter().flat_map(|file| file.service.iter().map(|s| (file.package(), s))) {
            let path = |method: &MethodDescriptorProto| format!("/{package}.{}/{}", service.name(), method.name());
            paths.extend(service.method.iter().map(path));
        }
    }
    paths
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_counted_by_its_methods() {
        let methods = methods();
        for path in [
            "/milvus.proto.milvus.MilvusService/Insert",
            "/milvus.proto.data.DataCoord/ManualCompaction",
            "/datacoord.v1.DataCoord/CollectGarbage",
            "/grpc.health.v1.Health/Check",
        ] {
            assert!(methods.contains(path), "{path}");
        }
    }
}

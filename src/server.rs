//! Builds and wires the parts; the only place that knows all of them. Takes the ports first and answers calls last,
//! after the stores are open and the log is replayed. A stop ends the listeners first.
//!
//! A stop takes no longer than `common.gracefulStopTimeout` and a moment, even if work is under way: acknowledged
//! writes are in the log, so unfinished work loses nothing.

mod certificates;
mod exposure;
mod memory;
mod process;
pub mod ready;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use prometheus::{IntCounter, IntGauge};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{info, warn};

use crate::{
    clock::{Clock, SystemClock},
    config::{Config, ConfigError},
    connections::{self, HandshakeFault, Listener, RefusalProtocol, Watched},
    coordinator::Parts,
    fault::{self, Point},
    grpc::GrpcServer,
    http::{self, ControlService, LargeBodies, Milvus, RequestBounds},
    meta::RedbStore,
    standalone::Standalone,
    storage::SegmentStore,
    telemetry::Metrics,
    tls::ServerTls,
};
use certificates::Certificates;
use exposure::Exposed;
use ready::Addresses;

pub use memory::{choose_page_size, divide as divide_memory};

/// Time for the stop behind the edges, even if the calls in flight have used up the common time.
const SHUTDOWN_TIME: Duration = Duration::from_secs(2);
/// One connection in this many is for REST, health and metrics, so that a crowd of gRPC clients can't shut these out.
const HTTP_SHARE: usize = 8;

/// Reads the files of TLS that the settings name. `None` if no port speaks TLS.
///
/// # Errors
/// A file that can't be used, with the key that names it.
pub fn load_tls(config: &Config) -> Result<Option<ServerTls>, ConfigError> {
    let now_s = SystemClock::new().now_ms() / 1000;
    ServerTls::load(&config.tls, now_s).map_err(|error| ConfigError::Contradiction(error.to_string()))
}

/// Serves until SIGTERM or SIGINT, then stops gracefully. `ready_file` is written once calls are answered.
///
/// # Errors
/// A reason not to start, with the file or address it concerns; a failure of the listeners.
pub async fn run(config: Config, tls: Option<ServerTls>, ready_file: Option<PathBuf>) -> Result<()> {
    #[cfg(feature = "planted-faults")]
    fault::warn_if_chosen();
    let data_dir = &config.server.data_dir;
    // Only the owner may read the files: they hold rows.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    std::fs::create_dir_all(data_dir).with_context(|| format!("data directory {}", data_dir.display()))?;
    // First, so that a port in use is reported before a long replay.
    let grpc = listen(config.server.grpc_listen).await?;
    let http = listen(config.server.http_listen).await?;
    let (grpc_address, http_address) = (grpc.local_addr()?, http.local_addr()?);
    report_exposure(&config, grpc_address, http_address);
    let (config, tls, clock) = (Arc::new(config), tls.map(Arc::new), Arc::new(SystemClock::new()));
    let metrics = Arc::new(Metrics::new(prometheus::Registry::new())?);
    memory::show_limits(&metrics, &config);
    certificates::show_ports(&metrics, &config);
    // The other half of the budget is for filters over keys.
    let catalog = RedbStore::open_with_cache(&config.server.data_dir, config.budget.caches / 2)?;
    let store = SegmentStore::open(&config.storage, &config.server.data_dir)?;
    let storage = store.place().to_owned();
    let standalone = Standalone::start(Parts {
        metrics: Arc::clone(&metrics),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        meta: Arc::new(catalog),
        store,
        config: Arc::clone(&config),
    })
    .await
    .context("start of the coordinator")?;

    let stop = CancellationToken::new();
    let milvus = GrpcServer::new(Arc::clone(&standalone), Arc::clone(&metrics));
    let requests = milvus.requests().clone();
    let (grpc, http, streams) = bounded(&config, &metrics, tls.as_deref(), grpc, http);
    let large = LargeBodies::new(requests.large().clone(), requests.max_message_bytes(), requests.size_key());
    let (memory, growth) = (requests.small().clone(), requests.growth().clone());
    let bounds = RequestBounds { idle: config.server.idle_timeout, memory, growth, large, streams };
    let rest = Milvus { service: Arc::new(milvus.milvus()), let_in: GrpcServer::let_in };
    let control = ControlService { service: Arc::new(milvus.control()), let_in: GrpcServer::let_in_to_control };
    let (refreshed, shown) = (Arc::clone(&standalone), Arc::clone(&metrics));
    let refresh = move || {
        refreshed.refresh_metrics();
        memory::show(&shown, requests.used_bytes());
        process::show(&shown);
    };
    let router = http::router(Arc::clone(&standalone), Arc::clone(&metrics), rest, control, refresh, bounds);
    let http = tokio::spawn(http::serve(http, router, config.server.idle_timeout, stop.clone()));
    let grpc = tokio::spawn(milvus.serve(grpc, stop.clone().cancelled_owned()));
    let addresses = Addresses::new(grpc_address, http_address).with_tls(&config.tls, tls.as_deref());
    let own_file = Addresses::file(&config.server.data_dir);
    addresses.write(&own_file).with_context(|| format!("file of addresses {}", own_file.display()))?;
    let certificates = tls.map(|tls| {
        let (standalone, metrics) = (Arc::clone(&standalone), Arc::clone(&metrics));
        let (addresses, addresses_file) = (addresses.clone(), own_file.clone());
        let certificates = Certificates { tls, clock, standalone, metrics, addresses, addresses_file };
        AbortOnDropHandle::new(tokio::spawn(certificates.watch(config.tls.reload_interval)))
    });
    // Until now a signal ends the process at once, also during a long replay. Nothing is lost by that.
    let mut signals = Signals::listen()?;
    fault::reached(Point::StartServing);
    if let Some(file) = ready_file {
        addresses.write(&file).with_context(|| format!("ready file {}", file.display()))?;
    }
    let (version, data) = (env!("CARGO_PKG_VERSION"), config.server.data_dir.display());
    info!(version, grpc = %grpc_address, http = %http_address, %data, storage, "serving");

    signals.next().await;
    info!("stopping: no new calls");
    // It would write the file of addresses again.
    drop(certificates);
    if let Err(error) = std::fs::remove_file(&own_file) {
        tracing::debug!(%error, file = %own_file.display(), "the file of addresses stays");
    }
    let end = Instant::now() + config.server.drain_timeout;
    tokio::spawn(async move {
        signals.next().await;
        warn!("asked twice: ending at once");
        std::process::exit(FORCED);
    });
    stop.cancel();
    standalone.coordinator().end_watches();
    let served = async { tokio::join!(grpc, http) };
    let drained = tokio::time::timeout_at(end, served).await;
    if drained.is_err() {
        let calls = metrics.grpc.in_flight.get();
        warn!(calls, timeout = ?config.server.drain_timeout, "calls are still in flight and are given up");
    }
    let rest = end.saturating_duration_since(Instant::now()).max(SHUTDOWN_TIME);
    if tokio::time::timeout(rest, standalone.shutdown()).await.is_err() {
        warn!(timeout = ?rest, "work in the background did not end and is given up; it goes on after the next start");
    }
    if let Ok((grpc, http)) = drained {
        grpc??;
        http?;
    }
    info!("stopped");
    Ok(())
}

/// Exit code after a second signal.
const FORCED: i32 = 1;

/// Says which port listens where, and how.
fn report_exposure(config: &Config, grpc: SocketAddr, http: SocketAddr) {
    let users = config.access.enabled;
    let tls_key = "common.security.tlsMode";
    let port = Exposed {
        port: "gRPC",
        address: grpc,
        tls: config.tls.mode,
        users,
        address_key: "datacoord.grpc.address",
        tls_key,
    };
    port.report();
    let tls_key = if config.tls.http_mode.is_some() { "datacoord.http.tls" } else { tls_key };
    let (address_key, tls) = ("datacoord.http.address", config.tls.http());
    Exposed { port: "HTTP", address: http, tls, address_key, tls_key, ..port }.report();
}

/// Both listeners, with their shares of the limit on connections, and the number of event streams: they hold no more than half
/// of the connections for HTTP, so that probes find one.
fn bounded(
    config: &Config,
    metrics: &Metrics,
    tls: Option<&ServerTls>,
    grpc: TcpListener,
    http: TcpListener,
) -> (Listener, Listener, usize) {
    let descriptors = connections::raise_descriptor_limit();
    let most = connections::most_connections(config.server.max_connections, descriptors, config.budget.requests);
    let for_http = (most / HTTP_SHARE).max(1);
    info!(connections = most, descriptors, "limits of connections");
    let idle = config.server.idle_timeout;
    let watched = |port| Arc::new(PortCounters::of(metrics, port));
    let (grpc_tls, http_tls) = (tls.and_then(ServerTls::grpc).cloned(), tls.and_then(ServerTls::http).cloned());
    (
        Listener::new(grpc, (most - for_http).max(1), idle, RefusalProtocol::Http2, grpc_tls, watched("grpc")),
        Listener::new(http, for_http, idle, RefusalProtocol::Http1, http_tls, watched("http")),
        (for_http / 2).min(config.server.max_streams as usize),
    )
}

/// Counts the connections of one port in the metrics.
struct PortCounters {
    open: IntGauge,
    refused: IntCounter,
    /// By fault, all of them from the start on.
    failed: [(HandshakeFault, IntCounter); HandshakeFault::ALL.len()],
}

impl PortCounters {
    fn of(metrics: &Metrics, port: &'static str) -> Self {
        let connections = &metrics.connections;
        let failed = HandshakeFault::ALL;
        Self {
            open: connections.open.with([port]),
            refused: connections.refused.with([port]),
            failed: failed.map(|fault| (fault, connections.handshakes_failed.with([port, fault.as_str()]))),
        }
    }
}

impl Watched for PortCounters {
    fn opened(&self) {
        self.open.inc();
    }

    fn closed(&self) {
        self.open.dec();
    }

    fn refused(&self) {
        self.refused.inc();
    }

    fn failed(&self, fault: HandshakeFault) {
        if let Some((_, counter)) = self.failed.iter().find(|(counted, _)| *counted == fault) {
            counter.inc();
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))
}

/// The signals that ask the process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

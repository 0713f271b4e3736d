//! Builds and wires the parts; the only place that knows all of them. Start: stores, coordinator (which replays the
//! log), then the listeners; stop: the listeners first, then the coordinator.

pub mod ready;

use std::{future::IntoFuture, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use axum::serve::ListenerExt;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    clock::SystemClock,
    config::Config,
    coordinator::{Coordinator, Parts},
    grpc::GrpcServer,
    http::{self, Component, ComponentState, ServiceBackend},
    meta::RedbStore,
    storage::SegmentStore,
    telemetry::Metrics,
};
use ready::Addresses;

/// Serves until SIGTERM or SIGINT, then stops gracefully. `ready_file` is written once calls are answered.
///
/// # Errors
/// What keeps the server from starting, with the file or address it concerns; failures of the listeners.
pub async fn run(config: Config, ready_file: Option<PathBuf>) -> Result<()> {
    let data_dir = &config.server.data_dir;
    std::fs::create_dir_all(data_dir).with_context(|| format!("data directory {}", data_dir.display()))?;
    // Listening first: a port that is taken must not cost a replay.
    let grpc = listen(config.server.grpc_listen).await?;
    let http = listen(config.server.http_listen).await?;
    let (grpc_address, http_address) = (grpc.local_addr()?, http.local_addr()?);
    let config = Arc::new(config);
    let metrics = Arc::new(Metrics::new(prometheus::Registry::new())?);
    let coordinator = Coordinator::start(Parts {
        metrics: Arc::clone(&metrics),
        clock: Arc::new(SystemClock::new()),
        meta: Arc::new(RedbStore::open(&config.server.data_dir)?),
        store: SegmentStore::open(&config.storage, &config.server.data_dir)?,
        config: Arc::clone(&config),
    })
    .await
    .context("start of the coordinator")?;

    let stop = CancellationToken::new();
    let milvus = GrpcServer::new(Arc::clone(&coordinator), Arc::clone(&metrics));
    let refreshed = Arc::clone(&coordinator);
    let backend = ServiceBackend::new(milvus.milvus(), components(&coordinator), move || refreshed.refresh_metrics());
    let router = http::router(Arc::new(backend), metrics);
    let http_stop = stop.clone().cancelled_owned();
    let http = http.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "answers on a connection may wait for acknowledgements");
        }
    });
    let http = tokio::spawn(axum::serve(http, router).with_graceful_shutdown(http_stop).into_future());
    let grpc = tokio::spawn(milvus.serve(grpc, stop.clone().cancelled_owned()));
    let addresses = Addresses::new(grpc_address, http_address);
    let own_file = Addresses::file(&config.server.data_dir);
    addresses.write(&own_file).with_context(|| format!("file of addresses {}", own_file.display()))?;
    if let Some(file) = ready_file {
        addresses.write(&file).with_context(|| format!("ready file {}", file.display()))?;
    }
    info!(grpc = %grpc_address, http = %http_address, data = %config.server.data_dir.display(), "serving");

    wait_for_signal().await?;
    info!("stopping: no new calls");
    if let Err(error) = std::fs::remove_file(&own_file) {
        tracing::debug!(%error, file = %own_file.display(), "the file of addresses stays");
    }
    stop.cancel();
    coordinator.end_watches();
    let served = async { tokio::join!(grpc, http) };
    let drained = tokio::time::timeout(config.server.drain_timeout, served).await;
    coordinator.shutdown().await;
    match drained {
        Ok((grpc, http)) => {
            grpc??;
            http??;
        }
        Err(_elapsed) => info!(timeout = ?config.server.drain_timeout, "calls were still in flight"),
    }
    info!("stopped");
    Ok(())
}

/// What the health routes show: one process fills every role.
fn components(coordinator: &Arc<Coordinator>) -> impl Fn() -> Vec<Component> + Send + Sync + use<> {
    let coordinator = Arc::clone(coordinator);
    move || {
        let healthy = coordinator.health().healthy;
        let state = if healthy { ComponentState::Healthy } else { ComponentState::Abnormal };
        ["rootcoord", "datacoord", "datanode", "proxy"].map(|name| Component { name, state }).into()
    }
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))
}

async fn wait_for_signal() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

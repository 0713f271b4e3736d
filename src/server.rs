//! Builds and wires the parts; the only place that knows all of them.

pub mod ready;

use std::path::PathBuf;

use crate::config::Config;

/// Serves until the process is asked to stop. `ready_file` is written once calls are answered.
pub async fn run(config: Config, _ready_file: Option<PathBuf>) -> anyhow::Result<()> {
    anyhow::bail!("the services on {} are not wired yet", config.server.grpc_listen)
}

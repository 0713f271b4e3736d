//! The real binary as a child process.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use datacoord::wire::proto::milvus::milvus_service_client::MilvusServiceClient;
use tonic::transport::Channel;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    client: MilvusServiceClient<Channel>,
}

impl Server {
    /// Starts the server on this data and waits until it serves.
    pub async fn start(data: &Path) -> Result<Self> {
        let ready = data.join("ready.json");
        if ready.exists() {
            std::fs::remove_file(&ready)?;
        }
        let log = std::fs::File::options().create(true).append(true).open(data.join("server.log"))?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_datacoord"))
            .arg("serve")
            .args(["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(data.join("data"))
            .arg("--ready-file")
            .arg(&ready)
            // Small logs, so that rolling and shrinking them happens within the test; garbage goes at once.
            .env("DATACOORD__WAL__FILESIZE", "1")
            .env("DATACOORD__GC__DROPTOLERANCE", "0")
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let begun = Instant::now();
        let endpoint = loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                let told: serde_json::Value = serde_json::from_str(&text)?;
                break told["grpc"].as_str().context("the ready file names no gRPC address")?.to_owned();
            }
            if let Some(status) = child.try_wait()? {
                bail!("the server ended with {status}:\n{}", tail(data));
            }
            ensure!(
                begun.elapsed() < START_TIMEOUT,
                "the server is not ready after {START_TIMEOUT:?}:\n{}",
                tail(data)
            );
            tokio::task::yield_now().await;
            // The file is the event; this only keeps the wait from eating a core.
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let channel = Channel::from_shared(format!("http://{endpoint}"))?.connect().await?;
        Ok(Self { child, client: MilvusServiceClient::new(channel).max_decoding_message_size(usize::MAX) })
    }

    pub fn client(&self) -> MilvusServiceClient<Channel> {
        self.client.clone()
    }

    /// SIGKILL: no destructor, no flush, no goodbye.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and the exit code that a graceful stop must have.
    pub async fn stop(mut self) -> Result<()> {
        let status = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        ensure!(status.success(), "kill -TERM: {status}");
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "a graceful stop ended with {status}");
                return Ok(());
            }
            ensure!(begun.elapsed() < STOP_TIMEOUT, "the server has not stopped after {STOP_TIMEOUT:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test leaves no process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tail(data: &Path) -> String {
    let text = std::fs::read_to_string(data.join("server.log")).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

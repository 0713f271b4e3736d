//! The real binary as a child process.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
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
    /// Where it listens, `host:port`.
    pub grpc: String,
    pub http: String,
}

/// How a process that was launched goes on.
pub enum Launched {
    Serving(Box<Server>),
    /// It ended by itself, with the end of its log.
    Ended(ExitStatus, String),
}

impl Server {
    /// Starts the server on this data and waits until it serves.
    pub async fn start(data: &Path) -> Result<Self> {
        Self::start_with(data, &[]).await
    }

    /// The same with settings, as variables of the environment.
    pub async fn start_with(data: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_in(data, settings, &[]).await
    }

    /// The same through a command that puts the process into a place, like a cgroup, and then becomes the server.
    pub async fn start_in(data: &Path, settings: &[(&str, &str)], through: &[String]) -> Result<Self> {
        let mut server = Self::start_unasked(data, settings, through).await?;
        server.client = MilvusServiceClient::new(connect(&server.grpc).await?).max_decoding_message_size(usize::MAX);
        Ok(server)
    }

    /// The same without a connection of its own client, which speaks no TLS.
    pub async fn start_unasked(data: &Path, settings: &[(&str, &str)], through: &[String]) -> Result<Self> {
        match Self::launch(data, settings, through).await? {
            Launched::Serving(server) => Ok(*server),
            Launched::Ended(status, log) => bail!("the server ended with {status}:\n{log}"),
        }
    }

    /// The same for a server that may end instead of serving. Its client connects with its first call.
    pub async fn launch(data: &Path, settings: &[(&str, &str)], through: &[String]) -> Result<Launched> {
        let ready = data.join("ready.json");
        if ready.exists() {
            std::fs::remove_file(&ready)?;
        }
        let log = std::fs::File::options().create(true).append(true).open(data.join("server.log"))?;
        let binary = binary();
        let mut command = match through {
            [] => Command::new(&binary),
            [first, others @ ..] => {
                let mut command = Command::new(first);
                command.args(others).arg(&binary);
                command
            }
        };
        let mut child = command
            .arg("serve")
            .args(["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(data.join("data"))
            .arg("--ready-file")
            .arg(&ready)
            // Small logs, so that they roll and shrink within the test; garbage is collected at once.
            .env("DATACOORD__WAL__FILESIZE", "1")
            .env("DATACOORD__GC__DROPTOLERANCE", "0")
            .env("RUST_BACKTRACE", "1")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let begun = Instant::now();
        let (grpc, http) = loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                let told: serde_json::Value = serde_json::from_str(&text)?;
                let address = |port: &str| {
                    told[port]
                        .as_str()
                        .map(str::to_owned)
                        .with_context(|| format!("the ready file names no {port} address"))
                };
                break (address("grpc")?, address("http")?);
            }
            if let Some(status) = child.try_wait()? {
                return Ok(Launched::Ended(status, tail(data)));
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
        let channel = Channel::from_shared(format!("http://{grpc}"))?.connect_lazy();
        let client = MilvusServiceClient::new(channel).max_decoding_message_size(usize::MAX);
        Ok(Launched::Serving(Box::new(Self { child, client, grpc, http })))
    }

    /// A connection of its own, made by its first call.
    pub fn connect_later(&self) -> Result<Channel> {
        Ok(Channel::from_shared(format!("http://{}", self.grpc))?.connect_lazy())
    }

    /// Resident memory in MiB: now, and at most so far.
    pub fn resident_mib(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let of = |key: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("no {key}"))?;
            Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
        };
        Ok((of("VmRSS:")?, of("VmHWM:")?))
    }

    /// # Errors
    /// The end of its log, if the process has ended by itself.
    pub fn check_alive(&mut self, data: &Path) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the server ended with {status}:\n{}", tail(data)),
        }
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

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, and nothing else.
    pub fn terminate(&self) -> Result<()> {
        let status = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status()?;
        ensure!(status.success(), "kill -TERM: {status}");
        Ok(())
    }

    /// Waits until the process is gone.
    pub async fn gone(&mut self) -> Result<ExitStatus> {
        self.gone_within(STOP_TIMEOUT).await
    }

    pub async fn gone_within(&mut self, patience: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(begun.elapsed() < patience, "the server has not ended after {patience:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// SIGTERM, and the exit code that a graceful stop must have.
    pub async fn stop(mut self) -> Result<()> {
        self.terminate()?;
        let status = self.gone().await?;
        ensure!(status.success(), "a graceful stop ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failing test must leave no process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server of this build, or another one to compare it with.
pub fn binary() -> PathBuf {
    #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
    std::env::var_os("LOAD_SERVER").map_or_else(|| env!("CARGO_BIN_EXE_datacoord").into(), PathBuf::from)
}

async fn connect(grpc: &str) -> Result<Channel> {
    Ok(Channel::from_shared(format!("http://{grpc}"))?.connect().await?)
}

fn tail(data: &Path) -> String {
    let text = std::fs::read_to_string(data.join("server.log")).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

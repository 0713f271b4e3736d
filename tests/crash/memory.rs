//! The real process with default settings in a cgroup that leaves it little memory: it slows its clients down, and is
//! never killed. `make limits` runs this; it needs the right to make cgroups.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use datacoord::wire::proto::milvus::QueryRequest;

use crate::{
    requests::{self, check},
    server::Server,
    workload::{self, COLLECTION},
};

const MIB: u64 = 1 << 20;
const CLIENTS: i64 = 8;

/// A cgroup of the first or the second version; removed when it is dropped.
pub struct Group {
    folder: PathBuf,
    peak: &'static str,
    kills: &'static str,
}

impl Group {
    pub fn new(name: &str, limit_bytes: u64) -> Result<Self> {
        let (root, limit, peak, kills) = if fs::exists("/sys/fs/cgroup/memory/memory.limit_in_bytes")? {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control")
        } else {
            ("/sys/fs/cgroup", "memory.max", "memory.peak", "memory.events")
        };
        let folder = PathBuf::from(root).join(format!("datacoord-test-{}-{name}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cgroup {}: run this as root", folder.display()))?;
        let group = Self { folder, peak, kills };
        fs::write(group.folder.join(limit), limit_bytes.to_string())?;
        Ok(group)
    }

    /// The command that joins it and then becomes another one.
    pub fn through(&self) -> Vec<String> {
        let processes = self.folder.join("cgroup.procs").display().to_string();
        let join = "echo $$ > \"$1\" && shift && exec \"$@\"";
        ["sh", "-c", join, "sh", &processes].map(str::to_owned).to_vec()
    }

    fn read(&self, file: &str) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join(file))?)
    }

    /// How often the kernel has killed something in it.
    pub fn killed(&self) -> Result<u64> {
        let text = self.read(self.kills)?;
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(line.context("no count of kills")?.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Inserts many times more than fits into memory, with several clients at once, and queries in between.
async fn stays_alive(name: &str, limit_mib: u64, inserted_mib: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let group = Group::new(name, limit_mib * MIB)?;
    // The server joins before it reads its limit.
    let mut server = Server::start_in(dir.path(), &[], &group.through()).await?;
    workload::create(&mut server.client()).await?;
    // 1 MB of vectors of 8 numbers, about.
    const ROWS: i64 = 20_000;
    let row_bytes = 8 * 4 + 16;
    let inserts = inserted_mib * MIB / (ROWS as u64 * row_bytes) / CLIENTS as u64;
    let clients = (0..CLIENTS).map(|client| {
        let mut api = server.client();
        tokio::spawn(async move {
            for n in 0..inserts as i64 {
                let first = (client * inserts as i64 + n) * ROWS;
                let rows: Vec<(i64, i64)> = (first..first + ROWS).map(|key| (key, client)).collect();
                let insert = requests::insert(COLLECTION, &rows);
                let answer = loop {
                    let answer = api.insert(insert.clone()).await?.into_inner();
                    // Milvus' rate limit: clients wait and try again.
                    if answer.status.as_ref().is_none_or(|status| status.code != 8) {
                        break answer;
                    }
                };
                check(answer.status, "insert")?;
                if n % 8 == 0 {
                    let query = QueryRequest {
                        collection_name: COLLECTION.into(),
                        expr: format!("id in [{first}]"),
                        output_fields: vec!["vec".into()],
                        ..Default::default()
                    };
                    check(api.query(query).await?.into_inner().status, "query")?;
                }
            }
            anyhow::Ok(())
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await??;
    }
    ensure!(requests::count(&mut server.client(), COLLECTION).await? == CLIENTS * inserts as i64 * ROWS);
    eprintln!("cgroup of {limit_mib} MB: {inserted_mib} MB inserted, peak {}", group.read(group.peak)?.trim());
    ensure!(group.killed()? == 0, "the kernel has killed something");
    let status = Command::new("kill").arg("-0").arg(server.pid().to_string()).status()?;
    ensure!(status.success(), "the server is gone");
    server.terminate()?;
    ensure!(server.gone().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "makes cgroups: run by make limits, as root"]
async fn many_inserts_in_a_cgroup_of_512_mb_end_alive() -> Result<()> {
    stays_alive("512", 512, 1500).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "makes cgroups: run by make limits, as root"]
async fn many_inserts_in_a_cgroup_of_256_mb_end_alive() -> Result<()> {
    stays_alive("256", 256, 1000).await
}

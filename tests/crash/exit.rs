//! The real process ends in time, also when a thread of it is stuck.

use std::{
    fs::OpenOptions,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use datacoord::wire::proto::milvus::QueryRequest;

use crate::{
    kit::rpc,
    requests::{self, check},
    server::Server,
    workload::{self, COLLECTION},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until another process or thread has made something true.
async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        ensure!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn files_below(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, into)?;
        } else {
            into.push(path);
        }
    }
    Ok(())
}

/// A server with a query whose thread is stuck, because the disk does not answer. Returns the file that it waits for.
async fn with_a_query_that_hangs(data: &Path, stop_seconds: &str) -> Result<(Server, std::fs::File)> {
    let server = Server::start_with(data, &[("COMMON_GRACEFULSTOPTIMEOUT", stop_seconds)]).await?;
    let mut client = server.client();
    workload::create(&mut client).await?;
    let rows: Vec<(i64, i64)> = (0..100).map(|key| (key, key)).collect();
    check(client.insert(requests::insert(COLLECTION, &rows)).await?.into_inner().status, "insert")?;
    check(client.flush(requests::flush(COLLECTION)).await?.into_inner().status, "flush")?;
    let mut objects = Vec::new();
    files_below(&data.join("data/files/insert_log"), &mut objects)?;
    ensure!(!objects.is_empty(), "nothing was flushed");
    for object in &objects {
        std::fs::remove_file(object)?;
        let made = Command::new("mkfifo").arg(object).status()?;
        ensure!(made.success(), "mkfifo: {made}");
    }
    tokio::spawn(async move {
        let query = QueryRequest {
            collection_name: COLLECTION.into(),
            expr: "value >= 0".into(),
            output_fields: vec!["value".into(), "vec".into()],
            query_params: vec![rpc::pair("limit", 10)],
            ..Default::default()
        };
        client.query(query).await
    });
    // A pipe can be opened for writing once the server has it open for reading.
    let pipe = until("the query to open an object", || {
        objects.iter().find_map(|path| OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path).ok())
    });
    Ok((server, pipe.await?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_work_that_nothing_can_end() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (server, _pipe) = with_a_query_that_hangs(dir.path(), "1").await?;
    server.stop().await?;
    let log = std::fs::read_to_string(dir.path().join("server.log"))?;
    ensure!(log.contains("calls are still in flight and are given up calls=1"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut server, _pipe) = with_a_query_that_hangs(dir.path(), "3600").await?;
    server.terminate()?;
    until("the stop to begin", || {
        let log = std::fs::read_to_string(dir.path().join("server.log")).ok()?;
        log.contains("stopping: no new calls").then_some(())
    })
    .await?;
    server.terminate()?;
    let status = server.gone().await?;
    ensure!(status.code() == Some(1), "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_files_are_for_the_owner_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path()).await?;
    workload::create(&mut server.client()).await?;
    server.stop().await?;
    let mut files = Vec::new();
    files_below(&dir.path().join("data"), &mut files)?;
    ensure!(files.iter().any(|path| path.ends_with("meta.redb")), "{files:?}");
    for file in files {
        for path in [file.as_path(), file.parent().context("a folder")?] {
            let mode = std::fs::metadata(path)?.permissions().mode();
            ensure!(mode & 0o077 == 0, "{} has mode {mode:o}", path.display());
        }
    }
    Ok(())
}

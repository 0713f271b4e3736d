//! Connections to the real process that make no progress, and more of them than the limit.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(30);

/// Sends some bytes and reads until the other side closes.
async fn until_closed(address: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    match tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await {
        Ok(Ok(_)) => Ok(answer),
        // The server closed it before it had read all bytes.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(answer),
        Ok(Err(error)) => Err(error.into()),
        Err(_elapsed) => anyhow::bail!("{address} keeps a connection that sent {:?}", String::from_utf8_lossy(bytes)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_requests_do_not_stay() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start_with(dir.path(), &[("DATACOORD__CONNECTIONS__IDLETIMEOUT", "1")]).await?;
    for half in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        until_closed(&server.grpc, half.as_bytes()).await?;
    }
    for half in ["", "GET /heal", "GET /healthz HTTP/1.1\r\nhost: here\r\nx-more: "] {
        until_closed(&server.http, half.as_bytes()).await?;
    }
    let half_body = "POST /api/v1/compaction HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\n{\"collection";
    let answer = until_closed(&server.http, half_body.as_bytes()).await?;
    let text = String::from_utf8_lossy(&answer);
    ensure!(text.starts_with("HTTP/1.1 408 ") && text.contains("datacoord.connections.idleTimeout"), "{text}");
    // Connections that make progress are served all the while, also after a pause.
    let whole = "GET /healthz HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
    let answer = until_closed(&server.http, whole.as_bytes()).await?;
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    server.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_answered_while_clients_hold_all_other_connections() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start_with(dir.path(), &[("DATACOORD__CONNECTIONS__MAX", "16")]).await?;
    // Fourteen are for gRPC, and the one of the test's own client is among them.
    let mut held = Vec::new();
    for _ in 0..13 {
        held.push(TcpStream::connect(&server.grpc).await?);
    }
    let answer = until_closed(&server.grpc, b"").await?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    ensure!(text.ends_with("too many connections, the limit is 14 (datacoord.connections.max)"), "{text}");
    let whole = "GET /metrics HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
    let answer = until_closed(&server.http, whole.as_bytes()).await?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    for line in [
        "datacoord_connections_open{port=\"grpc\"} 14\n",
        "datacoord_connections_refused_total{port=\"grpc\"} 1\n",
        "datacoord_memory_limit_bytes{part=\"growing\"} ",
        "datacoord_memory_used_bytes{part=\"total\"} ",
    ] {
        ensure!(text.contains(line), "{line}{text}");
    }
    drop(held);
    server.stop().await
}

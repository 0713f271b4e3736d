//! `datacoord healthcheck`: asks `/healthz` of a server, so that a container image needs no HTTP client.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::tls::ClientTls;

/// More than a healthy server needs, less than the usual interval of such checks.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes that are read: the answer is a word and a line for each reason.
const MAX_ANSWER_BYTES: u64 = 8192;

/// Fails unless the server answers 200 in time; the error repeats its answer.
pub(super) async fn run(endpoint: &str, tls: Option<ClientTls>) -> anyhow::Result<()> {
    let (status, body) = tokio::time::timeout(ANSWER_TIMEOUT, get(endpoint, tls))
        .await
        .with_context(|| format!("{endpoint} did not answer within {} s", ANSWER_TIMEOUT.as_secs()))?
        .with_context(|| format!("asking {endpoint}"))?;
    if status != 200 {
        bail!("{endpoint} answered {status}: {}", body.trim());
    }
    println!("{}", body.trim());
    Ok(())
}

/// Status code and body of `GET /healthz`.
async fn get(endpoint: &str, tls: Option<ClientTls>) -> anyhow::Result<(u16, String)> {
    let stream = TcpStream::connect(endpoint).await?;
    match tls {
        None => ask(endpoint, stream).await,
        Some(tls) => {
            let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
            let stream = tls.connect(host.trim_matches(['[', ']']), b"http/1.1", stream).await.context("TLS")?;
            ask(endpoint, stream).await
        }
    }
}

async fn ask(endpoint: &str, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> anyhow::Result<(u16, String)> {
    let request = format!("GET /healthz HTTP/1.0\r\nHost: {endpoint}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    let status = head.split_ascii_whitespace().nth(1).and_then(|code| code.parse().ok());
    Ok((status.context("the answer is not HTTP")?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers every call with these bytes.
    async fn answering(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /healthz HTTP/1.0\r\n"));
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        endpoint
    }

    #[tokio::test]
    async fn only_200_is_healthy() {
        run(&answering("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nOK").await, None).await.unwrap();
        let sick = "HTTP/1.0 500 Internal Server Error\r\n\r\ncomponent datacoord state is Initializing";
        let error = format!("{:#}", run(&answering(sick).await, None).await.unwrap_err());
        assert!(error.ends_with("answered 500: component datacoord state is Initializing"), "{error}");
        let error = format!("{:#}", run(&answering("hello").await, None).await.unwrap_err());
        assert!(error.ends_with("the answer is not HTTP"), "{error}");
        assert!(run("127.0.0.1:1", None).await.is_err());
    }
}

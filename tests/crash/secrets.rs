//! No output of the real process holds a secret: its log at the finest level, its errors, the settings it prints, its
//! HTTP answers, its files.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    kit::authority::Authority,
    server::{Server, binary},
};

/// The finest level, also of the libraries that are quieter by default.
const FINEST: &str = "trace,h2=trace,hyper=trace,hyper_util=trace,tonic=trace,tower=trace,rustls=trace";
const PATIENCE: Duration = Duration::from_secs(60);
const ACCESS_KEY: &str = "MARKED-ACCESS-KEY";
const SECRET_KEY: &str = "MARKED/SECRET+KEY";
const PASSWORD: &str = "MARKED-PASSWORD";
/// A wrong password.
const GUESS: &str = "MARKED-GUESS";
/// Base64 of `root:` and the password, as the header has it.
const TOKEN: &str = "cm9vdDpNQVJLRUQtUEFTU1dPUkQ=";

/// Fails if a text holds a secret.
fn check(place: &str, text: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(text);
    for secret in [ACCESS_KEY, SECRET_KEY, PASSWORD, GUESS, TOKEN] {
        let line = text.lines().find(|line| line.contains(secret));
        ensure!(line.is_none(), "{place} holds {secret}: {}", line.unwrap_or_default());
    }
    Ok(())
}

/// Runs the binary with these variables, requires that it fails or succeeds, and checks all it says.
async fn run(arguments: &[&str], variables: &[(&str, &str)], succeeds: bool) -> Result<String> {
    let mut command = Command::new(binary());
    command.args(arguments).envs(variables.iter().copied()).env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::time::timeout(PATIENCE, output).await.context("it does not end")???;
    ensure!(output.status.success() == succeeds, "{arguments:?}: {output:?}");
    check(&format!("stdout of {arguments:?}"), &output.stdout)?;
    check(&format!("stderr of {arguments:?}"), &output.stderr)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

/// An object store that refuses everything and repeats the keys in its answers.
async fn indiscreet_store() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let body = format!(
                    "<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId>\
                     <Said>{SECRET_KEY}</Said></Error>"
                );
                let answer = format!(
                    "HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    Ok(address)
}

async fn get(address: &str, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: here\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

fn check_files(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            check_files(&path)?;
        } else {
            check(&path.display().to_string(), &std::fs::read(&path)?)?;
        }
    }
    Ok(())
}

const KEYS: [(&str, &str); 4] = [
    ("MINIO_ACCESSKEYID", ACCESS_KEY),
    ("MINIO_SECRETACCESSKEY", SECRET_KEY),
    ("COMMON_SECURITY_AUTHORIZATIONENABLED", "true"),
    ("COMMON_SECURITY_DEFAULTROOTPASSWORD", PASSWORD),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_and_refused_starts_say_no_secret() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let data = data.to_str().context("a path")?;
    let printed = run(&["config"], &KEYS, true).await?;
    for key in ["accessKeyID", "secretAccessKey", "defaultRootPassword"] {
        ensure!(printed.contains(&format!("{key}: \"***\"")), "{key} {printed}");
    }
    for (name, value) in [
        ("MINIO_SECRETACCESSKEY", "***"),
        ("MINIO_SECRETACCESSKEY", "**********"),
        ("DATACOORD__MINIO__SECRETACCESKEY", SECRET_KEY),
        ("MINIO_ADDRESS", &format!("http://root:{PASSWORD}@store:9000")),
    ] {
        let variables = [&KEYS[..], &[("COMMON_STORAGETYPE", "minio"), (name, value)]].concat();
        run(&["serve", "--data-dir", data], &variables, false).await?;
        run(&["config"], &variables, false).await?;
    }

    let store = indiscreet_store().await?;
    let own = [
        ("COMMON_STORAGETYPE", "minio"),
        ("MINIO_ADDRESS", store.as_str()),
        ("DATACOORD__STORAGE__STARTTIMEOUT", "1"),
        ("LOG_LEVEL", FINEST),
    ];
    let variables = [&KEYS[..], &own].concat();
    let ports = ["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"];
    let arguments = [&["serve", "--data-dir", data][..], &ports].concat();
    let said = run(&arguments, &variables, false).await?;
    ensure!(said.contains("InvalidAccessKeyId"), "the rest of the answer is repeated: {said}");
    check_files(dir.path())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_says_no_secret() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (certificate, key) = Authority::new("the authority").server().write(dir.path(), "server");
    let key_text = std::fs::read_to_string(&key)?;
    let own = [
        ("LOG_LEVEL", FINEST),
        ("COMMON_SECURITY_TLSMODE", "1"),
        ("DATACOORD__HTTP__TLS", "off"),
        ("TLS_SERVERPEMPATH", certificate.to_str().context("a path")?),
        ("TLS_SERVERKEYPATH", key.to_str().context("a path")?),
    ];
    let server = Server::start_unasked(dir.path(), &[&KEYS[..], &own].concat(), &[]).await?;
    // Calls with a login, in every form, right and wrong.
    let data = dir.path().join("data");
    let demo =
        ["demo", "--flushes", "2", "--rows", "10", "--user", "root", "--data-dir", data.to_str().context("a path")?];
    run(&demo, &[("DATACOORD_PASSWORD", PASSWORD)], true).await?;
    let refused = run(&demo, &[("DATACOORD_PASSWORD", GUESS)], false).await?;
    ensure!(refused.contains("auth check failure"), "{refused}");
    let bearer = |password: &str| format!("Bearer root:{password}");
    for (header, status) in [
        (bearer(PASSWORD), 200),
        (format!("Basic {TOKEN}"), 200),
        (bearer(GUESS), 401),
        (format!("Basic {PASSWORD}"), 401),
        (PASSWORD.to_owned(), 401),
    ] {
        for path in ["/api/v1/health", "/api/v1/health?MARKED"] {
            let mut stream = TcpStream::connect(&server.http).await?;
            let request = format!("GET {path} HTTP/1.0\r\nhost: here\r\nauthorization: {header}\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            check(path, &answer)?;
            let text = String::from_utf8_lossy(&answer).into_owned();
            ensure!(text.starts_with(&format!("HTTP/1.0 {status} ")), "{header}: {text}");
        }
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        check(path, &get(&server.http, path).await?)?;
    }
    server.stop().await?;
    std::fs::remove_file(&key)?;
    check_files(dir.path())?;
    let log = std::fs::read_to_string(dir.path().join("server.log"))?;
    ensure!(log.contains("TRACE"), "the log is at its finest level");
    for line in key_text.lines().filter(|line| !line.starts_with("-----")) {
        ensure!(!log.contains(line), "a line of the key is in the log");
    }
    Ok(())
}

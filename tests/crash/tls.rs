//! TLS of the real process: both ports, both modes, the command line, files that change while it runs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use datacoord::{
    client::{Access, Client, ClientError},
    tls::{ClientTls, PemFile, Trust},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    kit::authority::{Authority, Pair},
    server::{Server, binary},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The files of a server and of its authority.
struct Files {
    folder: tempfile::TempDir,
    authority: Authority,
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new("the authority");
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, authority.pem())?;
        let (certificate, key) = authority.server().write(folder.path(), "server");
        Ok(Self { folder, authority, ca, certificate, key })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn start(&self, mode: &str, more: &[(&str, &str)]) -> Result<Server> {
        let mut settings = vec![
            ("COMMON_SECURITY_TLSMODE", mode),
            ("TLS_SERVERPEMPATH", text(&self.certificate)),
            ("TLS_SERVERKEYPATH", text(&self.key)),
            ("TLS_CAPEMPATH", text(&self.ca)),
            ("DATACOORD__TLS__RELOADINTERVAL", "100ms"),
        ];
        settings.extend(more);
        Server::start_unasked(self.path(), &settings, &[]).await
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.path().join("server.log"))?)
    }

    fn tls(&self, own: Option<&Pair>) -> Result<ClientTls> {
        let own = own.map(|pair| {
            let (certificate, key) = pair.write(self.path(), "client");
            (PemFile::new("--cert-file", certificate), PemFile::new("--key-file", key))
        });
        let trust = Trust::Authorities(PemFile::new("--ca-file", &self.ca));
        let own = own.as_ref().map(|(certificate, key)| (certificate, key));
        Ok(ClientTls::new(&trust, own, None, 1_790_000_000)?)
    }

    /// Runs a command of the binary beside the server.
    async fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--data-dir").arg(self.path().join("data"));
        ended(command).await
    }
}

/// The end of a command and its output.
async fn ended(mut command: Command) -> Result<Output> {
    let output = tokio::task::spawn_blocking(move || command.output());
    Ok(tokio::time::timeout(PATIENCE, output).await???)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn version(server: &Server, tls: Option<ClientTls>) -> Result<String> {
    let client = Client::connect(&server.grpc, Access { tls, ..Access::default() }).await?;
    Ok(client.version().await?)
}

/// Status and body of one GET.
async fn get(server: &Server, tls: &ClientTls, path: &str) -> Result<(u16, String)> {
    let stream = TcpStream::connect(&server.http).await?;
    let mut stream = tls.connect("127.0.0.1", b"http/1.1", stream).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: here\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no HTTP")?;
    Ok((status, answer))
}

/// Waits for an answer of `/healthz` or `/metrics` that holds a text.
async fn until_says(server: &Server, tls: &ClientTls, path: &str, part: &str) -> Result<String> {
    let begun = Instant::now();
    loop {
        let (_, answer) = get(server, tls, path).await?;
        if answer.contains(part) {
            return Ok(answer);
        }
        ensure!(begun.elapsed() < PATIENCE, "waited in vain for {part:?} in {answer}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_way_tls_on_both_ports_and_every_command_beside_the_server() -> Result<()> {
    let files = Files::new()?;
    let server = files.start("1", &[]).await?;
    version(&server, Some(files.tls(None)?)).await?;
    ensure!(get(&server, &files.tls(None)?, "/healthz").await?.0 == 200);
    ensure!(files.log()?.contains("tls=\"one-way\""), "the mode is said at the start: {}", files.log()?);

    // The server's own file tells commands on this machine which certificate to trust.
    let healthy = files.command(&["healthcheck"]).await?;
    ensure!(healthy.status.success() && healthy.stdout == b"OK\n", "{healthy:?}");
    let demo = files.command(&["demo", "--flushes", "2", "--rows", "10"]).await?;
    ensure!(demo.status.success(), "{demo:?}");
    let shown = String::from_utf8_lossy(&demo.stdout).into_owned();
    ensure!(shown.contains("curl --insecure -X POST 'https://"), "{shown}");
    // Its commands to try next reach the server as they stand there.
    for verb in ["segments", "explain", "compact"] {
        let next = |line: &&str| line.contains(&format!(" {verb} demo_books "));
        let line = shown.lines().map(str::trim).find(next).context(verb)?;
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().context("a program")?);
        command.args(words);
        let output = ended(command).await?;
        ensure!(output.status.success(), "{line}: {output:?}");
    }
    // At an address that is given, an authority has to vouch for the server.
    let endpoint = server.http.replace("127.0.0.1", "localhost");
    let strange = files.command(&["healthcheck", "--tls", "--endpoint", &endpoint]).await?;
    ensure!(!strange.status.success(), "{strange:?}");
    let vouched = files.command(&["healthcheck", "--ca-file", text(&files.ca), "--endpoint", &endpoint]).await?;
    ensure!(vouched.status.success(), "{vouched:?}");

    // Clients without TLS are told so, and nothing else ends. The client may see the end of the connection before it has
    // sent its call; then it knows no more than that.
    let error = version(&server, None).await.unwrap_err();
    let told = format!("{error:#}");
    let cut_off = matches!(error.downcast_ref(), Some(ClientError::CutOff { .. }));
    ensure!(told.contains("this port speaks TLS only") || cut_off, "{told}");
    version(&server, Some(files.tls(None)?)).await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_tls_at_a_port_without_is_told_of_the_handshake() -> Result<()> {
    let files = Files::new()?;
    let server = files.start("0", &[]).await?;
    let error = format!("{:#}", version(&server, Some(files.tls(None)?)).await.unwrap_err());
    ensure!(error.starts_with(&format!("TLS with {}", server.grpc)), "{error}");
    version(&server, None).await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_tls_wants_a_certificate_for_everything_but_probes() -> Result<()> {
    let files = Files::new()?;
    let server = files.start("2", &[]).await?;
    let (known, nameless) = (files.tls(Some(&files.authority.client()))?, files.tls(None)?);
    version(&server, Some(known.clone())).await?;
    ensure!(version(&server, Some(nameless.clone())).await.is_err());
    let stranger = files.tls(Some(&Authority::new("another one").client()))?;
    ensure!(version(&server, Some(stranger)).await.is_err());
    for (path, without, with) in [
        ("/healthz", 200, 200),
        ("/readyz", 200, 200),
        ("/metrics", 200, 200),
        ("/api/v1/health", 403, 200),
        ("/x", 403, 404),
    ] {
        ensure!(get(&server, &nameless, path).await?.0 == without, "{path} without a certificate");
        ensure!(get(&server, &known, path).await?.0 == with, "{path} with a certificate");
    }
    let healthy = files.command(&["healthcheck"]).await?;
    ensure!(healthy.status.success(), "a container has no certificate for its probe: {healthy:?}");
    let (certificate, key) = files.authority.client().write(files.path(), "demo");
    let demo = ["demo", "--flushes", "2", "--rows", "10", "--cert-file", text(&certificate), "--key-file", text(&key)];
    let demo = files.command(&demo).await?;
    ensure!(demo.status.success(), "{demo:?}");
    server.stop().await?;

    let server = files.start("2", &[("DATACOORD__HTTP__OPENMETRICS", "false")]).await?;
    ensure!(get(&server, &nameless, "/metrics").await?.0 == 403);
    ensure!(get(&server, &known, "/metrics").await?.0 == 200);
    server.stop().await?;
    let server = files.start("2", &[("DATACOORD__HTTP__TLS", "off")]).await?;
    version(&server, Some(known)).await?;
    let healthy = files.command(&["healthcheck"]).await?;
    ensure!(healthy.status.success(), "{healthy:?}");
    server.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_files_are_used_without_ending_a_connection() -> Result<()> {
    let files = Files::new()?;
    let server = files.start("1", &[]).await?;
    let tls = files.tls(None)?;
    let open = Client::connect(&server.grpc, Access { tls: Some(tls.clone()), ..Access::default() }).await?;
    open.version().await?;

    std::fs::write(&files.certificate, "no certificate")?;
    let answer = until_says(&server, &tls, "/healthz", "certificate degraded: ").await?;
    ensure!(answer.starts_with("HTTP/1.0 200 "), "the old certificate still serves: {answer}");
    ensure!(answer.contains(&format!("tls.serverPemPath is {}", files.certificate.display())), "{answer}");
    until_says(&server, &tls, "/metrics", "datacoord_tls_reloads_total{outcome=\"unusable\"} 1\n").await?;
    version(&server, Some(tls.clone())).await?;

    files.authority.server().write(files.path(), "server");
    until_says(&server, &tls, "/metrics", "datacoord_tls_reloads_total{outcome=\"replaced\"} 1\n").await?;
    let (_, healthy) = get(&server, &tls, "/healthz").await?;
    ensure!(healthy.ends_with("\r\n\r\nOK"), "{healthy}");
    open.version().await.context("the connection that was open")?;
    version(&server, Some(tls)).await?;
    let probe = files.command(&["healthcheck"]).await?;
    ensure!(probe.status.success(), "it knows the new certificate: {probe:?}");
    // The certificate of another authority comes into use too: trust is the clients' decision.
    let other = Authority::new("another one");
    other.server().write(files.path(), "server");
    std::fs::write(&files.ca, other.pem())?;
    let newer = files.tls(None)?;
    let begun = Instant::now();
    while version(&server, Some(newer.clone())).await.is_err() {
        ensure!(begun.elapsed() < PATIENCE, "{}", files.log()?);
    }
    open.version().await.context("the connection that was open")?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_with_files_that_cannot_be_used_is_an_error_of_the_configuration() -> Result<()> {
    let files = Files::new()?;
    files.authority.server_for((2020, 2021)).write(files.path(), "old");
    let old = files.path().join("old.pem");
    for (settings, part) in [
        (vec![("COMMON_SECURITY_TLSMODE", "1")], "tls.serverPemPath is empty"),
        (
            vec![
                ("COMMON_SECURITY_TLSMODE", "1"),
                ("TLS_SERVERPEMPATH", text(&old)),
                ("TLS_SERVERKEYPATH", text(&files.key)),
            ],
            "the certificate expired at 2021-01-01T00:00:00Z",
        ),
        (
            vec![
                ("COMMON_SECURITY_TLSMODE", "2"),
                ("TLS_SERVERPEMPATH", text(&files.certificate)),
                ("TLS_SERVERKEYPATH", text(&files.key)),
                ("TLS_CAPEMPATH", "/nowhere/ca.pem"),
            ],
            "tls.caPemPath is /nowhere/ca.pem: No such file",
        ),
    ] {
        let mut command = Command::new(binary());
        command.args(["serve", "--data-dir"]).arg(files.path().join("unused")).envs(settings);
        let ended = ended(command).await?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(ended.status.code() == Some(78) && said.contains(part), "{:?} {said}", ended.status);
        ensure!(!files.path().join("unused").exists(), "nothing was begun");
    }
    Ok(())
}

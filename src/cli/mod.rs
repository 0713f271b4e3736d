//! The command line: parses, loads the configuration, calls the library, maps errors to exit codes.
//!
//! Answers go to standard output, log lines and errors to standard error. Must never decide anything about data: commands
//! for a running server ask it through [`crate::client`].
//!
//! `exit` has the codes with which the process ends.

mod args;
mod backup;
mod binlog;
mod demo;
mod doctor;
mod exit;
mod healthcheck;
mod manual;
mod operator;
mod output;
mod progress;
mod reach;
mod settings;
mod show;
mod view;

use std::{future::Future, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;

use self::{
    args::{Cli, Command, DemoFlags, PlaceFlags, ServeFlags, ServerCommand},
    exit::Exit,
    operator::Session,
};
use crate::{
    background::blocking_threads,
    client,
    clock::{Clock, SystemClock},
    config::{LoadedConfig, TraceConfig, TraceExporter, layers},
    server,
    telemetry::{self, Traces},
    tls::{ClientTls, Trust},
};

/// Runs the process from its arguments and environment to its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(e) => {
            // `--help` and `--version` come here too, with exit code 0. An error of the terminal has no place to go.
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(Exit::Failed as u8));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let exit = Exit::of(&error);
            eprintln!("datacoord: {error:#}");
            if let Some(advice) = exit.advice() {
                eprintln!("  {advice}");
            }
            ExitCode::from(exit as u8)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { place, serve, command } = cli;
    let command = command.unwrap_or(Command::Serve(serve));
    if !matches!(command, Command::Serve(_)) {
        end_with_a_closed_pipe();
    }
    match command {
        Command::Serve(flags) => run_server(&place, flags),
        Command::Demo(flags) => run_demo(&place, flags),
        Command::Healthcheck(check) => {
            let found = reach::addresses(&place)?;
            let endpoint = check.endpoint.clone().unwrap_or_else(|| found.http.clone());
            let tls = reach::tls(&check.reach, &reach::known(&endpoint, &found.http, found.http_tls, &found))?;
            block_on(healthcheck::run(&endpoint, tls))
        }
        Command::Config(flags) => settings::run(&place, &flags),
        Command::Doctor(flags) => block_on(doctor::run(&place, flags)),
        Command::Completions(flags) => {
            manual::completions(&flags);
            Ok(())
        }
        Command::Man(flags) => manual::pages(&flags),
        Command::Status(asked) => ask(&place, asked, operator::status),
        Command::Segments(asked) => ask(&place, asked, operator::segments),
        Command::Explain(asked) => ask(&place, asked, operator::explain),
        Command::Lineage(asked) => ask(&place, asked, operator::lineage),
        Command::Jobs(asked) => ask(&place, asked, operator::jobs),
        Command::Job(asked) => ask(&place, asked, operator::job),
        Command::Plan(asked) => ask(&place, asked, operator::plan),
        Command::Compact(asked) => ask(&place, asked, operator::compact),
        Command::Watch(asked) => ask(&place, asked, operator::watch),
        Command::Cancel(asked) => ask(&place, asked, operator::cancel),
        Command::Pause(asked) => ask(&place, asked, operator::pause),
        Command::Resume(asked) => ask(&place, asked, operator::resume),
        Command::Throttle(asked) => ask(&place, asked, operator::throttle),
        Command::Gc(asked) => ask(&place, asked, operator::gc),
        Command::Backup(asked) => ask(&place, asked, backup::backup),
        Command::Restore(flags) => block_on(backup::restore(&place, flags)),
        Command::Binlog(command) => binlog::run(&command),
    }
}

/// Connects to the server and runs a command with its own flags.
fn ask<T: Args>(
    place: &PlaceFlags,
    asked: ServerCommand<T>,
    command: impl AsyncFnOnce(Session, T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    block_on(async { command(Session::open(place, asked.server).await?, asked.flags).await })
}

fn run_server(place: &PlaceFlags, flags: ServeFlags) -> anyhow::Result<()> {
    let mut sources = place.sources(&flags.layers);
    sources.flags.extend(flags.take_over.map(|run| ("datacoord.storage.takeOver", run)));
    let mut loaded = layers::load(&sources)?;
    let traces = begin_traces(&loaded.config.trace)?;
    telemetry::init(&loaded.config.log, traces.as_ref()).context("logging")?;
    report_ignored(&loaded);
    server::divide_memory(&mut loaded.config)?;
    let tls = server::load_tls(&loaded.config)?;
    server::choose_page_size(&loaded.config);
    let ended = block_on(server::run(loaded.config, tls, flags.ready_file));
    if let Some(traces) = traces {
        traces.end();
    }
    ended
}

/// Begins to send spans, if the settings name a collector. With TLS its certificate has to be of an authority that the machine
/// trusts.
fn begin_traces(config: &TraceConfig) -> anyhow::Result<Option<Traces>> {
    let is_secure = config.exporter == TraceExporter::Otlp && config.url().starts_with("https://");
    let now_s = SystemClock::new().now_ms() / 1000;
    let tls = is_secure.then(|| ClientTls::new(&Trust::Machine, None, None, now_s));
    let tls = tls.transpose().context("TLS to trace.otlp.endpoint")?;
    Ok(Traces::start(config, |url| client::collector(url, tls))?)
}

fn run_demo(place: &PlaceFlags, flags: DemoFlags) -> anyhow::Result<()> {
    let (found, environment) = (reach::addresses(place)?, place.sources(&Default::default()).environment);
    let grpc = flags.endpoint.clone().unwrap_or_else(|| found.grpc.clone());
    let known = reach::known(&grpc, &found.grpc, found.grpc_tls, &found);
    let access = reach::access(&flags.reach, &environment, &known, &grpc)?;
    block_on(demo::run(place, flags, found, access))
}

/// Lets a closed pipe end the process, as in `… | head`. Not for the server: it writes to connections that clients may
/// close.
fn end_with_a_closed_pipe() {
    // SAFETY: sets the default action of one signal and touches no memory of this program.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Logs the ignored keys of the file in one line, because a whole milvus.yaml has many of them. Warns of likely mistakes.
fn report_ignored(loaded: &LoadedConfig) {
    if !loaded.ignored.is_empty() {
        tracing::info!(count = loaded.ignored.len(), "keys of the configuration file that mean nothing here");
        tracing::debug!(keys = ?loaded.ignored, "ignored keys");
    }
    for warning in loaded.warnings() {
        tracing::warn!("{warning}");
    }
}

/// Longest wait for threads that still work when the command has ended.
const LEFT_BEHIND: Duration = Duration::from_millis(200);

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(blocking_threads(cores))
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let outcome = runtime.block_on(work);
    // Dropping the runtime would wait for all threads: one that computes or waits for a disk may take minutes.
    runtime.shutdown_timeout(LEFT_BEHIND);
    outcome
}

#[cfg(test)]
mod tests;

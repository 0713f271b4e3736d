//! The command line: parses, loads the configuration, calls the library, maps errors to exit codes.
//!
//! Answers go to standard output, log lines and errors to standard error. Decides nothing about data.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed while running; `demo`: also when a check did not hold |
//! | 2 | the command line is wrong |
//! | 78 | the configuration is wrong (`EX_CONFIG` of sysexits.h) |

mod args;
mod demo;
mod healthcheck;
mod table;

use std::{future::Future, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser as _;

use self::args::{Cli, Command, LayerFlags};
use crate::{
    background::blocking_threads,
    config::{self, LoadError, Loaded, layers},
    server::{self, ready::Addresses},
    telemetry,
};

const FAILURE: u8 = 1;
const CONFIGURATION: u8 = 78;

/// How a command can fail.
enum Failure {
    Configuration(LoadError),
    Running(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(e: anyhow::Error) -> Self {
        Self::Running(e)
    }
}

impl From<LoadError> for Failure {
    fn from(e: LoadError) -> Self {
        Self::Configuration(e)
    }
}

/// Runs the process from its arguments and environment to its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Also `--help` and `--version`, which are no failures; nothing can be done if the terminal is gone.
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(FAILURE));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Configuration(e)) => {
            eprintln!("datacoord: {e}");
            ExitCode::from(CONFIGURATION)
        }
        Err(Failure::Running(e)) => {
            eprintln!("datacoord: {e:#}");
            ExitCode::from(FAILURE)
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(serve) => {
            let mut sources = cli.layers.sources();
            sources.flags.extend(serve.take_over.map(|run| ("datacoord.storage.takeOver", run)));
            let mut loaded = layers::load(&sources)?;
            telemetry::init(&loaded.config.log).context("logging")?;
            report_ignored(&loaded);
            server::divide_memory(&mut loaded.config)?;
            if !loaded.config.memory.huge_pages {
                without_huge_pages();
            }
            block_on(server::run(loaded.config, serve.ready_file))?;
        }
        Command::Demo(demo) => {
            end_with_a_closed_pipe();
            let found = addresses(&cli.layers)?;
            block_on(demo::run(demo, found))?;
        }
        Command::Healthcheck(check) => {
            let endpoint = match check.endpoint {
                Some(endpoint) => endpoint,
                None => addresses(&cli.layers)?.http,
            };
            block_on(healthcheck::run(&endpoint))?;
        }
        Command::Config { example } => {
            end_with_a_closed_pipe();
            let text =
                if example { config::milvus_yaml::example() } else { layers::load(&cli.layers.sources())?.render() };
            print!("{text}");
        }
    }
    Ok(())
}

/// Where the server answers that this command line means: the one that runs over the data directory, unless a flag says
/// where; else the one of this configuration.
fn addresses(flags: &LayerFlags) -> Result<Addresses, Failure> {
    let config = layers::load(&flags.sources())?.config;
    let running = if flags.say_where() { None } else { Addresses::of_running(&config.server.data_dir) };
    Ok(running.unwrap_or_else(|| Addresses::new(config.server.grpc_listen, config.server.http_listen)))
}

/// From now on the process ends, as other programs do, when whoever reads its output has had enough: `… | head`. Not for
/// the server, which writes to connections that clients may close.
fn end_with_a_closed_pipe() {
    // SAFETY: it sets the default action of one signal and touches no memory of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// A whole milvus.yaml is welcome, so what means nothing here is worth one line and no more.
fn report_ignored(loaded: &Loaded) {
    if !loaded.ignored.is_empty() {
        tracing::info!(count = loaded.ignored.len(), "keys of the configuration file that mean nothing here");
        tracing::debug!(keys = ?loaded.ignored, "ignored keys");
    }
    for (given, known) in &loaded.misspelt {
        tracing::warn!("key {given} of the configuration file means nothing here: is it meant to be {known}?");
    }
    if let Some(path) = &loaded.unused_local_path {
        tracing::warn!("localStorage.path is {path} and not used: --data-dir was given, binlogs are in files below it");
    }
}

/// A thread that frees memory bit by bit keeps a huge page for as long as one byte of it is in use: many threads with
/// little to do would hold gigabytes.
fn without_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay as the system has them");
    }
}

/// Threads that are still at work when everything has been said: nothing waits for them any longer than this.
const LEFT_BEHIND: Duration = Duration::from_millis(200);

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(blocking_threads(cores))
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let outcome = runtime.block_on(work);
    // Dropping it would wait for all threads, also for one that computes or waits for a disk for minutes.
    runtime.shutdown_timeout(LEFT_BEHIND);
    outcome
}

#[cfg(test)]
mod tests;

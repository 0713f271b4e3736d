//! The command line: parses, loads the configuration, calls the library, maps errors to exit codes.
//!
//! Answers go to standard output, log lines and errors to standard error. Must never decide anything about data: commands
//! for a running server ask it through [`crate::client`].
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
mod reach;
mod show;
mod table;

use std::{future::Future, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser as _;

use self::{
    args::{Cli, Command, LayerFlags},
    reach::KnownPort,
};
use crate::{
    background::blocking_threads,
    config::{self, ConfigError, LoadedConfig, layers},
    server::{self, ready::Addresses},
    telemetry,
};

const FAILURE: u8 = 1;
const CONFIGURATION: u8 = 78;

/// How a command can fail; it decides the exit code.
enum CommandError {
    Configuration(ConfigError),
    Running(anyhow::Error),
}

impl From<anyhow::Error> for CommandError {
    fn from(e: anyhow::Error) -> Self {
        Self::Running(e)
    }
}

impl From<ConfigError> for CommandError {
    fn from(e: ConfigError) -> Self {
        Self::Configuration(e)
    }
}

/// Runs the process from its arguments and environment to its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // `--help` and `--version` come here too, with exit code 0. An error of the terminal has no place to go.
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(FAILURE));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Configuration(e)) => {
            eprintln!("datacoord: {e}");
            ExitCode::from(CONFIGURATION)
        }
        Err(CommandError::Running(e)) => {
            eprintln!("datacoord: {e:#}");
            ExitCode::from(FAILURE)
        }
    }
}

fn run(cli: Cli) -> Result<(), CommandError> {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(serve) => {
            let mut sources = cli.layers.sources();
            sources.flags.extend(serve.take_over.map(|run| ("datacoord.storage.takeOver", run)));
            let mut loaded = layers::load(&sources)?;
            telemetry::init(&loaded.config.log).context("logging")?;
            report_ignored(&loaded);
            server::divide_memory(&mut loaded.config)?;
            let tls = server::load_tls(&loaded.config)?;
            server::choose_page_size(&loaded.config);
            block_on(server::run(loaded.config, tls, serve.ready_file))?;
        }
        Command::Demo(demo) => {
            end_with_a_closed_pipe();
            let (found, environment) = (addresses(&cli.layers)?, cli.layers.sources().environment);
            let grpc = demo.endpoint.clone().unwrap_or_else(|| found.grpc.clone());
            let known = known(&grpc, &found.grpc, found.grpc_tls, &found);
            let access = reach::access(&demo.reach, &environment, &known, &grpc)?;
            block_on(demo::run(demo, found, access))?;
        }
        Command::Healthcheck(check) => {
            let found = addresses(&cli.layers)?;
            let endpoint = check.endpoint.clone().unwrap_or_else(|| found.http.clone());
            let tls = reach::tls(&check.reach, &known(&endpoint, &found.http, found.http_tls, &found))?;
            block_on(healthcheck::run(&endpoint, tls))?;
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

/// Addresses of the server to ask: those of a flag; without one, those of the server that runs over the data directory;
/// without such a server, those of the configuration.
fn addresses(flags: &LayerFlags) -> Result<Addresses, CommandError> {
    let config = layers::load(&flags.sources())?.config;
    let running = if flags.say_where() { None } else { Addresses::of_running(&config.server.data_dir) };
    let configured =
        || Addresses::new(config.server.grpc_listen, config.server.http_listen).with_tls(&config.tls, None);
    Ok(running.unwrap_or_else(configured))
}

/// Knowledge of the server at `endpoint`: none unless it is the one that was found at `own`.
fn known(endpoint: &str, own: &str, tls: bool, found: &Addresses) -> KnownPort {
    if endpoint == own { KnownPort { tls, certificates: found.certificates.clone() } } else { KnownPort::default() }
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
    for (given, known) in &loaded.misspelt {
        tracing::warn!("key {given} of the configuration file means nothing here: is it meant to be {known}?");
    }
    if let Some(path) = &loaded.unused_local_path {
        tracing::warn!("localStorage.path is {path} and not used: --data-dir was given, binlogs are in files below it");
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

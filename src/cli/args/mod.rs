//! The arguments of the command line as types. Must never do anything with them but parse.

mod asking;
mod offline;
mod ordering;
mod reach;
mod values;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand, error::ErrorKind};

pub(super) use self::{asking::*, offline::*, ordering::*, reach::*, values::*};
use crate::config::{Sources, parse_listen};

/// A compaction coordinator for vector data that speaks Milvus' protocols.
#[derive(Debug, Parser)]
#[command(name = "datacoord", version)]
#[command(after_help = "Without a command, the server is started.")]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) place: PlaceFlags,
    #[command(flatten)]
    pub(super) serve: ServeFlags,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

impl Cli {
    /// # Errors
    /// Arguments that are wrong, and the requests for help and for the version.
    pub(super) fn read(
        arguments: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
    ) -> clap::error::Result<Self> {
        let cli = Self::try_parse_from(arguments)?;
        match cli.command.as_ref().filter(|_| cli.serve != ServeFlags::default()) {
            None => Ok(cli),
            Some(_) => Err(Self::command().error(
                ErrorKind::ArgumentConflict,
                "a flag of the server stands before a command: flags of the server go behind `serve`, or stand alone",
            )),
        }
    }
}

/// Where the configuration is. A command that asks a server finds it by them, too.
#[derive(Debug, Default, Clone, Args)]
pub(super) struct PlaceFlags {
    /// YAML file with keys as in milvus.yaml
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Directory of the metadata store, the write-ahead log and local binlogs [datacoord.dataDir]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
}

/// Flags of the configuration; they win over the environment, which wins over the file.
#[derive(Debug, Default, Clone, PartialEq, Args)]
pub(super) struct LayerFlags {
    /// Address of the gRPC services, e.g. 127.0.0.1:19530 [datacoord.grpc.address, proxy.port]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(super) grpc_listen: Option<SocketAddr>,
    /// Address of REST, health and metrics, e.g. 127.0.0.1:9091 [datacoord.http.address, common.MetricsPort]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub(super) http_listen: Option<SocketAddr>,
    /// debug, info, warn, error, or directives such as datacoord=debug,info [log.level]
    #[arg(long, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,
}

impl PlaceFlags {
    /// The flags as words of a command, each after a space.
    pub(super) fn words(&self) -> String {
        reach::flag_words("config", self.config.as_ref().map(|path| path.display()))
            + &reach::flag_words("data-dir", self.data_dir.as_ref().map(|path| path.display()))
    }

    /// The layers of the configuration: the file that a flag names, the environment, the flags.
    pub(super) fn sources(&self, layers: &LayerFlags) -> Sources {
        let mut flags = Vec::new();
        if let Some(folder) = &self.data_dir {
            flags.push(("datacoord.dataDir", folder.display().to_string()));
        }
        for (listen, address, port) in [
            (layers.grpc_listen, "datacoord.grpc.address", "proxy.port"),
            (layers.http_listen, "datacoord.http.address", "common.MetricsPort"),
        ] {
            if let Some(listen) = listen {
                flags.push((address, listen.ip().to_string()));
                flags.push((port, listen.port().to_string()));
            }
        }
        if let Some(level) = &layers.log_level {
            flags.push(("log.level", level.clone()));
        }
        Sources { file: self.config.clone(), flags, ..Sources::of_process() }
    }
}

#[derive(Debug, Default, PartialEq, Args)]
pub(super) struct ServeFlags {
    #[command(flatten)]
    pub(super) layers: LayerFlags,
    /// Written when the server answers calls: {"pid": …, "grpc": "host:port", "http": "host:port"}, and the ports with TLS
    #[arg(long, value_name = "FILE")]
    pub(super) ready_file: Option<PathBuf>,
    /// Take over the store of this run, which is fenced by that; the error of a refused start names it
    /// [datacoord.storage.takeOver]
    #[arg(long, value_name = "RUN")]
    pub(super) take_over: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start the server (also without a command)
    Serve(ServeFlags),
    /// Write, delete, compact and check against a running server
    Demo(DemoFlags),
    /// Ask a running server whether it is well; for containers
    Healthcheck(HealthcheckFlags),
    /// Print the configuration in effect, with the layer of each value, or check it
    Config(ConfigFlags),
    /// Look for causes why a server does not work: configuration, disk, store, ports, the server itself
    Doctor(DoctorFlags),
    /// Print the completions of a shell
    Completions(CompletionsFlags),
    /// Print the manual page, or write the pages of all commands into a folder
    Man(ManFlags),
    /// Show health, pauses, jobs under way and collections
    Status(ServerCommand<StatusFlags>),
    /// List the segments of a collection
    Segments(ServerCommand<SegmentsFlags>),
    /// Say why a segment, or the segments of a collection, are not compacted
    Explain(ServerCommand<ExplainFlags>),
    /// Show a segment and the segments it was made from, as a tree
    Lineage(ServerCommand<SegmentFlags>),
    /// List compaction jobs, newest first
    Jobs(ServerCommand<JobsFlags>),
    /// Show one job with its plans
    Job(ServerCommand<JobFlags>),
    /// Show the plans that a compaction would make; changes nothing
    Plan(ServerCommand<PlanFlags>),
    /// Compact a collection, or a part of it
    Compact(ServerCommand<CompactFlags>),
    /// Follow plans while they run: all, or those of a job until it ends
    Watch(ServerCommand<WatchFlags>),
    /// End a job or a plan for good
    Cancel(ServerCommand<CancelFlags>),
    /// Have the plans of a collection, a job or everything wait
    Pause(ServerCommand<PauseFlags>),
    /// End a pause
    Resume(ServerCommand<PauseFlags>),
    /// Show or set the limit of the bytes that merges read and write per second
    Throttle(ServerCommand<ThrottleFlags>),
    /// Collect garbage now, or list it
    Gc(ServerCommand<GcFlags>),
    /// Write everything that a running server has at this moment into a folder
    Backup(ServerCommand<BackupFlags>),
    /// Make a new data directory, and fill a new store, from a backup; or only check it
    Restore(RestoreFlags),
    /// Look at files in Milvus' format, without a server
    #[command(subcommand)]
    Binlog(BinlogCommand),
}

#[derive(Debug, Args)]
pub(super) struct DemoFlags {
    #[command(flatten)]
    pub(super) reach: ReachFlags,
    /// Address of the gRPC services; without it that of the running server, or the one of the configuration
    #[arg(long, value_name = "HOST:PORT", value_parser = endpoint)]
    pub(super) endpoint: Option<String>,
    /// Address of REST and metrics, for the commands to try next; found like the other one
    #[arg(long, value_name = "HOST:PORT", value_parser = endpoint)]
    pub(super) http: Option<String>,
    /// Small flushes to make
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=200))]
    pub(super) flushes: u16,
    /// Rows of each
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    pub(super) rows: u32,
}

#[derive(Debug, Args)]
pub(super) struct HealthcheckFlags {
    #[command(flatten)]
    pub(super) reach: ReachFlags,
    /// Address of REST and health; without it that of the running server, or the one of the configuration
    #[arg(long, value_name = "HOST:PORT", value_parser = endpoint)]
    pub(super) endpoint: Option<String>,
}

#[cfg(test)]
mod tests;

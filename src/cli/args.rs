//! The arguments of the command line as types. Must never do anything with them but parse.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, builder::BoolishValueParser};

use crate::config::Sources;

/// A compaction coordinator for vector data that speaks Milvus' protocols.
#[derive(Debug, Parser)]
#[command(name = "datacoord", version, args_conflicts_with_subcommands = false)]
#[command(after_help = "Without a command, the server is started.")]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) layers: LayerFlags,
    #[command(flatten)]
    pub(super) serve: ServeFlags,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// Flags of the configuration; they win over the environment, which wins over the file.
#[derive(Debug, Default, Args)]
pub(super) struct LayerFlags {
    /// YAML file with keys as in milvus.yaml
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Directory of the metadata store, the write-ahead log and local binlogs [datacoord.dataDir]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Address of the gRPC services, e.g. 127.0.0.1:19530 [datacoord.grpc.address, proxy.port]
    #[arg(long, global = true, value_name = "ADDR")]
    pub(super) grpc_listen: Option<SocketAddr>,
    /// Address of REST, health and metrics, e.g. 127.0.0.1:9091 [datacoord.http.address, common.MetricsPort]
    #[arg(long, global = true, value_name = "ADDR")]
    pub(super) http_listen: Option<SocketAddr>,
    /// debug, info, warn, error, or directives such as datacoord=debug,info [log.level]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,
}

impl LayerFlags {
    /// The layers of the configuration: the file that a flag names, the environment, the flags.
    pub(super) fn sources(&self) -> Sources {
        let mut flags = Vec::new();
        if let Some(folder) = &self.data_dir {
            flags.push(("datacoord.dataDir", folder.display().to_string()));
        }
        for (listen, address, port) in [
            (self.grpc_listen, "datacoord.grpc.address", "proxy.port"),
            (self.http_listen, "datacoord.http.address", "common.MetricsPort"),
        ] {
            if let Some(listen) = listen {
                flags.push((address, listen.ip().to_string()));
                flags.push((port, listen.port().to_string()));
            }
        }
        if let Some(level) = &self.log_level {
            flags.push(("log.level", level.clone()));
        }
        Sources { file: self.config.clone(), flags, ..Sources::of_process() }
    }

    /// Whether a flag names an address of the server.
    pub(super) fn say_where(&self) -> bool {
        self.grpc_listen.is_some() || self.http_listen.is_some()
    }
}

#[derive(Debug, Default, Args)]
pub(super) struct ServeFlags {
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
    /// Print the configuration in effect, with the layer of each value
    Config {
        /// Print every key with its default, unit and a sentence instead
        #[arg(long)]
        example: bool,
    },
}

/// How a command reaches a server. A server on this machine that the command finds by itself needs none of TLS.
#[derive(Debug, Default, Args)]
pub(super) struct ReachFlags {
    /// Speak TLS; the files and the name below mean it too
    #[arg(long, env = "DATACOORD_TLS", value_parser = BoolishValueParser::new(), hide_env_values = true)]
    pub(super) tls: bool,
    /// PEM file with the authority of the server's certificate; without it those that this machine trusts
    #[arg(long, value_name = "FILE", env = "DATACOORD_CA_FILE", hide_env_values = true)]
    pub(super) ca_file: Option<PathBuf>,
    /// PEM file with the certificate of this client, for mutual TLS
    #[arg(long, value_name = "FILE", env = "DATACOORD_CERT_FILE", hide_env_values = true, requires = "key_file")]
    pub(super) cert_file: Option<PathBuf>,
    /// PEM file with the key of that certificate
    #[arg(long, value_name = "FILE", env = "DATACOORD_KEY_FILE", hide_env_values = true, requires = "cert_file")]
    pub(super) key_file: Option<PathBuf>,
    /// Name in the server's certificate, if it is not the host's
    #[arg(long, value_name = "NAME", env = "DATACOORD_SERVER_NAME", hide_env_values = true)]
    pub(super) server_name: Option<String>,
    /// User to log in as; the password is in a file or in the variable DATACOORD_PASSWORD
    #[arg(long, value_name = "NAME", env = "DATACOORD_USER", hide_env_values = true)]
    pub(super) user: Option<String>,
    /// File with the password of that user
    #[arg(long, value_name = "FILE", env = "DATACOORD_PASSWORD_FILE", hide_env_values = true)]
    pub(super) password_file: Option<PathBuf>,
}

impl ReachFlags {
    /// Whether any flag means TLS.
    pub(super) fn say_tls(&self) -> bool {
        self.tls || self.ca_file.is_some() || self.cert_file.is_some() || self.server_name.is_some()
    }
}

#[derive(Debug, Args)]
pub(super) struct DemoFlags {
    #[command(flatten)]
    pub(super) reach: ReachFlags,
    /// Address of the gRPC services; without it that of the running server, or the one of the configuration
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) endpoint: Option<String>,
    /// Address of REST and metrics, for the commands to try next; found like the other one
    #[arg(long, value_name = "HOST:PORT")]
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
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) endpoint: Option<String>,
}

//! Flags by which a command reaches a running server.

use std::path::PathBuf;

use clap::{Args, builder::BoolishValueParser};

use super::{duration, endpoint};

/// How a command reaches a server. A server on this machine that the command finds by itself needs none of TLS.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(in crate::cli) struct ReachFlags {
    /// Speak TLS; the files and the name below mean it too
    #[arg(long, env = "DATACOORD_TLS", value_parser = BoolishValueParser::new(), hide_env_values = true)]
    pub(in crate::cli) tls: bool,
    /// PEM file with the authority of the server's certificate; without it those that this machine trusts
    #[arg(long, value_name = "FILE", env = "DATACOORD_CA_FILE", hide_env_values = true)]
    pub(in crate::cli) ca_file: Option<PathBuf>,
    /// PEM file with the certificate of this client, for mutual TLS
    #[arg(long, value_name = "FILE", env = "DATACOORD_CERT_FILE", hide_env_values = true, requires = "key_file")]
    pub(in crate::cli) cert_file: Option<PathBuf>,
    /// PEM file with the key of that certificate
    #[arg(long, value_name = "FILE", env = "DATACOORD_KEY_FILE", hide_env_values = true, requires = "cert_file")]
    pub(in crate::cli) key_file: Option<PathBuf>,
    /// Name in the server's certificate, if it is not the host's
    #[arg(long, value_name = "NAME", env = "DATACOORD_SERVER_NAME", hide_env_values = true)]
    pub(in crate::cli) server_name: Option<String>,
    /// User to log in as; the password is in a file or in the variable DATACOORD_PASSWORD
    #[arg(long, value_name = "NAME", env = "DATACOORD_USER", hide_env_values = true)]
    pub(in crate::cli) user: Option<String>,
    /// File with the password of that user
    #[arg(long, value_name = "FILE", env = "DATACOORD_PASSWORD_FILE", hide_env_values = true)]
    pub(in crate::cli) password_file: Option<PathBuf>,
}

impl ReachFlags {
    /// Whether any flag means TLS.
    pub(in crate::cli) fn say_tls(&self) -> bool {
        self.tls || self.ca_file.is_some() || self.cert_file.is_some() || self.server_name.is_some()
    }

    /// The flags as words of a command, each after a space.
    pub(in crate::cli) fn words(&self) -> String {
        let files = [
            ("ca-file", &self.ca_file),
            ("cert-file", &self.cert_file),
            ("key-file", &self.key_file),
            ("password-file", &self.password_file),
        ];
        let texts = [("server-name", &self.server_name), ("user", &self.user)];
        let tls = if self.tls { " --tls".to_owned() } else { String::new() };
        tls + &files.map(|(flag, path)| flag_words(flag, path.as_ref().map(|path| path.display()))).concat()
            + &texts.map(|(flag, text)| flag_words(flag, text.as_ref())).concat()
    }
}

/// A flag and its value as words of a command, each after a space; nothing without a value.
pub(in crate::cli) fn flag_words(flag: &str, value: Option<impl std::fmt::Display>) -> String {
    value.map(|value| format!(" --{flag} {value}")).unwrap_or_default()
}

/// A command for a running server: flags of its own, and those that all such commands have.
#[derive(Debug, Args)]
pub(in crate::cli) struct ServerCommand<T: Args> {
    #[command(flatten)]
    pub(in crate::cli) flags: T,
    #[command(flatten)]
    pub(in crate::cli) server: ServerFlags,
}

#[derive(Debug, Default, Args)]
pub(in crate::cli) struct ServerFlags {
    /// Print the answer as JSON, with the names of datacoord.proto
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Database of the collection
    #[arg(long, value_name = "NAME", env = "DATACOORD_DATABASE", hide_env_values = true)]
    pub(in crate::cli) database: Option<String>,
    /// Address of the gRPC services; without it that of the running server, or the one of the configuration
    #[arg(long, value_name = "HOST:PORT", env = "DATACOORD_ENDPOINT", hide_env_values = true, value_parser = endpoint)]
    #[arg(help_heading = "Connection")]
    pub(in crate::cli) endpoint: Option<String>,
    /// Longest time of a call, e.g. 30s [default: 2m]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Connection")]
    pub(in crate::cli) timeout: Option<std::time::Duration>,
    #[command(flatten)]
    pub(in crate::cli) reach: ReachFlags,
}

impl ServerFlags {
    /// The address that is named. An empty variable names none.
    pub(in crate::cli) fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref().filter(|endpoint| !endpoint.is_empty())
    }
}

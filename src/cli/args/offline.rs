//! Flags of commands that need no server.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::{LayerFlags, ServerFlags};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BinlogCommand {
    /// Show the headers of files: kind, ids, type, rows, times, keys
    Show(FileFlags),
    /// Read files whole: every row, delete and statistic, and the rows of the fields of each segment beside each other
    Verify(FileFlags),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct FileFlags {
    /// A log, or a folder with logs, such as `files` in the data directory or the bucket of a Milvus
    #[arg(value_name = "FILE|DIR")]
    pub(in crate::cli) path: PathBuf,
    /// Print the answer as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ConfigFlags {
    /// The action on the configuration
    #[arg(value_enum, default_value_t = ConfigAction::Show)]
    pub(in crate::cli) action: ConfigAction,
    #[command(flatten)]
    pub(in crate::cli) layers: LayerFlags,
    /// Print every key with its default, unit and a sentence instead
    #[arg(long)]
    pub(in crate::cli) example: bool,
    /// Print the answer as JSON
    #[arg(long, conflicts_with = "example")]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ConfigAction {
    /// Print every key with its value and the layer that it came from
    Show,
    /// Read all layers and the files that they name as the server does at its start
    Check,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorFlags {
    #[command(flatten)]
    pub(in crate::cli) server: ServerFlags,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsFlags {
    #[arg(value_enum)]
    pub(in crate::cli) shell: Shell,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ManFlags {
    /// Write a page for each command into this folder
    #[arg(value_name = "DIR")]
    pub(in crate::cli) folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreFlags {
    /// Folder that `datacoord backup` has written
    #[arg(value_name = "DIR")]
    pub(in crate::cli) folder: PathBuf,
    /// Only read the backup whole, and compare it with its checksums
    #[arg(long)]
    pub(in crate::cli) verify: bool,
    /// Print the answer as JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

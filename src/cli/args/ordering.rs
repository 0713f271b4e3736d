//! Flags of commands that change something.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{CollectionArgument, DeadlineFlag, Limit, collection, deadline, duration, limit, megabytes};

/// The part of a collection that a compaction is asked for, and its kind.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct CommandScope {
    /// Name, alias or id of the collection
    #[arg(value_name = "COLLECTION", value_parser = collection)]
    pub(in crate::cli) collection: CollectionArgument,
    /// Only this partition, by name or id
    #[arg(long, value_name = "PARTITION")]
    pub(in crate::cli) partition: Option<String>,
    /// Only this channel
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) channel: Option<String>,
    /// Only these segments, by id
    #[arg(long, value_name = "ID,…", value_delimiter = ',', value_parser = clap::value_parser!(i64).range(1..))]
    pub(in crate::cli) segments: Vec<i64>,
    /// Merge and split towards segments of this size, e.g. 512MB or 2GB
    #[arg(long, value_name = "SIZE", value_parser = megabytes, group = "kind")]
    pub(in crate::cli) target_size: Option<i64>,
    /// Divide the rows by ranges of the clustering key
    #[arg(long, group = "kind")]
    pub(in crate::cli) clustering: bool,
    /// Spread the deletes of L0 segments over the segments that they hit
    #[arg(long, group = "kind")]
    pub(in crate::cli) l0: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CompactFlags {
    #[command(flatten)]
    pub(in crate::cli) scope: CommandScope,
    /// Show the progress until the job has ended, for at most TIME; the exit code is 1 unless all plans complete
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = duration)]
    #[arg(conflicts_with = "dry_run")]
    pub(in crate::cli) wait: Option<Option<Duration>>,
    /// Among the requests for one collection the greater is executed first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i32).range(-100..=100))]
    pub(in crate::cli) priority: i32,
    /// Cancel the plans that have not ended by then, e.g. 10m or 2026-11-29T20:00:00Z
    #[arg(long, value_name = "TIME", value_parser = deadline)]
    pub(in crate::cli) deadline: Option<DeadlineFlag>,
    /// Only show the plans that it would make
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Print the id of the job alone
    #[arg(short, long, conflicts_with_all = ["json", "dry_run"])]
    pub(in crate::cli) quiet: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CancelFlags {
    /// Id of the job
    #[arg(value_name = "JOB", value_parser = clap::value_parser!(i64).range(1..), required_unless_present = "plan")]
    pub(in crate::cli) job: Option<i64>,
    /// Only this plan, by id
    #[arg(long, value_name = "PLAN", value_parser = clap::value_parser!(i64).range(1..), conflicts_with = "job")]
    pub(in crate::cli) plan: Option<i64>,
    #[command(flatten)]
    pub(in crate::cli) by: By,
}

/// The author of an order.
#[derive(Debug, Args)]
pub(in crate::cli) struct By {
    /// Name that is kept with the order [default: the user of the login, or of this machine]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) by: Option<String>,
}

#[derive(Debug, Args)]
#[group(id = "scope", required = true, multiple = false, args = ["collection", "job", "everything"])]
pub(in crate::cli) struct PauseFlags {
    /// Name, alias or id of the collection
    #[arg(value_name = "COLLECTION", value_parser = collection)]
    pub(in crate::cli) collection: Option<CollectionArgument>,
    /// This job, by id
    #[arg(long, value_name = "JOB", value_parser = clap::value_parser!(i64).range(1..))]
    pub(in crate::cli) job: Option<i64>,
    /// All collections
    #[arg(long)]
    pub(in crate::cli) everything: bool,
    #[command(flatten)]
    pub(in crate::cli) by: By,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ThrottleFlags {
    /// MB (2^20 bytes) per second, `none` for no limit, or `configured` for the configured one; without it nothing changes
    #[arg(value_name = "LIMIT", value_parser = limit)]
    pub(in crate::cli) limit: Option<Limit>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct GcFlags {
    /// Only list the garbage, and the pins of the rest
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Most items of a dry run; the sums are of all
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=100_000))]
    pub(in crate::cli) limit: i32,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BackupFlags {
    /// Folder to write; it is made, or must be empty
    #[arg(value_name = "DIR")]
    pub(in crate::cli) folder: PathBuf,
    /// Leave out the objects of segments: the store that holds them has to be copied by other means
    #[arg(long)]
    pub(in crate::cli) without_objects: bool,
}

//! Flags of commands that change nothing.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{CollectionArgument, CommandScope, collection, duration, interval};
use crate::wire::proto::datacoord::JobState;

#[derive(Debug, Args)]
pub(in crate::cli) struct StatusFlags {
    /// Most collections to show, those with the most segments first
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(in crate::cli) limit: usize,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SegmentsFlags {
    /// Name, alias or id of the collection
    #[arg(value_name = "COLLECTION", value_parser = collection)]
    pub(in crate::cli) collection: CollectionArgument,
    /// Also segments that a compaction has replaced and that are not collected yet
    #[arg(long)]
    pub(in crate::cli) dropped: bool,
    /// Print ids alone, one in a line
    #[arg(short, long, conflicts_with = "json")]
    pub(in crate::cli) quiet: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainFlags {
    /// Id of a segment, or name, alias or id of a collection
    #[arg(value_name = "SEGMENT|COLLECTION", value_parser = collection)]
    pub(in crate::cli) subject: CollectionArgument,
    /// Most segments of a collection to explain; the counts are of all
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=100_000))]
    pub(in crate::cli) limit: i32,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SegmentFlags {
    /// Id of the segment
    #[arg(value_name = "SEGMENT", value_parser = clap::value_parser!(i64).range(1..))]
    pub(in crate::cli) segment: i64,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct JobsFlags {
    /// Only jobs of this collection; a dropped one has only its id
    #[arg(value_name = "COLLECTION", value_parser = collection)]
    pub(in crate::cli) collection: Option<CollectionArgument>,
    /// Only jobs in this state
    #[arg(long, value_name = "STATE")]
    pub(in crate::cli) state: Option<StateFilter>,
    /// Only jobs of this trigger
    #[arg(long, value_parser = ["manual", "flush", "tick"])]
    pub(in crate::cli) trigger: Option<String>,
    /// Only jobs that were made in the last so long, e.g. 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(in crate::cli) since: Option<Duration>,
    /// Most jobs to list
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(in crate::cli) limit: u32,
    /// Print ids alone, one in a line
    #[arg(short, long, conflicts_with = "json")]
    pub(in crate::cli) quiet: bool,
}

/// A state to filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum StateFilter {
    Executing,
    Completed,
    Failed,
    PartiallyCompleted,
    Cancelled,
}

impl From<StateFilter> for JobState {
    fn from(state: StateFilter) -> Self {
        match state {
            StateFilter::Executing => Self::Executing,
            StateFilter::Completed => Self::Completed,
            StateFilter::Failed => Self::Failed,
            StateFilter::PartiallyCompleted => Self::PartiallyCompleted,
            StateFilter::Cancelled => Self::Cancelled,
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct JobFlags {
    /// Id of the job
    #[arg(value_name = "JOB", value_parser = clap::value_parser!(i64).range(1..))]
    pub(in crate::cli) job: i64,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PlanFlags {
    #[command(flatten)]
    pub(in crate::cli) scope: CommandScope,
    /// The plans of the next automatic round instead of those of a request
    #[arg(long, conflicts_with_all = ["partition", "channel", "segments", "kind"])]
    pub(in crate::cli) automatic: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WatchFlags {
    /// Only this job, by id, until it ends
    #[arg(value_name = "JOB", value_parser = clap::value_parser!(i64).range(1..))]
    pub(in crate::cli) job: Option<i64>,
    /// How often plans are looked at while they run, e.g. 200ms [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub(in crate::cli) interval: Option<i32>,
}

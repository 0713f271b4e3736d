//! Commands for a running server: each asks over `datacoord.v1` and prints the answer.
//!
//! A command returns when its answer is printed, or an error that decides the exit code. Must never decide anything about
//! data, nor print anything but the answer to standard output.

mod compact;
mod jobs;
mod orders;
mod outcome;
mod plan;
mod segments;
mod session;
mod status;
mod watch;

pub(super) use self::{
    compact::compact,
    jobs::{cancel, job, jobs},
    orders::{gc, pause, resume, throttle},
    plan::plan,
    segments::{explain, lineage, segments},
    session::{Session, now_ms},
    status::status,
    watch::watch,
};

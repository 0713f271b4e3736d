//! Answers of a server as text for a terminal.
//!
//! Functions of values: they make the text and print nothing. Texts may have colours, which the printer leaves out where
//! nobody sees them. Must never: ask a server or read a clock.

mod backup;
mod checks;
mod explain;
mod garbage;
mod jobs;
mod lineage;
mod logs;
mod plans;
mod segments;
mod status;
pub(super) mod style;
mod table;
pub(super) mod units;

#[cfg(test)]
mod tests;

pub(super) use self::{
    backup::{RestoredBackup, WrittenBackup, backup, restored},
    checks::{checks, settings_checked},
    explain::{collection_explained, segment_explained},
    garbage::garbage,
    jobs::{cancelled, job, jobs, pauses, throttle},
    lineage::lineage,
    logs::{logs, verified},
    plans::{draft, plan_lines},
    segments::{details, difference, segments_table},
    status::status,
};

//! `datacoord binlog`: logs in Milvus' format as files, without a server.
//!
//! Reads the files of any storage-v1 store, Milvus' own too. Must never write, nor hold more than a few batches of rows and
//! the statistics of one segment in memory.

mod files;
mod keys;
mod look;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Serialize;

use self::{
    files::FoundFile,
    look::{Depth, LogReport, look},
};
use super::{
    args::BinlogCommand,
    exit::{CommandFailure, Exit},
    output::OutputForm,
    show,
};
use crate::storage::LogKind;

/// Damaged files that are told one by one.
const MOST_DAMAGED: usize = 1000;

/// The answer of `show`.
#[derive(Debug, Serialize)]
struct Listing {
    files: Vec<LogReport>,
    /// Files that are no logs.
    others: usize,
}

/// The answer of `verify`.
#[derive(Debug, Default, Serialize)]
struct FilesVerdict {
    /// Logs that were read.
    logs: usize,
    rows: u64,
    bytes: u64,
    /// Files that are no logs.
    others: usize,
    damaged: usize,
    /// The first of the damaged ones.
    damaged_files: Vec<LogReport>,
}

pub(super) fn run(command: &BinlogCommand) -> anyhow::Result<()> {
    match command {
        BinlogCommand::Show(flags) => show(&flags.path, OutputForm::of(flags.json)),
        BinlogCommand::Verify(flags) => verify(&flags.path, OutputForm::of(flags.json)),
    }
}

fn show(path: &Path, output: OutputForm) -> anyhow::Result<()> {
    let reports: Vec<LogReport> = files::below(path)?.iter().map(|found| look(found, Depth::Headers)).collect();
    let (files, others): (Vec<_>, Vec<_>) = reports.into_iter().partition(is_log);
    let damaged = files.iter().filter(|report| report.damage.is_some()).count();
    refuse_none(path, files.len())?;
    let listing = Listing { files, others: others.len() };
    output
        .answer(&listing, |listing| show::logs(&listing.files.iter().map(line).collect::<Vec<_>>(), listing.others))?;
    fail_if_damaged(damaged)
}

fn verify(path: &Path, output: OutputForm) -> anyhow::Result<()> {
    let verdict = checked(&files::below(path)?);
    refuse_none(path, verdict.logs)?;
    output.answer(&verdict, |verdict| {
        let damage: Vec<String> = verdict
            .damaged_files
            .iter()
            .map(|report| format!("{}: {}", report.path, report.damage.as_deref().unwrap_or_default()))
            .collect();
        show::verified([verdict.logs, verdict.others, verdict.damaged], verdict.rows, verdict.bytes, &damage)
    })?;
    fail_if_damaged(verdict.damaged)
}

/// The logs of a segment, as far as they are there.
#[derive(Default)]
struct SegmentFiles<'f> {
    /// Rows of each field.
    rows: BTreeMap<i64, u64>,
    inserts: Vec<&'f FoundFile>,
    stats: Vec<&'f FoundFile>,
    is_damaged: bool,
}

impl SegmentFiles<'_> {
    /// The logs beside each other: as many rows of each field, and statistics with all keys.
    fn check(&self) -> Result<(), String> {
        let counts: BTreeSet<u64> = self.rows.values().copied().collect();
        if counts.len() > 1 {
            let told: Vec<String> = self.rows.iter().map(|(field, rows)| format!("field {field} {rows}")).collect();
            return Err(format!("its fields have different numbers of rows: {}", told.join(", ")));
        }
        keys::check(&self.stats, &self.inserts)
    }
}

/// Reads all files, and looks at the logs of each segment beside each other.
fn checked(found: &[FoundFile]) -> FilesVerdict {
    let mut verdict = FilesVerdict::default();
    let mut segments: BTreeMap<_, SegmentFiles<'_>> = BTreeMap::new();
    for file in found {
        let report = look(file, Depth::Rows);
        if !is_log(&report) {
            verdict.others += 1;
            continue;
        }
        verdict.logs += 1;
        verdict.bytes += report.bytes;
        if let Some(ids) = file.object.and_then(|object| object.ids()) {
            let segment = segments.entry(ids).or_default();
            segment.is_damaged |= report.damage.is_some();
            match file.object.and_then(|object| Some((object.kind(), object.field()?))) {
                Some((LogKind::Insert, field)) => {
                    *segment.rows.entry(field.0).or_default() += report.rows.unwrap_or_default();
                    segment.inserts.push(file);
                }
                Some((LogKind::Stats, _)) => segment.stats.push(file),
                _ => {}
            }
        }
        verdict.rows += report.rows.filter(|_| report.kind != "stats").unwrap_or_default();
        if report.damage.is_some() {
            verdict.note(report);
        }
    }
    // Of a segment with a damaged log there is nothing to compare.
    for (ids, segment) in segments.iter().filter(|(_, segment)| !segment.is_damaged) {
        if let Err(damage) = segment.check() {
            let path = LogKind::Insert.segment_prefix(*ids);
            verdict.note(LogReport { path, kind: "insert", damage: Some(damage), ..LogReport::default() });
        }
    }
    verdict
}

impl FilesVerdict {
    fn note(&mut self, report: LogReport) {
        self.damaged += 1;
        if self.damaged_files.len() < MOST_DAMAGED {
            self.damaged_files.push(report);
        }
    }
}

fn is_log(report: &LogReport) -> bool {
    report.kind != "other" || report.damage.is_some()
}

fn refuse_none(path: &Path, logs: usize) -> anyhow::Result<()> {
    if logs > 0 {
        return Ok(());
    }
    let text = format!(
        "there is no binlog at {}: expected a file that begins with BC FA FF 00, a statistics log, or a folder with some",
        path.display()
    );
    Err(CommandFailure::error(Exit::NotFound, text))
}

fn fail_if_damaged(damaged: usize) -> anyhow::Result<()> {
    match damaged {
        0 => Ok(()),
        1 => Err(CommandFailure::error(Exit::Damaged, "1 file is damaged")),
        count => Err(CommandFailure::error(Exit::Damaged, format!("{count} files are damaged"))),
    }
}

/// The cells of a file in a table.
fn line(report: &LogReport) -> Vec<String> {
    let id = |id: &Option<String>| id.clone().unwrap_or_else(|| "-".to_owned());
    let data_type = match (report.data_type, report.dim) {
        (Some(name), Some(dim)) => format!("{name}({dim})"),
        (name, _) => name.unwrap_or("-").to_owned(),
    };
    let range = match (&report.key_min, &report.key_max) {
        (Some(min), Some(max)) => format!("keys {min} to {max}"),
        _ => String::new(),
    };
    vec![
        report.kind.to_owned(),
        id(&report.segment_id),
        report.field_id.map_or_else(|| "-".to_owned(), |field| field.to_string()),
        data_type,
        report.rows.map_or_else(|| "-".to_owned(), |rows| rows.to_string()),
        show::units::bytes(i64::try_from(report.bytes).unwrap_or(i64::MAX)),
        show::units::hybrid_time(report.timestamp_from.as_deref()),
        show::units::hybrid_time(report.timestamp_to.as_deref()),
        report.damage.clone().unwrap_or(range),
        report.path.clone(),
    ]
}

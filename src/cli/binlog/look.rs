//! One file: its header, and whether all of it can be read.

use std::{fs::File, io::Read as _, sync::Arc};

use arrow_array::{Array as _, ArrayRef, cast::AsArray as _, types::Int64Type};
use serde::Serialize;

use super::files::{FileRange, FoundFile};
use crate::{
    binlog::{DeltaReader, Descriptor, InsertLog, LogBytes, LogIds, PkStats, decode_stats},
    model::{FieldId, LogId, Timestamp},
    storage::{LogKind, LogPath},
};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 8192;
/// The longest statistics log: that of some ten million keys for each of a few dozen logs.
const MAX_STATS_BYTES: u64 = 1 << 30;
/// More than the header of a log, which has some hundred bytes.
const HEADER_BYTES: u64 = 64 << 10;
/// The first bytes of insert and delta logs.
const MAGIC: [u8; 4] = [0xBC, 0xFA, 0xFF, 0x00];
/// Field id of delta logs.
const DELTA_FIELD: FieldId = FieldId(-1);
/// The field of row timestamps.
const TIMESTAMP_FIELD: FieldId = FieldId(1);

/// How much of a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Headers and footers.
    Headers,
    /// Everything.
    Rows,
}

/// A file. A number that the file does not tell is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct LogReport {
    pub(super) path: String,
    /// insert, delta, stats, or other: no log.
    pub(super) kind: &'static str,
    pub(super) bytes: u64,
    /// Ids and hybrid timestamps are texts.
    pub(super) collection_id: Option<String>,
    pub(super) partition_id: Option<String>,
    pub(super) segment_id: Option<String>,
    pub(super) field_id: Option<i64>,
    /// Milvus' name.
    pub(super) data_type: Option<&'static str>,
    pub(super) dim: Option<u32>,
    /// Rows, deletes, or the number of statistics.
    pub(super) rows: Option<u64>,
    /// Bytes in memory, as the writer has counted them.
    pub(super) memory_bytes: Option<u64>,
    pub(super) timestamp_from: Option<String>,
    pub(super) timestamp_to: Option<String>,
    /// Smallest and largest key of a statistics log.
    pub(super) key_min: Option<String>,
    pub(super) key_max: Option<String>,
    /// Why the file can't be right.
    pub(super) damage: Option<String>,
}

/// Looks at a file. Damage is a part of the report.
pub(super) fn look(found: &FoundFile, depth: Depth) -> LogReport {
    let mut report = LogReport { path: found.path.display().to_string(), kind: "other", ..LogReport::default() };
    if let Err(damage) = fill(&mut report, found, depth) {
        report.damage = Some(damage);
    }
    report
}

fn fill(report: &mut LogReport, found: &FoundFile, depth: Depth) -> Result<(), String> {
    let named = found.object;
    if let Some(kind) = named.map(|object| object.kind()) {
        report.kind = match kind {
            LogKind::Insert => "insert",
            LogKind::Delta => "delta",
            LogKind::Stats => "stats",
            LogKind::Index => "other",
        };
    }
    let mut file = File::open(&found.path).map_err(|e| e.to_string())?;
    report.bytes = file.metadata().map_err(|e| e.to_string())?.len();
    let mut begin = Vec::new();
    (&mut file).take(HEADER_BYTES).read_to_end(&mut begin).map_err(|e| e.to_string())?;
    match (named.map(|object| object.kind()), begin.first()) {
        (Some(LogKind::Index), _) => Ok(()),
        (Some(LogKind::Stats), _) | (None, Some(b'{' | b'[')) => stats(report, found),
        (None, _) if !begin.starts_with(&MAGIC) => Ok(()),
        (Some(LogKind::Insert | LogKind::Delta) | None, _) => {
            let header = Descriptor::read(&begin).map_err(|e| e.to_string())?;
            let bytes = LogBytes::in_store(Arc::new(FileRange(file)), report.bytes);
            log(report, &header, bytes, named, depth)
        }
    }
}

/// An insert or delta log: the field of its header says which.
fn log(
    report: &mut LogReport,
    header: &Descriptor,
    bytes: LogBytes,
    named: Option<LogPath>,
    depth: Depth,
) -> Result<(), String> {
    report.collection_id = Some(header.ids.collection.to_string());
    report.partition_id = Some(header.ids.partition.to_string());
    report.segment_id = Some(header.ids.segment.to_string());
    report.timestamp_from = Some(header.ts_from.to_string());
    report.timestamp_to = Some(header.ts_to.to_string());
    report.memory_bytes = Some(header.original_size);
    let kind = if header.field == DELTA_FIELD { LogKind::Delta } else { LogKind::Insert };
    if let Some(object) = named {
        check_name(object, kind, header)?;
    }
    if kind == LogKind::Delta {
        report.kind = "delta";
        return deletes(report, bytes, header, depth);
    }
    report.kind = "insert";
    report.field_id = Some(header.field.0);
    let log = InsertLog::open(bytes).map_err(|e| e.to_string())?;
    report.rows = Some(log.rows());
    let field = log.field().map_err(|e| e.to_string())?;
    (report.data_type, report.dim) = (Some(field.data_type.name()), field.dim);
    if depth == Depth::Headers {
        return Ok(());
    }
    let mut rows = 0;
    for column in log.read(&field, BATCH_ROWS).map_err(|e| e.to_string())? {
        let column = column.map_err(|e| e.to_string())?;
        rows += column.len() as u64;
        if header.field == TIMESTAMP_FIELD {
            check_times(&column, header)?;
        }
    }
    if rows == 0 { Err("a log needs at least one row".to_owned()) } else { Ok(()) }
}

/// An insert log has the ids of its name. A delta log may have been carried over from another segment.
fn check_name(object: LogPath, kind: LogKind, header: &Descriptor) -> Result<(), String> {
    if object.kind() != kind {
        return Err(format!("it lies in {}, and its header is that of another kind of log", object.kind().folder()));
    }
    let of_header = (header.ids, Some(header.field));
    match object.ids().map(|ids| (ids, object.field())) {
        Some(of_name) if kind == LogKind::Insert && of_name != of_header => {
            let LogIds { collection, partition, segment } = header.ids;
            let field = header.field;
            Err(format!(
                "its header names collection {collection}, partition {partition}, segment {segment}, field {field}"
            ))
        }
        _ => Ok(()),
    }
}

fn check_times(column: &ArrayRef, header: &Descriptor) -> Result<(), String> {
    let times = column.as_primitive_opt::<Int64Type>().ok_or("timestamps are no 64-bit integers")?;
    times.values().iter().try_for_each(|time| inside(Timestamp(*time as u64), header))
}

fn inside(time: Timestamp, header: &Descriptor) -> Result<(), String> {
    if (header.ts_from..=header.ts_to).contains(&time) {
        return Ok(());
    }
    Err(format!("timestamp {time} is outside of its header's {} to {}", header.ts_from, header.ts_to))
}

fn deletes(report: &mut LogReport, bytes: LogBytes, header: &Descriptor, depth: Depth) -> Result<(), String> {
    // A delta log does not say how many deletes it has, so both depths read it.
    let mut count = 0;
    for part in DeltaReader::open(bytes).map_err(|e| e.to_string())? {
        let part = part.map_err(|e| e.to_string())?;
        count += part.len() as u64;
        if depth == Depth::Rows {
            part.iter().try_for_each(|delete| inside(delete.ts, header))?;
        }
    }
    report.rows = Some(count);
    Ok(())
}

/// The statistics in a log.
pub(super) fn read_stats(found: &FoundFile) -> Result<Vec<PkStats>, String> {
    let mut text = Vec::new();
    let file = File::open(&found.path).map_err(|e| e.to_string())?;
    file.take(MAX_STATS_BYTES + 1).read_to_end(&mut text).map_err(|e| e.to_string())?;
    if text.len() as u64 > MAX_STATS_BYTES {
        return Err(format!("it has more bytes than a statistics log, {MAX_STATS_BYTES} at most"));
    }
    // Log 1, that of a compacted segment, is a list with an entry for each log.
    let is_list = found.object.map_or(text.first() == Some(&b'['), |object| object.log() == LogId::COMPOUND_STATS);
    decode_stats(&text, is_list).map_err(|e| e.to_string())
}

fn stats(report: &mut LogReport, found: &FoundFile) -> Result<(), String> {
    let named = found.object;
    let decoded = match read_stats(found) {
        // Some other JSON.
        Err(_) if named.is_none() => return Ok(()),
        decoded => decoded?,
    };
    report.kind = "stats";
    report.rows = Some(decoded.len() as u64);
    if let Some(ids) = named.and_then(|object| object.ids()) {
        report.collection_id = Some(ids.collection.to_string());
        report.partition_id = Some(ids.partition.to_string());
        report.segment_id = Some(ids.segment.to_string());
    }
    report.field_id = decoded.first().map(|stats| stats.field.0);
    report.data_type = decoded.first().map(|stats| stats.key_type.name());
    report.key_min = decoded.iter().filter_map(|stats| Some(&stats.range.as_ref()?.min)).min().map(ToString::to_string);
    report.key_max = decoded.iter().filter_map(|stats| Some(&stats.range.as_ref()?.max)).max().map(ToString::to_string);
    decoded.iter().try_for_each(check_range)
}

fn check_range(stats: &PkStats) -> Result<(), String> {
    match &stats.range {
        Some(range) if range.min > range.max => {
            Err(format!("its smallest key {} is above its largest, {}", range.min, range.max))
        }
        _ => Ok(()),
    }
}

//! A backup that was written, read or restored.

use serde::Serialize;

use super::units;

/// The answer of `backup`.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct WrittenBackup {
    pub(in crate::cli) folder: String,
    pub(in crate::cli) at_ms: i64,
    pub(in crate::cli) segments: i64,
    pub(in crate::cli) objects: u64,
    pub(in crate::cli) object_bytes: u64,
    /// False: they are named only.
    pub(in crate::cli) with_objects: bool,
    pub(in crate::cli) log_bytes: u64,
    pub(in crate::cli) catalog_bytes: u64,
}

/// The answer of `restore`.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct RestoredBackup {
    /// False: the backup was read and nothing was written.
    pub(in crate::cli) restored: bool,
    pub(in crate::cli) data_dir: String,
    pub(in crate::cli) at_ms: i64,
    pub(in crate::cli) version: String,
    pub(in crate::cli) segments: i64,
    pub(in crate::cli) objects: u64,
    pub(in crate::cli) object_bytes: u64,
    /// False: they are in a store already, which the server has to take over.
    pub(in crate::cli) with_objects: bool,
}

pub(in crate::cli) fn backup(written: &WrittenBackup) -> String {
    let WrittenBackup { folder, at_ms, segments, objects, object_bytes, with_objects, log_bytes, catalog_bytes } =
        written;
    let objects = sizes(*segments, *objects, *object_bytes);
    let left_out = if *with_objects { "" } else { ", which are named and left out" };
    format!(
        "backup of {} in {folder}: {objects}{left_out}; log {}, catalog {}\n",
        units::time(*at_ms),
        size(*log_bytes),
        size(*catalog_bytes)
    )
}

pub(in crate::cli) fn restored(restored: &RestoredBackup) -> String {
    let RestoredBackup { at_ms, version, segments, objects, object_bytes, data_dir, with_objects, .. } = restored;
    let what = format!("backup of {} by {version}: {}", units::time(*at_ms), sizes(*segments, *objects, *object_bytes));
    match (restored.restored, with_objects) {
        (false, true) => format!("{what}: OK\n"),
        (false, false) => format!("{what}, which are left out: OK\n"),
        (true, true) => format!("{what}; restored, start it with: datacoord serve --data-dir {data_dir}\n"),
        (true, false) => format!(
            "{what}; restored without them: the first start names the flag --take-over that gives it the store with them\n"
        ),
    }
}

fn sizes(segments: i64, objects: u64, bytes: u64) -> String {
    let count = |count: u64, what| units::number(usize::try_from(count).unwrap_or(usize::MAX), what);
    let segments = count(u64::try_from(segments).unwrap_or_default(), "segment");
    format!("{segments}, {}, {}", count(objects, "object"), size(bytes))
}

fn size(bytes: u64) -> String {
    units::bytes(i64::try_from(bytes).unwrap_or(i64::MAX))
}

//! Changes one setting of binlogs at a time.

use std::time::Instant;

use arrow_array::ArrayRef;
use datacoord::{
    binlog::{InsertLog, InsertLogWriter, memory_size},
    config::BinlogConfig,
    model::{Field, Timestamp},
};

use crate::{BATCH_ROWS, IDS, data::columns};

/// Runs of each measurement, of which the best is shown.
const RUNS: usize = 5;

/// Prints a line for each column and setting: megabytes of rows in memory a second, encoded and decoded, and the share of
/// them that the file takes.
pub fn table() {
    let usual = BinlogConfig::default();
    let mut settings = vec![("defaults".to_owned(), usual.clone())];
    settings.extend(
        [1, 9].map(|level| (format!("zstdLevel {level}"), BinlogConfig { zstd_level: level, ..usual.clone() })),
    );
    settings.extend(
        [64, 1024, 4096]
            .map(|kib| (format!("pageSize {kib} KiB"), BinlogConfig { page_bytes: kib << 10, ..usual.clone() })),
    );
    settings.extend(
        [10_000, 100_000]
            .map(|rows| (format!("rowGroupRows {rows}"), BinlogConfig { row_group_rows: rows, ..usual.clone() })),
    );
    settings.push(("no dictionary".to_owned(), BinlogConfig { dictionary: false, ..usual }));
    println!("| column | setting | encoded | decoded | size |\n|---|---|---|---|---|");
    for (name, field, column) in columns() {
        for (setting, config) in &settings {
            let size = memory_size(&field, &column) as f64;
            let (bytes, encode) = best(|| encode(&field, &column, config));
            let (_, decode) = best(|| {
                let log = InsertLog::open(bytes.clone()).unwrap();
                log.read(&field, BATCH_ROWS).unwrap().map(|array| array.unwrap().len()).sum::<usize>()
            });
            let rate = |seconds: f64| size / 1e6 / seconds;
            let share = bytes.len() as f64 / size * 100.0;
            println!("| {name} | {setting} | {:.0} MB/s | {:.0} MB/s | {share:.1} % |", rate(encode), rate(decode));
        }
    }
}

pub fn encode(field: &Field, column: &ArrayRef, config: &BinlogConfig) -> bytes::Bytes {
    let mut writer = InsertLogWriter::new(IDS, field, config).unwrap();
    for from in (0..column.len()).step_by(BATCH_ROWS) {
        writer.write(&column.slice(from, BATCH_ROWS.min(column.len() - from))).unwrap();
    }
    writer.finish(Timestamp(1), Timestamp(2), 1).unwrap().bytes
}

fn best<T>(mut work: impl FnMut() -> T) -> (T, f64) {
    let timed = |work: &mut dyn FnMut() -> T| {
        let begun = Instant::now();
        let value = work();
        (value, begun.elapsed().as_secs_f64())
    };
    let mut best = timed(&mut work);
    for _ in 1..RUNS {
        let run = timed(&mut work);
        if run.1 < best.1 {
            best = run;
        }
    }
    best
}

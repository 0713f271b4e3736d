//! Files of logs, and the verdict on them.

use super::{style, table, units};

/// A table with a line of cells for each file.
pub(in crate::cli) fn logs(lines: &[Vec<String>], others: usize) -> String {
    let heading = ["kind", "segment", "field", "type", "rows", "bytes", "from", "to", "", "file"];
    let mut text = table::table(&heading, lines);
    if others > 0 {
        text += &format!("{} beside them\n", units::number(others, "other file"));
    }
    text
}

/// The number of logs, other files and damaged ones, rows and bytes, and a line for each damage.
pub(in crate::cli) fn verified(counts: [usize; 3], rows: u64, bytes: u64, damage: &[String]) -> String {
    let [logs, others, damaged] = counts;
    let lines: String = damage.iter().map(|line| format!("{} {line}\n", style::bad("damaged:"))).collect();
    let bytes = units::bytes(i64::try_from(bytes).unwrap_or(i64::MAX));
    let verdict = if damaged == 0 { style::good("OK") } else { style::bad(&format!("{damaged} damaged")) };
    let beside =
        if others > 0 { format!("; {} beside them", units::number(others, "other file")) } else { String::new() };
    format!("{lines}{}, {rows} rows and deletes, {bytes}: {verdict}{beside}\n", units::number(logs, "log"))
}

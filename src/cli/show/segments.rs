//! Segments, short and with details.

use super::{table, units};
use crate::wire::proto::datacoord::Segment;

/// Segments listed one by one; the rest is a number.
const SHOWN: usize = 20;

/// A table with a line for each segment and one for their sums.
pub(in crate::cli) fn segments_table(segments: &[Segment]) -> String {
    let mut rows: Vec<Vec<String>> = segments
        .iter()
        .take(SHOWN)
        .map(|segment| {
            vec![
                segment.segment_id.to_string(),
                segment.state.clone(),
                segment.rows.to_string(),
                units::bytes(segment.bytes),
                segment.delta_rows.to_string(),
                made_from(segment),
            ]
        })
        .collect();
    if segments.len() > SHOWN {
        rows.push(vec![format!("and {} more", segments.len() - SHOWN)]);
    }
    let totals = totals(segments);
    rows.push(vec![
        format!("total {}", segments.len()),
        String::new(),
        totals.rows.to_string(),
        units::bytes(totals.bytes),
        totals.delta_rows.to_string(),
    ]);
    table::table(&["segment", "state", "rows", "bytes", "delta rows", "made from"], &rows)
}

/// Sums over segments, in rows and bytes.
#[derive(Default)]
struct RowTotals {
    rows: i64,
    bytes: i64,
    delta_rows: i64,
}

fn totals(segments: &[Segment]) -> RowTotals {
    segments.iter().fold(RowTotals::default(), |sum, segment| RowTotals {
        rows: sum.rows + segment.rows,
        bytes: sum.bytes + segment.bytes,
        delta_rows: sum.delta_rows + segment.delta_rows,
    })
}

/// The effect of a compaction in one line.
pub(in crate::cli) fn difference(before: &[Segment], after: &[Segment]) -> String {
    let (was, is) = (totals(before), totals(after));
    format!(
        "  segments {} -> {}, rows stored {} -> {}, bytes {} -> {}, delta rows {} -> {}",
        before.len(),
        after.len(),
        was.rows,
        is.rows,
        units::bytes(was.bytes),
        units::bytes(is.bytes),
        was.delta_rows,
        is.delta_rows
    )
}

/// A table of all segments, with the reason of each that is in no plan, and a line with their sums.
pub(in crate::cli) fn details(segments: &[Segment]) -> String {
    let heading = ["segment", "state", "level", "rows", "deleted", "bytes", "delta logs", "partition", "made from", ""];
    let rows: Vec<Vec<String>> = segments
        .iter()
        .map(|segment| {
            vec![
                segment.segment_id.to_string(),
                segment.state.clone(),
                segment.level.clone(),
                segment.rows.to_string(),
                units::share(segment.delta_rows, segment.rows),
                units::bytes(segment.bytes),
                segment.delta_logs.to_string(),
                segment.partition_id.to_string(),
                made_from(segment),
                segment.why_not_planned.clone(),
            ]
        })
        .collect();
    let totals = totals(segments);
    format!(
        "{}{}: {} rows, {} of them deleted, {}\n",
        table::table(&heading, &rows),
        units::number(segments.len(), "segment"),
        totals.rows,
        units::share(totals.delta_rows, totals.rows),
        units::bytes(totals.bytes)
    )
}

fn made_from(segment: &Segment) -> String {
    match segment.compaction_from.len() {
        0 => "flush".to_owned(),
        sources => units::number(sources, "segment"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_ends_with_the_sums() {
        let segment = |segment_id, rows, delta_rows| Segment {
            segment_id,
            rows,
            bytes: rows * 100,
            delta_rows,
            state: "Flushed".to_owned(),
            ..Segment::default()
        };
        let segments = [segment(1, 10, 4), segment(2, 30, 0)];
        let lines = [
            "  segment  state    rows   bytes  delta rows  made from",
            "  1        Flushed    10  1000 B           4  flush",
            "  2        Flushed    30  2.9 kB           0  flush",
            "  total 2             40  3.9 kB           4",
        ];
        assert_eq!(segments_table(&segments).lines().collect::<Vec<_>>(), lines);
    }
}

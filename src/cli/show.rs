//! Segments and plans as text for a terminal.

use super::table;
use crate::wire::proto::datacoord::{Plan, Segment};

/// Segments listed one by one; the rest is a number.
const SHOWN: usize = 20;
/// Segment ids in a line, so that it fits a terminal.
const IDS_PER_LINE: usize = 4;

/// A table with a line for each segment and one for their sums.
pub(super) fn segments_table(segments: &[Segment]) -> String {
    let mut rows: Vec<Vec<String>> = segments
        .iter()
        .take(SHOWN)
        .map(|segment| {
            vec![
                segment.segment_id.to_string(),
                segment.state.clone(),
                segment.rows.to_string(),
                table::bytes(segment.bytes),
                segment.delta_rows.to_string(),
                match segment.compaction_from.len() {
                    0 => "flush".to_owned(),
                    sources => format!("{sources} segments"),
                },
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
        table::bytes(totals.bytes),
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
pub(super) fn difference(before: &[Segment], after: &[Segment]) -> String {
    let (was, is) = (totals(before), totals(after));
    format!(
        "  segments {} -> {}, rows stored {} -> {}, bytes {} -> {}, delta rows {} -> {}",
        before.len(),
        after.len(),
        was.rows,
        is.rows,
        table::bytes(was.bytes),
        table::bytes(is.bytes),
        was.delta_rows,
        is.delta_rows
    )
}

/// A plan with its reason, its sources and its targets.
pub(super) fn plan_lines(plan: &Plan) -> String {
    let ids = |ids: &[i64]| {
        let lines = ids.chunks(IDS_PER_LINE).map(|line| line.iter().map(i64::to_string).collect::<Vec<_>>().join(", "));
        lines.collect::<Vec<_>>().join(",\n               ")
    };
    let targets = if plan.targets.is_empty() { "nothing".to_owned() } else { ids(&plan.targets) };
    format!(
        "    plan {} ({})\n      why:     {}\n      sources: {}\n      target:  {targets}",
        plan.plan_id,
        plan.kind,
        plan.reason,
        ids(&plan.sources)
    )
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

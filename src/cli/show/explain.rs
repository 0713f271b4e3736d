//! Why segments are not compacted, and how they are searched.

use super::{style, table, units};
use crate::wire::proto::datacoord::{ExplainCollectionResponse, ExplainVerdict, Explanation};

/// A segment with both verdicts, and the changes that would turn them. `now_ms` is the time, milliseconds since 1970.
pub(in crate::cli) fn segment_explained(explanation: &Explanation, now_ms: i64) -> String {
    let segment = explanation.segment.clone().unwrap_or_default();
    let mut lines = vec![format!(
        "{} {} {}: {} rows, {} deletes, {}",
        style::title(&format!("segment {}", segment.segment_id)),
        segment.state,
        segment.level,
        segment.rows,
        segment.delta_rows,
        units::bytes(segment.bytes)
    )];
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            lines.push(format!("  {name:<20}{text}"));
        }
    };
    let automatic = explanation.automatic.clone().unwrap_or_default();
    let on_request = explanation.on_request.clone().unwrap_or_default();
    line("by itself:", &verdict(&automatic));
    line("to change that:", &automatic.remedy);
    line("held:", &explanation.held);
    if explanation.next_look_ms > 0 {
        let in_seconds = explanation.next_look_ms.saturating_sub(now_ms) as f64 / 1000.0;
        line(
            "looked at next:",
            &format!("{}, in {}", units::time(explanation.next_look_ms), units::seconds(in_seconds)),
        );
    }
    line("on request:", &verdict(&on_request));
    if on_request.remedy != automatic.remedy {
        line("to change that:", &on_request.remedy);
    }
    let successors: Vec<String> = explanation.compaction_to.iter().map(i64::to_string).collect();
    line("replaced by:", &successors.join(", "));
    for index in &explanation.indexes {
        line(&format!("searches of {}:", index.field_name), &format!("{} ({})", index.text, index.code));
    }
    lines.join("\n") + "\n"
}

/// The text and its code; a plan that would be made is told by its size.
fn verdict(verdict: &ExplainVerdict) -> String {
    let mut text = format!("{} ({})", verdict.text, verdict.code);
    if let Some(plan) = &verdict.plan {
        text += &format!(", {} with {} rows", units::number(plan.sources.len(), "segment"), plan.input_rows);
    }
    text
}

/// How often each verdict holds, then the segments one by one.
pub(in crate::cli) fn collection_explained(answer: &ExplainCollectionResponse) -> String {
    let counts: Vec<Vec<String>> = answer
        .counts
        .iter()
        .map(|count| vec![count.code.clone(), count.segments.to_string(), units::bytes(count.bytes)])
        .collect();
    let mut text = format!("{}\n", units::number(usize::try_from(answer.segments).unwrap_or_default(), "segment"));
    text += &table::table(&["by itself", "segments", "bytes"], &counts);
    if answer.explanations.is_empty() {
        return text;
    }
    let rows: Vec<Vec<String>> = answer
        .explanations
        .iter()
        .map(|explanation| {
            let segment = explanation.segment.clone().unwrap_or_default();
            vec![
                segment.segment_id.to_string(),
                segment.rows.to_string(),
                units::share(segment.delta_rows, segment.rows),
                explanation.automatic.as_ref().map(|verdict| verdict.text.clone()).unwrap_or_default(),
                explanation.on_request.as_ref().map(|verdict| verdict.code.clone()).unwrap_or_default(),
            ]
        })
        .collect();
    text.push('\n');
    text += &table::table(&["segment", "rows", "deleted", "by itself", "on request"], &rows);
    let left = answer.segments - answer.explanations.len() as i64;
    if left > 0 {
        text += &format!("and {left} more: raise --limit, or explain one segment\n");
    }
    text
}

//! Garbage, and its pins.

use super::{table, units};
use crate::wire::proto::datacoord::{CollectGarbageResponse, GarbagePin, GarbageSum};

/// The sums, and for a dry run the items.
pub(in crate::cli) fn garbage(answer: &CollectGarbageResponse, is_dry_run: bool) -> String {
    if !is_dry_run {
        return format!("collected {}\n", sum(answer.collected));
    }
    let mut text = String::new();
    if !answer.items.is_empty() {
        let rows: Vec<Vec<String>> = answer
            .items
            .iter()
            .map(|item| {
                let name =
                    if item.object.is_empty() { format!("segment {}", item.segment_id) } else { item.object.clone() };
                let pins: Vec<String> = item.pins.iter().map(pin).collect();
                vec![
                    item.files.to_string(),
                    units::bytes(item.bytes),
                    if pins.is_empty() { "nothing".to_owned() } else { pins.join(", ") },
                    name,
                ]
            })
            .collect();
        text += &table::table(&["files", "bytes", "pinned by", "garbage"], &rows);
    }
    text + &format!("would be collected now: {}\npinned: {}\n", sum(answer.collected), sum(answer.pinned))
}

fn sum(sum: Option<GarbageSum>) -> String {
    let sum = sum.unwrap_or_default();
    format!(
        "{} dropped segments, {} files, {}",
        sum.segments.unwrap_or_default(),
        sum.files.unwrap_or_default(),
        units::bytes(sum.bytes.unwrap_or_default())
    )
}

fn pin(pin: &GarbagePin) -> String {
    match pin.kind.as_str() {
        "tolerance" => format!("its age, until {}", units::time(pin.until_ms)),
        "plan" => format!("plan {}", pin.plan_id),
        kind => kind.to_owned(),
    }
}

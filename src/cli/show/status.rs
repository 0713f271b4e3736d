//! The state of a server on one screen.

use super::{
    jobs::{collection, pauses, throttle},
    style, table, units,
};
use crate::cli::view::{CollectionStatus, StatusView};

/// Verdict, jobs under way with their plans, and a table of collections.
pub(in crate::cli) fn status(status: &StatusView) -> String {
    let mut text = format!("{} at {}\n", style::title(&format!("datacoord {}", status.version)), status.endpoint);
    text += &format!("{}\n", status.verdict.text);
    text += &if status.is_healthy {
        format!("health: {}\n", style::good("OK"))
    } else {
        format!("health: {}\n", style::bad("not well"))
    };
    for reason in &status.health_reasons {
        text += &format!("  {reason}\n");
    }
    text += &format!("throttle: {}", throttle(&status.throttle));
    text += &pauses(&status.pauses);
    text += &format!("jobs: {} under way\n", status.executing.len());
    for job in &status.executing {
        let progress = job.progress.unwrap_or_default();
        text += &format!(
            "  job {} of {} ({}): {} of {} rows, {} of {}, {}\n",
            job.job_id,
            collection(job.collection.as_ref()),
            job.trigger,
            progress.done_rows,
            progress.total_rows,
            units::bytes(progress.done_bytes),
            units::bytes(progress.total_bytes),
            units::number(usize::try_from(job.executing_plans).unwrap_or_default(), "plan")
        );
    }
    text.push('\n');
    text += &collections(&status.collections);
    if status.other_collections > 0 {
        text += &format!("and {} more collections: raise --limit\n", status.other_collections);
    }
    text
}

fn collections(collections: &[CollectionStatus]) -> String {
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
    let rows: Vec<Vec<String>> = collections
        .iter()
        .map(|status| {
            let size = &status.amplification;
            vec![
                collection(Some(&status.collection)),
                size.live_segments.to_string(),
                size.live_rows.to_string(),
                units::bytes(size.stored_bytes),
                ratio(size.read),
                ratio(size.write),
                ratio(size.space),
                status.to_compact.to_string(),
            ]
        })
        .collect();
    let heading = ["collection", "segments", "live rows", "stored", "read ×", "write ×", "space ×", "to compact"];
    table::table(&heading, &rows)
}

//! Sizes, times and names of states in words.

use std::time::{Duration, UNIX_EPOCH};

use super::style;
use crate::{
    model::Timestamp,
    wire::proto::datacoord::{JobState, PlanPhase, PlanState},
};

/// A size in the unit that keeps it readable: `512 B`, `12.3 kB`, `4.0 MB` (powers of 1024).
pub(in crate::cli) fn bytes(count: i64) -> String {
    let mut size = count as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{count} B") } else { format!("{size:.1} {unit}") }
}

/// A time in UTC, from milliseconds since 1970; `-` for none.
pub(in crate::cli) fn time(ms: i64) -> String {
    match u64::try_from(ms) {
        Ok(ms) if ms > 0 => humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms)).to_string(),
        _ => "-".to_owned(),
    }
}

/// The time of a hybrid timestamp, which is given as a text.
pub(in crate::cli) fn hybrid_time(timestamp: Option<&str>) -> String {
    let ms = timestamp.and_then(|text| text.parse().ok()).map_or(0, |hybrid| Timestamp(hybrid).physical_ms());
    time(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// A duration with as many digits as people read: `0.12 s`, `42 s`, `3 min 5 s`, `2 h 10 min`.
pub(in crate::cli) fn seconds(seconds: f64) -> String {
    // Hundred years: a larger estimate means never.
    let whole = seconds.clamp(0.0, 3.2e9).round() as u64;
    match whole {
        _ if seconds < 9.95 => format!("{:.2} s", seconds.max(0.0)),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// The time between two moments in milliseconds since 1970; `-` before the second one.
pub(in crate::cli) fn took(from_ms: i64, to_ms: i64) -> String {
    if to_ms <= 0 { "-".to_owned() } else { seconds(to_ms.saturating_sub(from_ms) as f64 / 1000.0) }
}

/// `part` of `whole` in percent.
pub(in crate::cli) fn share(part: i64, whole: i64) -> String {
    if whole <= 0 { "-".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

/// `1 plan`, `2 plans`.
pub(in crate::cli) fn number(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The name of an enumeration's value without its prefix: `PLAN_STATE_QUEUED` is `queued`.
fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase().replace('_', " ")
}

pub(in crate::cli) fn job_state(state: JobState) -> String {
    let word = word(state.as_str_name(), "JOB_STATE_");
    match state {
        JobState::Completed => style::good(&word),
        JobState::Failed | JobState::PartiallyCompleted => style::bad(&word),
        JobState::Executing | JobState::Cancelled | JobState::Unspecified => style::busy(&word),
    }
}

pub(in crate::cli) fn plan_state(state: PlanState) -> String {
    let word = word(state.as_str_name(), "PLAN_STATE_");
    match state {
        PlanState::Completed => style::good(&word),
        PlanState::Failed | PlanState::Timeout => style::bad(&word),
        _ => style::busy(&word),
    }
}

pub(in crate::cli) fn phase(phase: PlanPhase) -> String {
    word(phase.as_str_name(), "PLAN_PHASE_")
}

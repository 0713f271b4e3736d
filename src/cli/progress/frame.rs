//! Plans as lines of a terminal.

use console::truncate_str;

use super::board::{Board, PlanLine};
use crate::{
    cli::show::{
        style::title,
        units::{bytes, phase, plan_state, seconds, time},
    },
    wire::proto::datacoord::PlanPhase,
};

/// Width of a bar, in characters.
const BAR: usize = 20;

/// A bar of which this share is full.
pub(super) fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("[{}{}]", "█".repeat(full), "·".repeat(BAR - full))
}

/// A plan in one line, with a bar.
pub(super) fn with_bar(line: &PlanLine) -> String {
    let name = format!("plan {} {}", line.plan.plan_id, line.plan.kind);
    if line.is_ended() {
        return format!("{name} {}", outcome(line));
    }
    let bar = bar(line.share());
    format!("{name} {bar} {:3.0} % {} {}", line.share() * 100.0, phase(line.phase), amount(line))
}

/// The same without a bar, for a log.
pub(super) fn plain(line: &PlanLine) -> String {
    let name = format!("plan {} ({})", line.plan.plan_id, line.plan.kind);
    match line.phase {
        PlanPhase::Ended => format!("{name}: {}", outcome(line)),
        PlanPhase::Queued | PlanPhase::Paused => format!("{name}: {}", phase(line.phase)),
        _ => format!("{name}: {}, {:.0} %, {}", phase(line.phase), line.share() * 100.0, amount(line)),
    }
}

/// Rows, speed and the time that is left, as far as they are known.
fn amount(line: &PlanLine) -> String {
    let progress = line.progress();
    let mut text = format!("{} of {} rows", progress.done_rows, progress.total_rows);
    if let Some(rate) = line.mb_per_second {
        text += &format!(", {rate:.1} MB/s");
    }
    if let Some(left) = line.eta_seconds {
        text += &format!(", {} left", seconds(left));
    }
    text
}

fn outcome(line: &PlanLine) -> String {
    let plan = &line.plan;
    let began = if plan.started_at_ms > 0 { plan.started_at_ms } else { plan.created_at_ms };
    let mut text = plan_state(plan.state());
    text += &format!(" after {}", seconds(plan.ended_at_ms.saturating_sub(began).max(0) as f64 / 1000.0));
    if !plan.failure_reason.is_empty() {
        text += &format!(": {}", plan.failure_reason);
    }
    text
}

impl Board {
    /// The open plans in at most `height` lines of `width` characters.
    pub(super) fn bars(&self, width: usize, height: usize) -> Vec<String> {
        let count = self.open.len();
        let shown = if count <= height { count } else { height.saturating_sub(1) };
        let mut lines: Vec<String> = self.in_order().take(shown).map(with_bar).collect();
        if shown < count && height > 0 {
            lines.push(format!("and {} more plans", count - shown));
        }
        cut(lines, width)
    }

    /// A whole screen: a summary, the open plans, and the newest of those that have ended.
    pub(super) fn screen(&self, heading: &str, width: usize, height: usize) -> Vec<String> {
        let waiting =
            self.open.values().filter(|line| matches!(line.phase, PlanPhase::Queued | PlanPhase::Paused)).count();
        // The sum of no floats would be -0.
        let rate = self.open.values().filter_map(|line| line.mb_per_second).fold(0.0, |sum, rate| sum + rate);
        let left: i64 = self.open.values().map(|line| line.progress().total_bytes - line.progress().done_bytes).sum();
        let mut lines = vec![
            format!("{}  {}", title(heading), time(self.at_ms)),
            format!(
                "{} under way, {waiting} waiting, {} ended; {rate:.1} MB/s, {} left",
                self.open.len() - waiting,
                self.ended_count,
                bytes(left)
            ),
            String::new(),
        ];
        let room = height.saturating_sub(lines.len());
        // Ended plans get the rest of the lines, and a few in any case.
        let for_ended = self.ended.len().min(5).min(room);
        lines.extend(self.bars(width, room.saturating_sub(for_ended + 1)));
        if self.open.is_empty() {
            lines.push("nothing runs".to_owned());
        }
        if !self.ended.is_empty() {
            lines.push(String::new());
        }
        let left = height.saturating_sub(lines.len());
        lines.extend(self.ended.iter().rev().take(left).map(with_bar));
        lines.truncate(height);
        cut(lines, width)
    }
}

fn cut(lines: Vec<String>, width: usize) -> Vec<String> {
    lines.into_iter().map(|line| truncate_str(&line, width, "…").into_owned()).collect()
}

//! Findings.

use super::{style, units};

/// A line for each finding: name, verdict, text and advice.
pub(in crate::cli) fn checks<'a>(findings: impl Iterator<Item = (&'a str, &'a str, &'a str, &'a str)>) -> String {
    findings
        .map(|(name, verdict, text, advice)| {
            // Padded before it is coloured: a colour has no width.
            let padded = format!("{verdict:<8}");
            let verdict = match verdict {
                "ok" => style::good(&padded),
                "problem" => style::bad(&padded),
                _ => style::busy(&padded),
            };
            let advice = if advice.is_empty() { String::new() } else { format!("\n{:26}{advice}", "") };
            format!("{verdict}  {name:<14}  {text}{advice}\n")
        })
        .collect()
}

/// The verdict on settings that a server can start with, and a line for each warning.
pub(in crate::cli) fn settings_checked(set: usize, ignored: usize, warnings: &[String]) -> String {
    let warning = style::busy("warning:");
    let lines: String = warnings.iter().map(|text| format!("{warning} {text}\n")).collect();
    let beside = if ignored > 0 { format!(", {ignored} of the file mean nothing here") } else { String::new() };
    format!("{lines}{}: {} set{beside}\n", style::good("OK"), units::number(set, "key"))
}

//! Where answers go: to standard output, as a text for people or as JSON for programs.
//!
//! Colours are left out unless standard output is a terminal and `NO_COLOR` is unset. Errors and remarks go to standard
//! error, so that the output of a command is its answer alone.

use anyhow::Context as _;
use serde::Serialize;

/// The form of a command's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputForm {
    People,
    Json,
}

impl OutputForm {
    pub(super) fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::People }
    }

    /// Prints one answer. `text` makes the form for people, which ends with a line feed.
    pub(super) fn answer<T: Serialize>(self, answer: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        match self {
            Self::People => anstream::print!("{}", text(answer)),
            Self::Json => println!("{}", serde_json::to_string_pretty(answer).context("writing JSON")?),
        }
        Ok(())
    }
}

/// Prints one of many answers as JSON, in one line.
pub(super) fn line<T: Serialize>(answer: &T) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(answer).context("writing JSON")?);
    Ok(())
}

/// Prints ids alone, one in a line.
pub(super) fn ids(ids: impl IntoIterator<Item = i64>) {
    let lines: String = ids.into_iter().map(|id| format!("{id}\n")).collect();
    print!("{lines}");
}

//! Colours by meaning.

use anstyle::{AnsiColor, Style};

fn paint(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") }
}

/// A title.
pub(in crate::cli) fn title(text: &str) -> String {
    paint(Style::new().bold(), text)
}

/// A state that needs nobody.
pub(in crate::cli) fn good(text: &str) -> String {
    paint(AnsiColor::Green.on_default(), text)
}

/// A state to look at.
pub(in crate::cli) fn bad(text: &str) -> String {
    paint(AnsiColor::Red.on_default(), text)
}

/// A state that will change.
pub(in crate::cli) fn busy(text: &str) -> String {
    paint(AnsiColor::Yellow.on_default(), text)
}

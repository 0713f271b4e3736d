//! Writes a board to a terminal, over its last picture, or as lines where there is no terminal.

use anstream::{AutoStream, ColorChoice};
use console::{Term, is_dumb, strip_ansi_codes};

use super::{
    board::{Board, PlanLine},
    frame,
};

/// Clears the rest of a line.
const CLEAR_LINE: &str = "\u{1b}[K";

/// The place where progress is shown.
pub(in crate::cli) enum Screen {
    /// A part of a terminal, with the number of lines that were drawn last.
    Bars { terminal: Term, lines: usize },
    /// A whole terminal, below a heading.
    Whole { terminal: Term, heading: String },
    /// Standard error.
    Remarks,
    /// Standard output.
    Lines,
}

impl Screen {
    /// Beside an answer: bars on a terminal, else lines; both on standard error.
    pub(in crate::cli) fn beside() -> Self {
        let terminal = Term::buffered_stderr();
        if is_usable(&terminal) { Self::Bars { terminal, lines: 0 } } else { Self::Remarks }
    }

    /// As the answer itself: a whole terminal, else lines; both on standard output.
    pub(in crate::cli) fn whole(heading: String) -> Self {
        let terminal = Term::buffered_stdout();
        if is_usable(&terminal) { Self::Whole { terminal, heading } } else { Self::Lines }
    }

    /// Shows the plans that changed, and the board as it is now.
    pub(in crate::cli) fn show(&mut self, board: &Board, news: &[PlanLine]) -> std::io::Result<()> {
        match self {
            Self::Lines => news.iter().for_each(|line| anstream::println!("{}", frame::plain(line))),
            Self::Remarks => news.iter().for_each(|line| anstream::eprintln!("{}", frame::plain(line))),
            Self::Bars { terminal, lines } => {
                terminal.clear_last_lines(*lines)?;
                let choice = AutoStream::choice(&std::io::stderr());
                // Plans that have ended stay above the bars.
                for line in news.iter().filter(|line| line.is_ended()) {
                    terminal.write_line(&as_wanted(frame::with_bar(line), choice))?;
                }
                let (height, width) = terminal.size();
                let bars = board.bars(usize::from(width), usize::from(height).saturating_sub(1));
                *lines = bars.len();
                bars.into_iter().try_for_each(|bar| terminal.write_line(&as_wanted(bar, choice)))?;
                terminal.flush()?;
            }
            Self::Whole { terminal, heading } => {
                let choice = AutoStream::choice(&std::io::stdout());
                let (height, width) = terminal.size();
                let lines = board.screen(heading, usize::from(width), usize::from(height).saturating_sub(1));
                terminal.move_cursor_to(0, 0)?;
                for line in lines {
                    terminal.write_str(&format!("{}{CLEAR_LINE}\n", as_wanted(line, choice)))?;
                }
                terminal.clear_to_end_of_screen()?;
                terminal.flush()?;
            }
        }
        Ok(())
    }
}

/// Leaves out the colours of a line if the environment says so.
fn as_wanted(line: String, choice: ColorChoice) -> String {
    if choice == ColorChoice::Never { strip_ansi_codes(&line).into_owned() } else { line }
}

/// A terminal that can move its cursor.
fn is_usable(terminal: &Term) -> bool {
    terminal.is_term() && !is_dumb()
}

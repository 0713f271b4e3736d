//! The progress of plans while they run: on a terminal redrawn in place, elsewhere as lines.
//!
//! `board` keeps the last event of each plan, `frame` makes lines of them; both are plain functions of values. `screen` writes.

mod board;
mod frame;
mod screen;

#[cfg(test)]
mod tests;

pub(super) use self::{board::Board, screen::Screen};

//! Compares query vectors with rows of a source, on every core that is free, and for several searches at once.
//!
//! ```text
//!  search 1, 2, 3 … ──▶ turns: searches for many rows of the same vectors wait for each other
//!                         │
//!  rows  │ piece │ piece │ piece │ piece │ …     whichever thread is ready takes the next one, and compares it
//!            ▼       ▼       ▼                   for one search after the other
//!        lists of the first thread, of the second, … ──▶ merged, for each search
//! ```
//!
//! Vectors come from memory slower than they are compared. While a piece is in the processor's cache, a second search needs
//! no memory for it.
//!
//! The nearest of some rows don't depend on the order in which they are offered (`nearest`), and the rank of a row depends
//! on the row and the query alone. So an answer is the same however the rows were divided, and beside any other search.

mod joint;
mod rows;
mod turns;

pub(super) use joint::{ComparingSearch, merged};
pub(super) use rows::{Comparison, QUERY_BYTES};
pub(super) use turns::compare;

#[cfg(test)]
mod tests;

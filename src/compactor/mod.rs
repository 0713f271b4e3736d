//! Executes a plan: merges segments, drops dead and expired rows, writes the outputs.
mod cut;
mod deletes;
mod memory;
mod order;
mod progress;
mod selection;

pub use progress::ProgressCell;

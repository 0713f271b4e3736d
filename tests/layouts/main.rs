//! The planner over whole lives of a group: its plans, their cost, and the segments afterwards.
//!
//! No data: a simulated group ([`group`]) carries plans out on paper, as if every estimate came true.

mod amplification;
mod group;
#[path = "../kit/mod.rs"]
mod kit;
mod properties;
mod scenarios;
mod stock;

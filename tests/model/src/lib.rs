//! Claim, commit, collect and fence, checked exhaustively: two coordinators with two workers each, over three segments.
//!
//! A model of the protocol in docs/design.md (*One writer*, *A commit*, *Garbage*), not of the code: steps as small as
//! `src/coordinator/{ownership,commit,gc,steps,pins}.rs` and `src/meta/epoch.rs` have them, and a crash possible between
//! any two. The checker visits every order of them within a budget of starts, crashes, copies and turns. It shows:
//!
//! - each promise holds with all rules, under the assumptions that [`rules::Rules`] names;
//! - without any one rule, or without it and the second lock of the same door, some promise breaks;
//! - the limits that the design states do occur.
//!
//! | file | job |
//! |---|---|
//! | `state.rs` | values: store, catalogs, coordinators |
//! | `rules.rs` | the rules, each of which can be left out, and the size of a world |
//! | `steps.rs` | the steps of starts, marks, turns and transactions |
//! | `work.rs` | the steps of plans, deletes, garbage and readers |
//! | `properties.rs` | conditions that always hold, and those that occur |
//!
//! Must never: keep a rule that no test leaves out, or hold a step that the code does not have for possible or impossible
//! without saying why.

#![cfg(test)]

mod properties;
mod rules;
mod state;
mod steps;
mod work;

mod tests;

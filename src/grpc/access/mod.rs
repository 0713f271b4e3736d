//! Which caller may make which gRPC call: credentials are looked at before a message is read, privileges once it is.
//!
//! ```text
//!   head of a call ─▶ layer: rule of its path (table), caller of its credentials ─▶ Pass, beside the request
//!   message        ─▶ admit: the Pass, and the names in the message (names) ─▶ the handler
//! ```
//!
//! A path without a row needs a login. A handler gets its message through [`admit`] only; a test calls every method of
//! every service with a user without privileges. Must never: let a call through that the layer has not seen while
//! authorization is on.

mod admit;
mod layer;
mod names;
mod table;
#[cfg(test)]
mod tests;

pub(super) use admit::{admit, caller, let_in, peer};
pub(super) use layer::AccessLayer;
pub(super) use names::Named;

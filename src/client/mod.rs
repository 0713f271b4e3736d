//! A client of a running server over gRPC: one method for each call that the command line makes.
//!
//! A connection may speak TLS, and every call may carry a login. Spans go to their collector over such a connection, too.
//!
//! Every answer is checked: a status of Milvus that is not zero is an error with its code. A call that takes too long ends
//! instead of hanging. Must never print, decide, or know which command uses it; of this crate it uses the protocol,
//! timestamps, TLS and secrets alone.

mod compaction;
mod connection;
mod control;
mod error;
mod login;
mod overview;
mod rows;

#[cfg(test)]
mod tests;

pub use connection::{Access, Client, collector};
pub use error::{ClientError, ClientErrorKind};
pub use login::Login;
pub use overview::ServerHealth;

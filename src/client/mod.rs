//! A client of a running server over gRPC: one method for each call that the command line makes.
//!
//! Every answer is checked: a status of Milvus that is not zero is an error with its code. A call that takes too long ends
//! instead of hanging. Must never print, decide, or know which command uses it; of this crate it uses the protocol alone.

mod compaction;
mod connection;
mod error;
mod rows;

#[cfg(test)]
mod tests;

pub use connection::Client;
pub use error::ClientError;

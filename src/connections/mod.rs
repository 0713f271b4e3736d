//! Limits the number of connections, and the time that one may stay open without progress.
//!
//! A listener returns connections one by one. Each has a place that it frees when it is closed. A connection over the limit
//! is refused in the words of its protocol and closed. An accept that fails for lack of descriptors is repeated after a
//! pause and logged once, so that it never uses up a core.
//!
//! Must never: interpret the bytes of a connection.

mod descriptors;
mod io;
mod listener;
mod place;

pub use descriptors::{most_connections, raise_descriptor_limit};
pub use io::{Deadline, Guarded, Peer};
pub use listener::{Listener, RefusalProtocol};
pub use place::Watched;

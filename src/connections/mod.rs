//! Connections with bounds: how many there are, and how long one may keep its place without getting on.
//!
//! A listener here gives out connections one by one, each with a place that it gives back when it is closed. One more
//! than there are places is told so in the words of its protocol and closed. An accept that fails for want of descriptors
//! is tried again after a pause and logged once, so that it never takes a core.
//!
//! Must never: know what is said on a connection beyond its first bytes.

mod descriptors;
mod io;
mod listener;

pub use descriptors::{most_connections, raise_descriptor_limit};
pub use io::{Deadline, Guarded};
pub use listener::{Listener, Refusal, Watched};

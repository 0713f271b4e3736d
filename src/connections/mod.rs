//! Limits the number of connections, and the time that one may stay open without progress.
//!
//! A listener returns connections one by one. Each has a place that it frees when it is closed. A connection over the limit
//! is refused in the words of its protocol and closed. An accept that fails for lack of descriptors is repeated after a
//! pause and logged once, so that it never uses up a core.
//!
//! With TLS a connection has its place before its handshake, which runs beside the others and has a limit of time. A
//! handshake that fails ends its own connection and nothing else.
//!
//! Must never: interpret the bytes of a connection, except the first one on a port with TLS, which tells a client without
//! TLS apart.

mod descriptors;
mod handshake;
mod io;
mod listener;
mod place;
mod refusal;
mod stream;

pub use descriptors::{most_connections, raise_descriptor_limit};
pub use handshake::HandshakeFault;
pub use io::{Deadline, Guarded};
pub use listener::{Connection, Listener};
pub use place::Watched;
pub use refusal::RefusalProtocol;
pub use stream::{Peer, Stream};

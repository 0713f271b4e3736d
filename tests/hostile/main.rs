//! A stranger at the ports: messages of any content, floods, and clients that do not read. The server refuses them with a
//! status, keeps its memory within bounds, and serves others all the while.

mod calls;
mod decoding;
mod expressions;
mod frames;
#[path = "../kit/mod.rs"]
mod kit;
mod limits;
#[path = "../fuzz/targets/memory.rs"]
mod memory;
mod messages;
#[path = "../fuzz/mutate.rs"]
mod mutate;
mod pressure;
mod served;

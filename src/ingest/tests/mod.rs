//! The write path as a whole, over a catalog and a store that keep everything in memory and can be held up or made to
//! fail at every step, and over real log files that can be torn.

mod deltas;
mod flushing;
mod logging;
mod random;
mod restart;
mod stored;
mod world;

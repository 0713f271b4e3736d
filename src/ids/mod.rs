//! Ids, timestamps and unique names: numbers that are never given out twice, not even by the next process.
//!
//! ```text
//!  IdAllocator ─┐                                  ┌─▶ BoundStore::save   (bounds.rs; the catalog implements it)
//!               ├─ take below the bound ─▶ range.rs │
//!  Tso ─────────┘        └ none left: ask ─▶ keeper.rs ── every second: move low bounds ahead
//! ```
//!
//! Both allocators give out numbers below an upper bound that is durable already; the next process begins at the stored
//! bound. One task, the keeper, stores bounds: ahead of need, and at once for a caller that runs out.
//!
//! Must never give out a number whose bound is not durable, never go back when the clock does, and never call the store
//! on the thread of a caller.

mod allocator;
mod bounds;
mod keeper;
mod range;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use bounds::MemoryBounds;

pub use self::{
    allocator::{IdAllocator, Numbers, Tso, open, unique_name},
    bounds::{BoundError, BoundStore, IdError},
    keeper::BoundKeeper,
};

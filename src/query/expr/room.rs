//! Memory of the parts of an expression, which they take before they are made.
//!
//! Must never allocate memory that was not taken before.

use crate::memory::{Extra, Full};

/// Appends to a vector. One that is full grows to twice its length.
pub(super) fn push<T>(items: &mut Vec<T>, item: T, memory: &mut Extra) -> Result<(), Full> {
    if items.len() == items.capacity() {
        let more = items.len().max(4);
        memory.take(((items.len() + more) * size_of::<T>()) as u64)?;
        items.reserve_exact(more);
    }
    items.push(item);
    Ok(())
}

/// Memory of a text on its own.
pub(super) fn text_bytes(text: &str) -> u64 {
    (text.len() + ALLOCATION) as u64
}

/// Memory of an allocation beyond its bytes.
pub(super) const ALLOCATION: usize = 16;

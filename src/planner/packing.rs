//! Bin packing: which sizes are merged into one segment.
//!
//! Knows sizes and positions only, never segments. The result of each function depends on the order of its input, so
//! callers sort first.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
};

/// Items of one merge: positions in the slice that was packed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Bin {
    pub(super) bytes: u64,
    pub(super) items: Vec<usize>,
}

impl Bin {
    fn push(&mut self, item: usize, size: u64) {
        self.items.push(item);
        self.bytes = self.bytes.saturating_add(size);
    }

    /// The members of `of` at these positions.
    pub(super) fn members<'a, T: Copy>(&'a self, of: &'a [T]) -> Vec<T> {
        self.items.iter().filter_map(|i| of.get(*i).copied()).collect()
    }
}

/// Packs all of `sizes` into bins of at most `cap` bytes and `max_items` items. Aims at many bytes in bins of at least
/// `full` bytes. A size above `cap` gets a bin of its own.
///
/// Takes the better of two arrangements. Best fit fills bins as far as possible and leaves a rest, which may wait for
/// later segments. Levelling spreads everything evenly over as many bins, and is better if all of them are full then.
pub(super) fn pack(sizes: &[u64], cap: u64, full: u64, max_items: usize) -> Vec<Bin> {
    let fitted = best_fit(sizes, cap, max_items);
    let well_filled = |bins: &[Bin]| -> u64 { bins.iter().filter(|b| b.bytes >= full).map(|b| b.bytes).sum() };
    match level(sizes, &fitted, cap, max_items) {
        Some(levelled) if well_filled(&levelled) > well_filled(&fitted) => levelled,
        _ => fitted,
    }
}

/// Largest first, each into the fullest bin that it fits into. Two bins of the result never fit into one, except where
/// `max_items` forbids it.
pub(super) fn best_fit(sizes: &[u64], cap: u64, max_items: usize) -> Vec<Bin> {
    let mut bins: Vec<Bin> = Vec::new();
    // (bytes left, bin) of all bins that may get another item.
    let mut open: BTreeSet<(u64, usize)> = BTreeSet::new();
    for item in descending(sizes) {
        let size = sizes[item];
        let fullest = open.range((size, 0)..).next().copied();
        let index = match fullest {
            Some(slot @ (_, index)) => {
                open.remove(&slot);
                index
            }
            None => {
                bins.push(Bin::default());
                bins.len() - 1
            }
        };
        let bin = &mut bins[index];
        bin.push(item, size);
        if bin.items.len() < max_items && bin.bytes <= cap {
            open.insert((cap - bin.bytes, index));
        }
    }
    bins
}

/// Largest first, each into the emptiest of as many bins as `fitted` has; none if a limit forbids that.
fn level(sizes: &[u64], fitted: &[Bin], cap: u64, max_items: usize) -> Option<Vec<Bin>> {
    let (oversized, mut bins): (Vec<Bin>, Vec<Bin>) = fitted.iter().cloned().partition(|b| b.bytes > cap);
    bins.fill(Bin::default());
    let mut emptiest: BinaryHeap<Reverse<(u64, usize)>> = (0..bins.len()).map(|index| Reverse((0, index))).collect();
    for item in descending(sizes).into_iter().filter(|i| sizes[*i] <= cap) {
        let size = sizes[item];
        let Reverse((bytes, index)) = emptiest.pop()?;
        if bytes.saturating_add(size) > cap {
            return None;
        }
        let bin = &mut bins[index];
        bin.push(item, size);
        if bin.items.len() < max_items {
            emptiest.push(Reverse((bin.bytes, index)));
        }
    }
    bins.extend(oversized);
    Some(bins)
}

/// Most items for which all choices are tried. With more of them `best_fit` finds good bins.
const EXACT_LIMIT: usize = 12;

/// The fullest bin that any choice of items makes; none if there are too many items to try all choices. Best fit looks at
/// one item at a time and can miss this bin when there are few items.
pub(super) fn fullest(sizes: &[u64], cap: u64, max_items: usize) -> Option<Bin> {
    if sizes.len() > EXACT_LIMIT {
        return None;
    }
    let mut best = Bin::default();
    for choice in 1u32..1 << sizes.len() {
        if choice.count_ones() as usize > max_items {
            continue;
        }
        let chosen = |i: &usize| choice >> i & 1 == 1;
        let bytes = (0..sizes.len()).filter(chosen).map(|i| sizes[i]).sum();
        if bytes <= cap && bytes > best.bytes {
            best = Bin { bytes, items: (0..sizes.len()).filter(chosen).collect() };
        }
    }
    Some(best)
}

/// How many of the first items of `ascending` to merge so that at least `surplus` segments fewer remain, or as many as
/// possible; 0 if no two may be merged. The sum stays below `limit` bytes.
///
/// Merging the two smallest is always cheapest, but another merge would be due at once. Merging all rewrites large
/// segments for the sake of small ones. The function minimises bytes divided by a power of the segments saved, which is
/// in between: equals are merged with equals, and a much larger segment waits until there are others of its size.
/// The exponent was chosen by simulation (`tests/layouts/amplification.rs`): from 2.5 to 3 the bytes rewritten stay within
/// about a tenth of the minimum, for even and for uneven sizes. Smaller exponents are much worse.
pub(super) fn cheapest_prefix(ascending: &[u64], surplus: usize, limit: u64, max_items: usize) -> usize {
    const EXPONENT: f64 = 2.5;
    let mut sum = 0u64;
    let mut longest = 0;
    let mut best: Option<(f64, usize)> = None;
    for (saved, size) in ascending.iter().take(max_items).enumerate() {
        sum = sum.saturating_add(*size);
        if sum >= limit {
            break;
        }
        if saved == 0 {
            continue;
        }
        longest = saved + 1;
        let cost = sum as f64 / (saved as f64).powf(EXPONENT);
        if saved >= surplus && best.is_none_or(|(least, _)| cost <= least) {
            best = Some((cost, longest));
        }
    }
    best.map_or(longest, |(_, count)| count)
}

/// Positions by size, largest first; equal sizes in their given order.
fn descending(sizes: &[u64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|i| Reverse(sizes[*i]));
    order
}

//! Bytes that compaction writes for each byte flushed, on streams of flushes that are looked at one by one.
//!
//! `cargo test --test layouts amplification -- --nocapture` prints the table.

use std::{collections::VecDeque, time::Duration};

use datacoord::{
    model::{Segment, Trigger},
    planner::PlanDraft,
};

use crate::group::{MB, Simulated};

/// A stream of numbers that is the same on every machine (splitmix64).
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 1 to `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit + 1
    }
}

/// How flush sizes are spread around their mean.
#[derive(Debug, Clone, Copy)]
enum Spread {
    Equal,
    /// From a fifth to nine fifths of the mean.
    Even,
    /// Most below the mean, a few up to 20 times as large.
    Skewed,
}

impl Spread {
    fn size(self, mean: u64, numbers: &mut Numbers) -> u64 {
        match self {
            Self::Equal => mean,
            Self::Even => mean / 5 + numbers.below(mean * 8 / 5),
            Self::Skewed => match numbers.below(100) {
                1 => mean * 20,
                2..=10 => mean * 3,
                _ => mean / 2 + numbers.below(mean / 10),
            },
        }
    }
}

/// Fills about six segments (two, with the smallest flushes) and returns bytes rewritten per byte flushed. A plan ends
/// after `lag` more flushes.
fn amplification(mean: u64, spread: Spread, lag: usize) -> f64 {
    let mut group = Simulated::new();
    let mut numbers = Numbers::new(7);
    let mut running: VecDeque<(usize, PlanDraft)> = VecDeque::new();
    let mut flushes = 0;
    while group.flushed_bytes < 3 * 1024 * MB && flushes < 8000 {
        group.flush(spread.size(mean, &mut numbers));
        flushes += 1;
        while running.front().is_some_and(|(due, _)| *due <= flushes) {
            if let Some((_, draft)) = running.pop_front() {
                for input in &draft.inputs {
                    group.reserved.remove(&input.segment);
                }
                group.carry_out(&draft);
            }
        }
        for draft in group.propose(Trigger::Flush).drafts {
            group.reserved.extend(draft.inputs.iter().map(|i| i.segment));
            running.push_back((flushes + lag, draft));
        }
        let idle =
            group.segments.iter().filter(|s| s.insert_bytes < 256 * MB && !group.reserved.contains(&s.id)).count();
        assert!(idle <= 10, "{idle} small segments are not in a plan");
    }
    group.rewritten_bytes() as f64 / group.flushed_bytes as f64
}

/// A lower bound for every rule that keeps at most 10 small segments and merges small segments as soon as they fill 85 %
/// of a segment, for flushes of equal size, `n` of which fill one.
///
/// If no flush is merged more than `d` times, ten segments hold at most C(10 + d + 1, d + 1) - 1 flushes. So before the
/// last merge at best 10 of them were never merged, C(11, 2) once, C(12, 3) twice, and so on; the last one takes all.
fn least(n: u64) -> f64 {
    let (mut left, mut total, mut merges, mut held) = (n, 0, 0, 10);
    while left > 0 {
        let now = held.min(left);
        total += now * merges;
        left -= now;
        merges += 1;
        held = held * (10 + merges) / (merges + 1);
    }
    total as f64 / n as f64 + 1.0
}

#[test]
fn stays_below_three() {
    println!("mean flush   equal   even  skewed  slow plans   least possible (equal)");
    for kilobytes in [128, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 120_586] {
        let mean = kilobytes * 1024;
        let measured = [Spread::Equal, Spread::Even, Spread::Skewed].map(|spread| amplification(mean, spread, 0));
        let slow = amplification(mean, Spread::Even, 5);
        let least = least(435 * 1024 / kilobytes);
        let [equal, even, skewed] = measured;
        println!("{kilobytes:>7} KB   {equal:>5.2}  {even:>5.2}   {skewed:>5.2}       {slow:>5.2}   {least:>5.2}");
        let worst = measured.into_iter().fold(slow, f64::max);
        if kilobytes >= 2048 {
            assert!(worst <= 3.0, "{worst}");
        } else {
            // With flushes so small no rule can stay below 3, so the lower bound of all rules is the limit.
            assert!(worst <= least * 1.35, "{worst}, at least {least}");
        }
    }
}

/// Flushes of 8 MB, after each of which rows die: so many for each row flushed, all in one segment, any row as likely as
/// any other. Returns bytes rewritten per byte flushed.
fn amplification_with_deletes(deleted: f64) -> f64 {
    let mut group = Simulated::new();
    let mut numbers = Numbers::new(11);
    while group.flushed_bytes < 6 * 1024 * MB {
        let id = group.flush(8 * MB);
        let rows = group.get(id).map_or(0, |s| s.rows);
        let live = |s: &Segment| s.rows - s.delta_rows.min(s.rows);
        let mut nth = numbers.below(group.segments.iter().map(live).sum::<u64>()) - 1;
        let hit = group.segments.iter().find(|s| {
            let here = nth < live(s);
            nth = nth.saturating_sub(live(s));
            here
        });
        if let Some(hit) = hit.map(|s| s.id) {
            let rows = ((rows as f64 * deleted) as u64).min(group.get(hit).map_or(0, live));
            group.delete_rows(hit, rows, Duration::ZERO);
        }
        group.run(Trigger::Flush);
    }
    group.rewritten_bytes() as f64 / group.flushed_bytes as f64
}

/// A segment is rewritten for its deletes when more than a fifth of it is dead: at most four bytes for each that dies.
#[test]
fn a_dead_byte_costs_four_at_most() {
    println!("rows deleted per row flushed   rewritten per byte flushed");
    let without = amplification_with_deletes(0.0);
    assert!(without <= 3.0, "{without}");
    for deleted in [0.0, 0.01, 0.05, 0.1, 0.3, 0.6, 0.9] {
        let measured = amplification_with_deletes(deleted);
        println!("{deleted:>28.2}   {measured:>6.2}");
        assert!(measured <= without + 4.0 * deleted, "{measured}, {without} without deletes");
    }
}

//! Divides the memory that the process may use over everything that holds much of it.
//!
//! A plain function of numbers: what the machine has is [`super::machine`]'s business. The parts and the base never add
//! up to more than the total, so the process is slowed down before it is killed.

use super::MemoryConfig;

const MIB: u64 = 1 << 20;

/// Code, threads, and what is always there.
const BASE_BYTES: u64 = 48 * MIB;
/// Of the total: one in so many is for what the allocator keeps, and for the catalog.
const SLACK_SHARE: u64 = 10;

/// What holds memory under a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Rows and deletes that are not flushed yet.
    Growing,
    /// What merges hold.
    Merges,
    /// What queries hold, their answers included.
    Queries,
    /// Messages of calls in flight, as they arrive and decoded, and the queue of the log.
    Requests,
    /// What flushes encode and write.
    Flushes,
    /// The cache of the catalog's file, and of filters over keys.
    Caches,
}

/// How a part is given its share.
struct Rule {
    part: Part,
    key: &'static str,
    /// Of what is left for all.
    weight: u64,
    least: u64,
    most: u64,
    /// The setting is this much smaller than what the part may hold.
    times: u64,
}

/// Unflushed rows: segments are sealed at the setting, and writers wait at twice that, while those are written.
pub const GROWING_TIMES: u64 = 2;

const RULES: [Rule; 6] = [
    Rule {
        part: Part::Growing,
        key: "datacoord.ingest.memoryLimit",
        weight: 36,
        least: 32 * MIB,
        most: 2048 * MIB,
        times: GROWING_TIMES,
    },
    Rule {
        part: Part::Merges,
        key: "datacoord.compaction.memoryLimit",
        weight: 16,
        least: 16 * MIB,
        most: 256 * MIB,
        times: 1,
    },
    Rule {
        part: Part::Queries,
        key: "datacoord.query.memoryLimit",
        weight: 14,
        least: 8 * MIB,
        most: 1024 * MIB,
        times: 1,
    },
    Rule {
        part: Part::Requests,
        key: "datacoord.grpc.memoryLimit",
        weight: 16,
        least: 16 * MIB,
        most: 512 * MIB,
        times: 1,
    },
    Rule {
        part: Part::Flushes,
        key: "datacoord.flush.memoryLimit",
        weight: 12,
        least: 12 * MIB,
        most: 384 * MIB,
        times: 1,
    },
    Rule {
        part: Part::Caches,
        key: "datacoord.cache.memoryLimit",
        weight: 6,
        least: 4 * MIB,
        most: 128 * MIB,
        times: 1,
    },
];

impl Part {
    pub const ALL: [Self; 6] =
        [Self::Growing, Self::Merges, Self::Queries, Self::Requests, Self::Flushes, Self::Caches];

    /// Value of the label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::Merges => "merges",
            Self::Queries => "queries",
            Self::Requests => "requests",
            Self::Flushes => "flushes",
            Self::Caches => "caches",
        }
    }

    /// The setting that decides over it.
    pub fn key(self) -> &'static str {
        RULES.iter().find(|rule| rule.part == self).map_or("", |rule| rule.key)
    }
}

/// The total, and what each part may hold, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    pub total: u64,
    /// Not given to any part.
    pub base: u64,
    pub growing: u64,
    pub merges: u64,
    pub queries: u64,
    pub requests: u64,
    pub flushes: u64,
    pub caches: u64,
}

impl Default for Division {
    /// That of a machine with plenty of memory.
    fn default() -> Self {
        let mut division =
            Self { total: 0, base: 0, growing: 0, merges: 0, queries: 0, requests: 0, flushes: 0, caches: 0 };
        for rule in &RULES {
            *division.place(rule.part) = rule.most;
        }
        let parts: u64 = RULES.iter().map(|rule| rule.most).sum();
        division.total = (parts + BASE_BYTES) * SLACK_SHARE / (SLACK_SHARE - 1);
        division.base = base(division.total);
        division
    }
}

impl Division {
    pub fn of(&self, part: Part) -> u64 {
        let mut copy = *self;
        *copy.place(part)
    }

    fn place(&mut self, part: Part) -> &mut u64 {
        match part {
            Part::Growing => &mut self.growing,
            Part::Merges => &mut self.merges,
            Part::Queries => &mut self.queries,
            Part::Requests => &mut self.requests,
            Part::Flushes => &mut self.flushes,
            Part::Caches => &mut self.caches,
        }
    }
}

/// Why memory can't be divided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "memory of {total} MB (datacoord.memory.limit, or else what the machine or its cgroup gives) is not enough: {base} MB \
     are for the process itself, {least} MB is the least for what is not set{}",
    fixed_text(.fixed)
)]
pub struct DoesNotFit {
    /// In MB, as all of them.
    pub total: u64,
    pub base: u64,
    pub least: u64,
    /// Settings that were given, with what they take.
    pub fixed: Vec<(&'static str, u64)>,
}

fn fixed_text(fixed: &[(&'static str, u64)]) -> String {
    fixed.iter().map(|(key, mib)| format!(", {key} takes {mib} MB")).collect()
}

/// Divides `total` bytes. A part with a setting gets that; the others share what is left by their weights, none of them
/// less than it needs or more than it has use for.
///
/// # Errors
/// `DoesNotFit` when the settings, the base and the least of the others are more than the total.
pub fn divide(total: u64, settings: &MemoryConfig) -> Result<Division, DoesNotFit> {
    let base = base(total);
    let mut division = Division { total, base, ..Division::default() };
    let mut free: Vec<&Rule> = Vec::new();
    let (mut fixed, mut taken) = (Vec::new(), 0u64);
    let mut left = total.saturating_sub(base);
    for rule in &RULES {
        match settings.of(rule.part) {
            0 => free.push(rule),
            set => {
                let takes = set.saturating_mul(rule.times);
                fixed.push((rule.key, takes / MIB));
                taken = taken.saturating_add(takes);
                *division.place(rule.part) = takes;
                left = left.saturating_sub(takes);
            }
        }
    }
    let least: u64 = free.iter().map(|rule| rule.least).sum();
    if base.saturating_add(taken).saturating_add(least) > total {
        return Err(DoesNotFit { total: total / MIB, base: base / MIB, least: least / MIB, fixed });
    }
    // Those whose share is outside of their limits get the limit, and the rest is shared anew among the others. Those
    // that lack something come first: what they get is missing elsewhere.
    while !free.is_empty() {
        let weights: u64 = free.iter().map(|rule| rule.weight).sum();
        let share = |rule: &Rule| left / weights * rule.weight + left % weights * rule.weight / weights;
        let bound = |at: usize, rule: &Rule| {
            let share = share(rule);
            if share < rule.least {
                Some((0, at, rule.least))
            } else if share > rule.most {
                Some((1, at, rule.most))
            } else {
                None
            }
        };
        match free.iter().enumerate().filter_map(|(at, rule)| bound(at, rule)).min() {
            Some((_, at, bytes)) => {
                let rule = free.remove(at);
                *division.place(rule.part) = bytes;
                left = left.saturating_sub(bytes);
            }
            None => {
                for rule in free.drain(..) {
                    *division.place(rule.part) = left / weights * rule.weight + left % weights * rule.weight / weights;
                }
            }
        }
    }
    Ok(division)
}

fn base(total: u64) -> u64 {
    BASE_BYTES.saturating_add(total / SLACK_SHARE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn mib(division: &Division) -> [u64; 6] {
        Part::ALL.map(|part| division.of(part) / MIB)
    }

    /// Growing, merges, queries, requests, flushes, caches; in MB, rounded down.
    #[rstest]
    #[case::container_of_256(256, [65, 29, 25, 29, 21, 10])]
    #[case::container_of_512(512, [148, 66, 57, 66, 49, 24])]
    #[case::one_gigabyte(1024, [314, 139, 122, 139, 104, 52])]
    #[case::eight_gigabytes(8192, [2048, 256, 1024, 512, 384, 128])]
    #[case::sixty_four_gigabytes(65_536, [2048, 256, 1024, 512, 384, 128])]
    fn shares_by_total(#[case] total_mib: u64, #[case] expected: [u64; 6]) {
        let division = divide(total_mib * MIB, &MemoryConfig::default()).unwrap();
        assert_eq!(mib(&division), expected);
    }

    #[test]
    fn a_large_machine_has_the_defaults() {
        let division = divide(64 << 30, &MemoryConfig::default()).unwrap();
        let default = Division::default();
        assert_eq!(mib(&division), mib(&default));
        assert!(default.base + Part::ALL.iter().map(|p| default.of(*p)).sum::<u64>() <= default.total);
        assert_eq!((division.growing / GROWING_TIMES, division.merges), (1024 * MIB, 256 * MIB));
    }

    #[test]
    fn a_setting_wins_and_the_rest_is_shared_again() {
        let settings = MemoryConfig { growing_bytes: 100 * MIB, merges_bytes: 32 * MIB, ..MemoryConfig::default() };
        let division = divide(512 * MIB, &settings).unwrap();
        assert_eq!((division.growing, division.merges), (200 * MIB, 32 * MIB));
        let without = divide(512 * MIB, &MemoryConfig::default()).unwrap();
        assert!(division.queries < without.queries, "twice 100 MB are more than its share");
        // What a setting leaves is for the others.
        let settings = MemoryConfig { growing_bytes: 16 * MIB, ..MemoryConfig::default() };
        assert!(divide(512 * MIB, &settings).unwrap().queries > without.queries);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_numbers_and_keys() {
        let settings = MemoryConfig { growing_bytes: 1024 * MIB, ..MemoryConfig::default() };
        let text = divide(512 * MIB, &settings).unwrap_err().to_string();
        assert_eq!(
            text,
            "memory of 512 MB (datacoord.memory.limit, or else what the machine or its cgroup gives) is not enough: 99 MB \
             are for the process itself, 56 MB is the least for what is not set, datacoord.ingest.memoryLimit takes 2048 MB"
        );
        assert!(divide(100 * MIB, &MemoryConfig::default()).is_err());
    }

    fn place(settings: &mut MemoryConfig, part: Part) -> &mut u64 {
        match part {
            Part::Growing => &mut settings.growing_bytes,
            Part::Merges => &mut settings.merges_bytes,
            Part::Queries => &mut settings.queries_bytes,
            Part::Requests => &mut settings.requests_bytes,
            Part::Flushes => &mut settings.flushes_bytes,
            Part::Caches => &mut settings.caches_bytes,
        }
    }

    proptest! {
        #[test]
        fn the_parts_never_add_up_to_more_than_the_total(
            total in 64u64..100_000,
            set in prop::collection::vec(prop::option::weighted(0.3, 1u64..3000), 6),
        ) {
            let mut settings = MemoryConfig::default();
            for (part, set) in Part::ALL.iter().zip(&set) {
                *place(&mut settings, *part) = set.unwrap_or(0) * MIB;
            }
            if let Ok(division) = divide(total * MIB, &settings) {
                let parts: u64 = Part::ALL.iter().map(|part| division.of(*part)).sum();
                prop_assert!(division.base + parts <= total * MIB, "{division:?}");
                for rule in &RULES {
                    let (has, set) = (division.of(rule.part), settings.of(rule.part));
                    let fits = if set > 0 { has == set * rule.times } else { has >= rule.least && has <= rule.most };
                    prop_assert!(fits, "{:?} has {} for {}", rule.part, has, set);
                }
            }
        }
    }
}

//! Divides the memory that the process may use over everything that holds much of it.
//!
//! A pure function of numbers; [`super::machine`] reads the machine's memory. The parts and the base never add up to more
//! than the total, so the process slows its work down before the kernel kills it.

const MIB: u64 = 1 << 20;

/// Code, threads, and other memory that no part accounts for. `Config::divide_memory` adds that of logins.
const BASE_BYTES: u64 = 48 * MIB;
/// One part in ten of the total is for memory that the allocator retains, and for the catalog.
const SLACK_SHARE: u64 = 10;

/// A consumer of memory that has a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Rows and deletes that are not flushed yet.
    Growing,
    /// Running merges.
    Merges,
    /// Running queries and their answers.
    Queries,
    /// Messages of calls in flight, as they arrive and decoded, and the queue of the log.
    Requests,
    /// Buffers in which flushes encode and write.
    Flushes,
    /// Caches of the catalog's file and of filters over keys.
    Caches,
    /// Decoded vectors of flushed segments, kept for searches.
    Vectors,
}

/// Memory limits as they were set, in bytes. Zero: the part gets a share of the total.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryConfig {
    /// Memory of the process. Zero: the limit of its cgroup, or a share of the machine.
    pub limit_bytes: u64,
    /// Growing segments are sealed, largest first, while they hold more than this together. Writers wait at twice that.
    pub growing_bytes: u64,
    pub merges_bytes: u64,
    pub queries_bytes: u64,
    pub requests_bytes: u64,
    pub flushes_bytes: u64,
    pub caches_bytes: u64,
    pub vectors_bytes: u64,
    /// Lets the allocator take huge pages, unless the process has little memory.
    pub huge_pages: bool,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            limit_bytes: 0,
            growing_bytes: 0,
            merges_bytes: 0,
            queries_bytes: 0,
            requests_bytes: 0,
            flushes_bytes: 0,
            caches_bytes: 0,
            vectors_bytes: 0,
            huge_pages: true,
        }
    }
}

impl MemoryConfig {
    /// The limit of one part.
    pub fn of(&self, part: Part) -> u64 {
        match part {
            Part::Growing => self.growing_bytes,
            Part::Merges => self.merges_bytes,
            Part::Queries => self.queries_bytes,
            Part::Requests => self.requests_bytes,
            Part::Flushes => self.flushes_bytes,
            Part::Caches => self.caches_bytes,
            Part::Vectors => self.vectors_bytes,
        }
    }
}

/// How the share of a part is computed.
struct ShareRule {
    part: Part,
    key: &'static str,
    /// Share of the memory that the parts without a setting divide, relative to their other weights.
    weight: u64,
    least: u64,
    most: u64,
    /// The part may hold this many times its setting.
    times: u64,
}

/// Growing segments are sealed at the setting. Writers wait only at twice that, so that they can go on during the flush.
pub(super) const GROWING_TIMES: u64 = 2;

const RULES: [ShareRule; 7] = [
    ShareRule {
        part: Part::Growing,
        key: "datacoord.ingest.memoryLimit",
        weight: 36,
        least: 32 * MIB,
        most: 2048 * MIB,
        times: GROWING_TIMES,
    },
    ShareRule {
        part: Part::Merges,
        key: "datacoord.compaction.memoryLimit",
        weight: 16,
        least: 16 * MIB,
        most: 256 * MIB,
        times: 1,
    },
    ShareRule {
        part: Part::Queries,
        key: "datacoord.query.memoryLimit",
        weight: 14,
        least: 8 * MIB,
        most: 1024 * MIB,
        times: 1,
    },
    ShareRule {
        part: Part::Requests,
        key: "datacoord.grpc.memoryLimit",
        weight: 16,
        least: 16 * MIB,
        most: 512 * MIB,
        times: 1,
    },
    ShareRule {
        part: Part::Flushes,
        key: "datacoord.flush.memoryLimit",
        weight: 12,
        least: 12 * MIB,
        most: 384 * MIB,
        times: 1,
    },
    ShareRule {
        part: Part::Caches,
        key: "datacoord.cache.memoryLimit",
        weight: 6,
        least: 4 * MIB,
        most: 128 * MIB,
        times: 1,
    },
    ShareRule {
        part: Part::Vectors,
        key: "datacoord.vectorCache.memoryLimit",
        weight: 12,
        least: 8 * MIB,
        most: 4096 * MIB,
        times: 1,
    },
];

impl Part {
    pub const ALL: [Self; 7] =
        [Self::Growing, Self::Merges, Self::Queries, Self::Requests, Self::Flushes, Self::Caches, Self::Vectors];

    /// Value of the label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Growing => "growing",
            Self::Merges => "merges",
            Self::Queries => "queries",
            Self::Requests => "requests",
            Self::Flushes => "flushes",
            Self::Caches => "caches",
            Self::Vectors => "vectors",
        }
    }

    /// The setting that limits this part.
    pub fn key(self) -> &'static str {
        RULES.iter().find(|rule| rule.part == self).map_or("", |rule| rule.key)
    }
}

/// The total and the limit of each part, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    pub total: u64,
    /// Belongs to no part.
    pub base: u64,
    pub growing: u64,
    pub merges: u64,
    pub queries: u64,
    pub requests: u64,
    pub flushes: u64,
    pub caches: u64,
    pub vectors: u64,
}

impl Default for Division {
    /// The shares on a machine with plenty of memory.
    fn default() -> Self {
        let mut division = Self {
            total: 0,
            base: 0,
            growing: 0,
            merges: 0,
            queries: 0,
            requests: 0,
            flushes: 0,
            caches: 0,
            vectors: 0,
        };
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
            Part::Vectors => &mut self.vectors,
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
    /// In MB.
    pub total: u64,
    /// In MB.
    pub base: u64,
    /// In MB: the least that the parts without a setting need.
    pub least: u64,
    /// Settings that were given, each with the MB that it takes.
    pub fixed: Vec<(&'static str, u64)>,
}

fn fixed_text(fixed: &[(&'static str, u64)]) -> String {
    fixed.iter().map(|(key, mib)| format!(", {key} takes {mib} MB")).collect()
}

/// Divides `total` bytes. A part with a setting gets exactly that. The others divide the rest by their weights; each gets
/// at least its minimum and at most its maximum.
///
/// # Errors
/// `DoesNotFit` when the base, the settings and the minimums of the other parts exceed the total.
pub(super) fn divide(total: u64, settings: &MemoryConfig) -> Result<Division, DoesNotFit> {
    let base = base(total);
    let mut division = Division { total, base, ..Division::default() };
    let mut free: Vec<&ShareRule> = Vec::new();
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
    // A part whose share is outside its limits gets the limit, and the others divide the rest again. Parts below their
    // minimum come first, because raising them takes memory from the others.
    while !free.is_empty() {
        let weights: u64 = free.iter().map(|rule| rule.weight).sum();
        let share = |rule: &ShareRule| left / weights * rule.weight + left % weights * rule.weight / weights;
        let bound = |at: usize, rule: &ShareRule| {
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

    fn mib(division: &Division) -> [u64; 7] {
        Part::ALL.map(|part| division.of(part) / MIB)
    }

    /// Growing, merges, queries, requests, flushes, caches, vectors; in MB, rounded down.
    #[rstest]
    #[case::container_of_256(256, [58, 26, 22, 26, 19, 9, 19])]
    #[case::container_of_512(512, [132, 58, 51, 58, 44, 22, 44])]
    #[case::one_gigabyte(1024, [280, 124, 109, 124, 93, 46, 93])]
    #[case::eight_gigabytes(8192, [2048, 256, 1024, 512, 384, 128, 2972])]
    #[case::sixty_four_gigabytes(65_536, [2048, 256, 1024, 512, 384, 128, 4096])]
    fn shares_by_total(#[case] total_mib: u64, #[case] expected: [u64; 7]) {
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
        // A smaller setting leaves more for the others.
        let settings = MemoryConfig { growing_bytes: 16 * MIB, ..MemoryConfig::default() };
        assert!(divide(512 * MIB, &settings).unwrap().queries > without.queries);
    }

    #[test]
    fn too_little_memory_is_refused_with_numbers_and_keys() {
        let settings = MemoryConfig { growing_bytes: 1024 * MIB, ..MemoryConfig::default() };
        let text = divide(512 * MIB, &settings).unwrap_err().to_string();
        assert_eq!(
            text,
            "memory of 512 MB (datacoord.memory.limit, or else what the machine or its cgroup gives) is not enough: 99 MB \
             are for the process itself, 64 MB is the least for what is not set, datacoord.ingest.memoryLimit takes 2048 MB"
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
            Part::Vectors => &mut settings.vectors_bytes,
        }
    }

    proptest! {
        #[test]
        fn the_parts_never_add_up_to_more_than_the_total(
            total in 64u64..100_000,
            set in prop::collection::vec(prop::option::weighted(0.3, 1u64..3000), 7),
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

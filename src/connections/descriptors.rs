//! The limit of open descriptors, and how many of them connections may take.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for the log, the catalog, flushes and merges; connections must leave them.
const FOR_FILES: u64 = 512;
/// Connections that are allowed under any limit.
const LEAST_CONNECTIONS: usize = 16;
/// Default maximum when the limit of descriptors is high.
const MOST_CONNECTIONS: usize = 4096;
/// Approximate memory of an idle connection.
const CONNECTION_BYTES: u64 = 64 << 10;

/// Raises the soft limit of open descriptors to the hard limit; returns the limit.
pub fn raise_descriptor_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current.unwrap_or(u64::MAX);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, ?current, ?maximum, "the limit of open files stays as it is");
            current.unwrap_or(u64::MAX)
        }
    }
}

/// Most connections at once: the configured number if it is not zero, but never so many that files lack descriptors.
pub fn most_connections(configured: usize, descriptors: u64, memory_bytes: u64) -> usize {
    let files = FOR_FILES.min(descriptors / 2);
    let possible = usize::try_from(descriptors - files).unwrap_or(usize::MAX).max(LEAST_CONNECTIONS);
    match configured {
        0 => {
            let fit = usize::try_from(memory_bytes / CONNECTION_BYTES).unwrap_or(usize::MAX);
            possible.min(fit.clamp(LEAST_CONNECTIONS, MOST_CONNECTIONS))
        }
        set => set.min(possible),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plenty(0, 1 << 20, 512 << 20, 4096)]
    #[case::descriptors_decide(0, 1024, 512 << 20, 512)]
    #[case::memory_decides(0, 1 << 20, 28 << 20, 448)]
    #[case::configured(100, 1 << 20, 512 << 20, 100)]
    #[case::configured_beyond_what_is_possible(100_000, 20_000, 512 << 20, 19_488)]
    #[case::next_to_nothing(0, 40, 1, 16)]
    #[case::unlimited(0, u64::MAX, u64::MAX, 4096)]
    fn how_many(#[case] configured: usize, #[case] descriptors: u64, #[case] memory: u64, #[case] expected: usize) {
        assert_eq!(most_connections(configured, descriptors, memory), expected);
    }

    #[test]
    fn the_limit_of_this_process_is_raised() {
        let raised = raise_descriptor_limit();
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), raised);
    }
}

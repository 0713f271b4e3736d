//! The memory of this process: its division among the parts, and its use in the metrics.

use anyhow::Result;
use tracing::info;

use crate::{
    config::{Config, ConfigError, Part, machine},
    telemetry::Metrics,
};

const MIB: u64 = 1 << 20;

/// Divides the memory that the settings give, or else the machine. If neither is known, the defaults for a large
/// machine stay.
///
/// # Errors
/// Settings that together need more than the total.
pub fn divide(config: &mut Config) -> Result<(), ConfigError> {
    let (total, from) = match (config.memory.limit_bytes, machine::memory()) {
        (0, None) => return Ok(()),
        (0, Some(found)) => (found.bytes, found.from.display().to_string()),
        (set, _) => (set, "datacoord.memory.limit".to_owned()),
    };
    config.divide_memory(total).map_err(|error| ConfigError::Contradiction(error.to_string()))?;
    let budget = &config.budget;
    info!(
        total_mb = total / MIB,
        %from,
        base_mb = budget.base / MIB,
        growing_mb = budget.growing / MIB,
        merges_mb = budget.merges / MIB,
        queries_mb = budget.queries / MIB,
        requests_mb = budget.requests / MIB,
        flushes_mb = budget.flushes / MIB,
        caches_mb = budget.caches / MIB,
        vectors_mb = budget.vectors / MIB,
        "memory is divided"
    );
    Ok(())
}

/// A process with less memory takes no huge pages: a huge page stays resident while one byte of it is in use, and each of
/// some twenty threads holds a few such pages.
const HUGE_PAGES_FROM_BYTES: u64 = 2 << 30;

/// Turns huge pages off where the settings or the division of memory ask for it. Must run before other threads start:
/// they inherit the choice.
pub fn choose_page_size(config: &Config) {
    if config.memory.huge_pages && config.budget.total >= HUGE_PAGES_FROM_BYTES {
        return;
    }
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay as the system has them");
    }
}

/// Shows the limits of all parts.
pub(super) fn show_limits(metrics: &Metrics, config: &Config) {
    let limit = &metrics.memory.limit;
    limit.with(["total"]).set(config.budget.total as i64);
    limit.with(["base"]).set(config.budget.base as i64);
    for part in Part::ALL {
        limit.with([part.as_str()]).set(config.budget.of(part) as i64);
    }
}

/// Shows the memory of requests, which the coordinator does not know.
pub(super) fn show(metrics: &Metrics, requests_bytes: u64) {
    metrics.memory.used.with([Part::Requests.as_str()]).set(requests_bytes as i64);
}

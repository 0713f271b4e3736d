//! The variables by which a test chooses for this process.
//!
//! Must never: be compiled without the feature, or pass over a value that means nothing: the test would prove nothing.

use std::sync::OnceLock;

/// Names the breakage.
pub const PLANTED: &str = "DATACOORD_PLANTED";
/// Names the place of the kill, and after a colon how often it has to be reached.
pub const POINT: &str = "DATACOORD_POINT";
/// Moves the wall clock.
pub const CLOCK_SHIFT_MS: &str = "DATACOORD_CLOCK_SHIFT_MS";

/// A line in the log of a server that may be broken on purpose.
pub fn warn_if_chosen() {
    let [planted, point, clock_shift_ms] = [PLANTED, POINT, CLOCK_SHIFT_MS].map(|name| variable(name, Some));
    tracing::warn!(
        ?planted,
        ?point,
        ?clock_shift_ms,
        "built with planted-faults: for tests of the tests, never for data"
    );
}

/// Milliseconds that the wall clock is ahead of the machine's, on purpose.
pub fn clock_shift_ms() -> i64 {
    static SHIFT: OnceLock<i64> = OnceLock::new();
    *SHIFT.get_or_init(|| variable(CLOCK_SHIFT_MS, |text| text.parse().ok()).unwrap_or(0))
}

/// The meaning of a variable; none if it is not set.
#[expect(clippy::disallowed_methods, reason = "a test's switch, in builds for tests alone")]
pub(super) fn variable<T>(name: &str, meaning: impl FnOnce(String) -> Option<T>) -> Option<T> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    let meant = meaning(text.clone());
    if meant.is_none() {
        eprintln!("{name} has a value that means nothing in this build: {text:?}");
        std::process::exit(2);
    }
    meant
}

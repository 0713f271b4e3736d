//! Whether and when a failed attempt is repeated.

use std::time::Duration;

use crate::{config::WorkerConfig, error::ErrorKind};

/// Bounded attempts, doubling pauses.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryPolicy {
    max_attempts: u32,
    backoff: Duration,
}

/// The pause stops doubling here: a thousand times the first one.
const MAX_DOUBLINGS: u32 = 10;

impl RetryPolicy {
    pub(super) fn of(config: &WorkerConfig) -> Self {
        Self { max_attempts: config.max_attempts, backoff: config.retry_backoff }
    }

    /// True if attempt `number` must not begin. Attempts that a restart cut off count too: otherwise a plan that crashes the
    /// process would crash it after every start. The limit is twice the configured one, so that a few restarts fail no
    /// plan.
    pub(super) fn is_used_up(&self, number: u32) -> bool {
        number > self.max_attempts.max(1).saturating_mul(2)
    }

    /// When to try again after attempt `number` (from 1) failed; none: not at all.
    pub(super) fn next_ms(&self, kind: ErrorKind, number: u32, now_ms: u64) -> Option<u64> {
        // The scheduler asked for no stop, or it would ignore the answer: the worker gave up by itself.
        let retryable = kind.is_retryable() || kind == ErrorKind::Cancelled;
        if retryable { self.again_ms(number, now_ms) } else { None }
    }

    /// The same for an attempt whose worker died or hung: there is no kind of error that would rule another one out.
    pub(super) fn again_ms(&self, number: u32, now_ms: u64) -> Option<u64> {
        if number >= self.max_attempts {
            return None;
        }
        let pause = self.backoff.saturating_mul(1 << number.saturating_sub(1).min(MAX_DOUBLINGS));
        Some(now_ms.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::first(ErrorKind::Transient, 1, Some(1_500))]
    #[case::doubled(ErrorKind::Transient, 2, Some(2_000))]
    #[case::again(ErrorKind::Exhausted, 3, Some(3_000))]
    #[case::used_up(ErrorKind::Transient, 4, None)]
    #[case::beyond(ErrorKind::Transient, 5, None)]
    #[case::permanent(ErrorKind::Corrupt, 1, None)]
    #[case::outdated(ErrorKind::Conflict, 1, None)]
    #[case::deposed(ErrorKind::Fenced, 1, None)]
    #[case::defect(ErrorKind::Internal, 1, None)]
    #[case::worker_gave_up(ErrorKind::Cancelled, 1, Some(1_500))]
    fn doubles_until_used_up(#[case] kind: ErrorKind, #[case] number: u32, #[case] next_ms: Option<u64>) {
        let policy = RetryPolicy { max_attempts: 4, backoff: Duration::from_millis(500) };
        assert_eq!(policy.next_ms(kind, number, 1_000), next_ms);
    }

    #[test]
    fn an_attempt_without_an_answer_is_repeated_as_often() {
        let policy = RetryPolicy { max_attempts: 3, backoff: Duration::from_millis(500) };
        assert_eq!([1, 2, 3].map(|number| policy.again_ms(number, 1_000)), [Some(1_500), Some(2_000), None]);
    }

    #[test]
    fn restarts_are_allowed_for_but_not_for_ever() {
        let policy = RetryPolicy { max_attempts: 3, backoff: Duration::ZERO };
        assert_eq!([6, 7].map(|number| policy.is_used_up(number)), [false, true]);
    }

    #[test]
    fn the_pause_is_bounded() {
        let policy = RetryPolicy { max_attempts: u32::MAX, backoff: Duration::from_secs(1) };
        assert_eq!(policy.next_ms(ErrorKind::Transient, 1_000_000, 0), Some(1_024_000));
    }
}

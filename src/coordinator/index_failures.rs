//! Builds of indexes that failed for good: they are left alone, for a time or until a restart.
//!
//! Apart from the failures of merges, which go on with the segment. Must never hold up a build after a failure that may
//! pass for longer than a pause.

use std::{collections::HashMap, time::Duration};

use super::sync::Mutex;
use crate::model::{FailureKind, SegmentId};

/// After a failure that may pass, a build is made again.
const PAUSE: Duration = Duration::from_secs(300);

/// Builds that failed for good. In memory only: after a restart each is tried once more.
#[derive(Debug, Default)]
pub(super) struct IndexFailures {
    of: Mutex<HashMap<(SegmentId, i64), IndexFailure>>,
}

#[derive(Debug, Clone)]
struct IndexFailure {
    message: String,
    /// When it may be tried again, milliseconds since 1970; none: never.
    again_ms: Option<u64>,
}

impl IndexFailures {
    pub(super) fn note(&self, build: (SegmentId, i64), kind: FailureKind, message: &str, now_ms: u64) {
        let again_ms = kind.may_pass().then(|| now_ms.saturating_add(PAUSE.as_millis() as u64));
        self.of.lock().insert(build, IndexFailure { message: message.to_owned(), again_ms });
    }

    pub(super) fn holds(&self, build: (SegmentId, i64), now_ms: u64) -> bool {
        self.of.lock().get(&build).is_some_and(|failure| failure.again_ms.is_none_or(|again| now_ms < again))
    }

    pub(super) fn message(&self, build: (SegmentId, i64)) -> Option<String> {
        self.of.lock().get(&build).map(|failure| failure.message.clone())
    }

    pub(super) fn retain(&self, is_needed: impl Fn(SegmentId, i64) -> bool) {
        self.of.lock().retain(|(segment, index), _| is_needed(*segment, *index));
    }

    pub(super) fn forget(&self, build: (SegmentId, i64)) {
        self.of.lock().remove(&build);
    }
}

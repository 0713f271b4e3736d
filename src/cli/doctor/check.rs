//! A finding of the doctor.

use serde::{Serialize, Serializer};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckResult {
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work.
    Problem,
    /// It could not be checked.
    Skipped,
}

impl CheckResult {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
            Self::Skipped => "skipped",
        }
    }
}

impl Serialize for CheckResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) verdict: CheckResult,
    pub(super) text: String,
    /// The next step; empty if all is well.
    pub(super) advice: String,
}

impl Check {
    pub(super) fn new(
        name: &'static str,
        verdict: CheckResult,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { name, verdict, text: text.into(), advice: advice.into() }
    }

    pub(super) fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, CheckResult::Ok, text, "")
    }
}

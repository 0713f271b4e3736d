//! The caller of a call.

use std::sync::Arc;

/// A user that makes a call, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// None: the call carried no name.
    name: Option<Arc<str>>,
    is_verified: bool,
}

impl Caller {
    /// A user whose password was right.
    pub(super) fn verified(name: &str) -> Self {
        Self { name: Some(name.into()), is_verified: true }
    }

    /// While authorization is off: the name is the client's claim.
    pub(super) fn claimed(name: Option<&str>) -> Self {
        Self { name: name.map(Arc::from), is_verified: false }
    }

    /// A caller that nothing is known about.
    pub fn nobody() -> Self {
        Self::claimed(None)
    }

    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The name, if a password has proved it.
    pub fn proved_name(&self) -> Option<&str> {
        self.name().filter(|_| self.is_verified)
    }
}

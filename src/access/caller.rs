//! The caller of a call.

use std::sync::Arc;

/// A user that makes a call, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// None: the call carried no name.
    name: Option<Arc<str>>,
    /// The version of the password that proved it; none: nothing did.
    login: Option<u64>,
}

impl Caller {
    /// A user whose password, of this version, was right.
    pub(super) fn verified(name: &str, version: u64) -> Self {
        Self { name: Some(name.into()), login: Some(version) }
    }

    /// While authorization is off: the name is the client's claim.
    pub(super) fn claimed(name: Option<&str>) -> Self {
        Self { name: name.map(Arc::from), login: None }
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
        self.name().filter(|_| self.login.is_some())
    }

    /// The name and the version of the password that has proved it.
    pub(super) fn login(&self) -> Option<(&str, u64)> {
        self.name().zip(self.login)
    }
}

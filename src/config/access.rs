//! Settings of users: whether they are asked for, and limits on their names, passwords and numbers.

use std::fmt;

use super::secret::Secret;

/// The defaults are those of Milvus 2.3.5.
#[derive(Clone, PartialEq)]
pub struct AccessConfig {
    /// Callers need a user and its privileges.
    pub enabled: bool,
    /// Names of users, separated by commas, that may set a password without knowing the old one.
    pub super_users: String,
    /// Password of `root` until it is changed; empty: Milvus' own.
    pub root_password: Secret,
    pub min_password_length: usize,
    pub max_password_length: usize,
    pub max_username_length: usize,
    pub max_users: usize,
    pub max_roles: usize,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            super_users: String::new(),
            root_password: Secret::default(),
            min_password_length: 6,
            max_password_length: 256,
            max_username_length: 32,
            max_users: 100,
            max_roles: 10,
        }
    }
}

impl fmt::Debug for AccessConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessConfig").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

/// Memory of one hash of a password.
pub const HASH_BYTES: u64 = 7 << 20;

impl AccessConfig {
    /// Hashes that are computed at once: one while only calls about users need them.
    pub fn hashes_at_once(&self) -> usize {
        if self.enabled { 2 } else { 1 }
    }

    /// Memory that logins need beyond their room in the base of the process.
    pub(super) fn login_bytes(&self) -> u64 {
        if self.enabled { HASH_BYTES * self.hashes_at_once() as u64 } else { 0 }
    }

    pub fn is_super_user(&self, user: &str) -> bool {
        self.super_users.split(',').any(|name| name.trim() == user)
    }
}

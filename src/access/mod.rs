//! Users, roles and grants: which caller is known, and the rights of each.
//!
//! ```text
//!   edges ── credentials, peer ──▶ Gatekeeper ── is the password right? ──▶ Logins ── argon2, cache, back-off
//!     │                               │ what do the caller's roles allow? (decision)
//!     │                               ▼
//!     └── calls about users ──▶ Accounts ── check, one step of the catalog ──▶ AccountBook (users and roles in memory)
//! ```
//!
//! Users and roles are stored whether authorization is on or not; only the gatekeeper looks at the switch. `root` and the
//! roles `admin` and `public` exist without a record until they are changed: a first start writes nothing.
//!
//! Invariants:
//! 1. The book shows a change only after the catalog holds it (P1).
//! 2. A change of a password or the end of a user ends every login with the old password, cached or not.
//! 3. An unknown user costs as much time as a wrong password.
//! 4. A guess is counted before it is tried.
//!
//! Must never: keep or print a password in plain text, or know a wire format or a path of a method.

mod accounts;
mod book;
mod caller;
mod credentials;
mod decision;
mod error;
mod gatekeeper;
mod guesses;
mod logins;
mod names;
mod password;
mod waiting;

#[cfg(test)]
mod tests;

pub use accounts::{Accounts, GrantFilter, GrantRequest, Membership, Operation, RoleMembers, UserRoles};
pub use caller::Caller;
pub use credentials::Credentials;
pub use decision::Need;
pub use error::AccessFailure;
pub use gatekeeper::Gatekeeper;

//! The gatekeeper: lets a caller in, and allows or refuses its requests.
//!
//! While authorization is off everybody may do everything, and names are only the clients' claims.

use std::{future, net::IpAddr, sync::Arc};

use tracing::warn;

use super::{Caller, Credentials, Need, book::AccountBook, error::AccessFailure, logins::Logins};
use crate::{
    model::{
        AccessRefusal, ObjectType,
        access::{ANY, ROOT},
    },
    telemetry::Metrics,
};

/// Decides over callers. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Gatekeeper {
    is_on: bool,
    book: Arc<AccountBook>,
    logins: Arc<Logins>,
    metrics: Arc<Metrics>,
}

impl Gatekeeper {
    pub(super) fn new(is_on: bool, book: Arc<AccountBook>, logins: Arc<Logins>, metrics: Arc<Metrics>) -> Self {
        let gatekeeper = Self { is_on, book, logins, metrics };
        if gatekeeper.has_known_password() {
            warn!("user root has the password that everybody knows: change it (UpdateCredential) before others do");
        }
        gatekeeper
    }

    /// `common.security.authorizationEnabled`.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// True while authorization is on and `root` still has the password that everybody knows.
    pub fn has_known_password(&self) -> bool {
        self.is_on && self.book.user(ROOT).is_some_and(|root| root.is_well_known)
    }

    /// The caller of a call with these credentials. `peer` is where it comes from.
    ///
    /// # Errors
    /// The refusal. While authorization is off there is none.
    pub async fn authenticate(
        &self,
        presented: Result<Credentials, AccessRefusal>,
        peer: Option<IpAddr>,
    ) -> Result<Caller, AccessRefusal> {
        if !self.is_on {
            return Ok(Caller::claimed(presented.ok().as_ref().map(|credentials| credentials.user.as_str())));
        }
        let Credentials { user, password } = presented?;
        let current = self.book.password(&user);
        let version = current.as_ref().map(|current| current.version).unwrap_or_default();
        match self.logins.check(&user, &password, current, peer).await {
            Ok(()) => Ok(Caller::verified(&user, version)),
            Err(AccessFailure::Refused(refusal)) => {
                tracing::debug!(%user, ?peer, %refusal, "login refused");
                Err(refusal)
            }
            Err(error) => {
                tracing::error!(%user, %error, "a login failed");
                Err(AccessRefusal::WrongPassword)
            }
        }
    }

    /// For a call that goes on: returns once the password that let its caller in is another one, or the user is gone.
    /// Never returns for a caller that no password has proved, as while authorization is off.
    pub async fn login_ended(&self, caller: &Caller) -> AccessRefusal {
        let Some((user, version)) = caller.login() else { return future::pending().await };
        let mut changes = self.book.changes();
        while self.book.password(user).is_some_and(|current| current.version == version) {
            if changes.changed().await.is_err() {
                return future::pending().await;
            }
        }
        tracing::debug!(%user, "the login of a call that goes on has ended");
        AccessRefusal::WrongPassword
    }

    /// Refuses a caller without this privilege on the named object of the database. `name` is `*` for a call about all
    /// objects.
    ///
    /// # Errors
    /// `Denied`.
    pub fn permit(&self, caller: &Caller, need: Need, database: &str, name: &str) -> Result<(), AccessRefusal> {
        if self.allows(caller, need, database, name) {
            return Ok(());
        }
        let user = caller.proved_name().ok_or(AccessRefusal::NotLookedAt)?;
        self.metrics.access.denied.inc();
        tracing::debug!(%user, privilege = need.privilege.as_str(), database, name, "denied");
        Err(AccessRefusal::Denied { privilege: need.privilege, user: user.to_owned() })
    }

    /// Whether [`Self::permit`] would permit it. No request is refused by this, so none is counted.
    pub fn allows(&self, caller: &Caller, need: Need, database: &str, name: &str) -> bool {
        if !self.is_on {
            return true;
        }
        let Some(user) = caller.proved_name() else { return false };
        let is_own = need.object == ObjectType::User && name == user && name != ANY;
        user == ROOT || is_own || self.book.allows(user, need, database, name)
    }

    /// Whether [`Self::permit_admin`] would permit it.
    pub fn allows_admin(&self, caller: &Caller) -> bool {
        !self.is_on || caller.proved_name().is_some_and(|user| self.book.is_admin(user))
    }

    /// Refuses everybody but `root` and the members of `admin`.
    ///
    /// # Errors
    /// `NoAdmin`.
    pub fn permit_admin(&self, caller: &Caller) -> Result<(), AccessRefusal> {
        if self.allows_admin(caller) {
            return Ok(());
        }
        let user = caller.proved_name().ok_or(AccessRefusal::NotLookedAt)?;
        self.metrics.access.denied.inc();
        Err(AccessRefusal::NoAdmin { user: user.to_owned() })
    }
}

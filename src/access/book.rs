//! Users and roles in memory, as the catalog has them, with those that exist without a record.
//!
//! Must never: show a change before it is durable; only the steps of [`super::accounts`] change it.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use tokio::sync::watch;

use super::{
    decision::{self, Need},
    logins::{CurrentPassword, LoginSecret},
};
use crate::model::{
    Grant, Granted, ObjectType, Privilege, Role, RoleId, User,
    access::{ADMIN, ANY, PUBLIC, ROOT, ROOT_PASSWORD},
};

/// Ids of the roles that exist from the beginning. Ids that are given out are larger.
const ADMIN_ID: RoleId = RoleId(1);
const PUBLIC_ID: RoleId = RoleId(2);

/// A user and the version of its password.
#[derive(Debug, Clone)]
struct StoredUser {
    user: User,
    password: CurrentPassword,
}

#[derive(Debug, Default)]
struct StoredAccounts {
    accounts: BTreeMap<String, StoredUser>,
    roles: BTreeMap<String, Role>,
    versions: u64,
}

/// All users and roles.
pub(super) struct AccountBook {
    state: RwLock<StoredAccounts>,
    root_password: Arc<str>,
    /// Told of every user that is changed or goes.
    changed: watch::Sender<()>,
}

impl std::fmt::Debug for AccountBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountBook").field("state", &self.state).finish_non_exhaustive()
    }
}

impl AccountBook {
    /// `root_password` is that of `root` until it is changed.
    pub(super) fn of(users: Vec<User>, roles: Vec<Role>, root_password: &str) -> Self {
        let changed = watch::Sender::default();
        let book = Self { state: RwLock::default(), root_password: root_password.into(), changed };
        let root = User {
            name: ROOT.to_owned(),
            password: None,
            is_well_known: root_password == ROOT_PASSWORD,
            roles: Vec::new(),
        };
        for user in [root].into_iter().chain(users) {
            // A record of root without a password has only its roles.
            let is_well_known =
                if user.password.is_none() { root_password == ROOT_PASSWORD } else { user.is_well_known };
            book.put_user(User { is_well_known, ..user });
        }
        for role in default_roles().into_iter().chain(roles) {
            book.put_role(role);
        }
        book
    }

    pub(super) fn user(&self, name: &str) -> Option<User> {
        self.state.read().accounts.get(name).map(|account| account.user.clone())
    }

    pub(super) fn password(&self, name: &str) -> Option<CurrentPassword> {
        self.state.read().accounts.get(name).map(|account| account.password.clone())
    }

    /// Ascending by name.
    pub(super) fn users(&self) -> Vec<User> {
        self.state.read().accounts.values().map(|account| account.user.clone()).collect()
    }

    pub(super) fn role(&self, name: &str) -> Option<Role> {
        self.state.read().roles.get(name).cloned()
    }

    /// Ascending by name.
    pub(super) fn roles(&self) -> Vec<Role> {
        self.state.read().roles.values().cloned().collect()
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.read();
        (state.accounts.len(), state.roles.len())
    }

    /// True if the roles of the user allow it.
    pub(super) fn allows(&self, user: &str, need: Need, database: &str, name: &str) -> bool {
        let state = self.state.read();
        let Some(account) = state.accounts.get(user) else { return false };
        let roles =
            || state.roles.values().filter(|role| role.id == PUBLIC_ID || account.user.roles.contains(&role.id));
        if roles().any(|role| role.id == ADMIN_ID) {
            return true;
        }
        decision::allows(roles().flat_map(|role| &role.grants), need, database, name)
    }

    pub(super) fn is_admin(&self, user: &str) -> bool {
        let state = self.state.read();
        state.accounts.get(user).is_some_and(|account| user == ROOT || account.user.roles.contains(&ADMIN_ID))
    }

    /// For a step only, after its commit.
    pub(super) fn put_user(&self, user: User) {
        let mut state = self.state.write();
        state.versions += 1;
        let secret = match &user.password {
            Some(hash) => LoginSecret::Hash(Arc::new(hash.clone())),
            None => LoginSecret::Default(Arc::clone(&self.root_password)),
        };
        // A login stays valid while the password does.
        let kept = state.accounts.get(&user.name).filter(|old| old.user.password == user.password);
        let version = kept.map_or(state.versions, |old| old.password.version);
        state.accounts.insert(user.name.clone(), StoredUser { user, password: CurrentPassword { secret, version } });
        self.changed.send_replace(());
    }

    /// For a step only, after its commit.
    pub(super) fn remove_user(&self, name: &str) {
        self.state.write().accounts.remove(name);
        self.changed.send_replace(());
    }

    /// Told after every change of a user.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// For a step only, after its commit.
    pub(super) fn put_role(&self, role: Role) {
        self.state.write().roles.insert(role.name.clone(), role);
    }

    /// For a step only, after its commit.
    pub(super) fn remove_role(&self, name: &str) {
        self.state.write().roles.remove(name);
    }
}

/// `admin`, and `public` with the grants that Milvus gives it.
fn default_roles() -> [Role; 2] {
    let grant = |object, privilege| Grant {
        database: ANY.to_owned(),
        object,
        name: ANY.to_owned(),
        privilege: Granted::One(privilege),
        grantor: ROOT.to_owned(),
    };
    let grants = vec![
        grant(ObjectType::Collection, Privilege::IndexDetail),
        grant(ObjectType::Global, Privilege::DescribeCollection),
        grant(ObjectType::Global, Privilege::ShowCollections),
    ];
    [
        Role { id: ADMIN_ID, name: ADMIN.to_owned(), grants: Vec::new() },
        Role { id: PUBLIC_ID, name: PUBLIC.to_owned(), grants },
    ]
}

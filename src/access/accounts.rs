//! Calls about users, roles and grants: checks by the rules of Milvus, and one step of the catalog for each change.
//!
//! One change at a time. Passwords arrive as SDKs send them, in base64, and are hashed before the turn is taken.

use std::{net::IpAddr, sync::Arc};

use base64::{DecodeError, Engine as _, engine::general_purpose::STANDARD};
use tokio::sync::OwnedMutexGuard;
use tracing::info;

use super::{AccessFailure, Caller, Gatekeeper, book::AccountBook, logins::Logins, names};
use crate::{
    clock::Clock,
    config::AccessConfig,
    coordinator::Coordinator,
    ids::IdAllocator,
    meta::CatalogTxn,
    model::{
        AccessError, AccessRefusal, Grant, Granted, ObjectType, Privilege, Role, RoleId, User,
        access::{ADMIN, ANY, PUBLIC, ROOT, ROOT_PASSWORD},
        access_error::{AccessCall, NamedThing, PasswordField},
        collection::DEFAULT_DATABASE,
    },
    telemetry::Metrics,
};

/// Grants of one role. Each change of a role writes its whole record.
const MOST_GRANTS: usize = 10_000;

/// The role of a user comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    Add,
    Remove,
    /// A number that means nothing.
    Unknown(i32),
}

/// A grant comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Grant,
    Revoke,
    /// A number that means nothing.
    Unknown(i32),
}

/// A privilege on an object, by the names that the client gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantRequest<'a> {
    pub role: &'a str,
    pub object_type: &'a str,
    pub object: &'a str,
    pub privilege: &'a str,
    /// Empty: the default one.
    pub database: &'a str,
}

/// Which grants of a role to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantFilter<'a> {
    pub role: &'a str,
    /// Object type and object.
    pub object: Option<(&'a str, &'a str)>,
    /// Empty: the default one. Grants in every database are listed with any.
    pub database: &'a str,
}

/// A user and the names of its roles, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRoles {
    pub user: String,
    pub roles: Vec<String>,
}

/// A role and the names of the users that have it, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleMembers {
    pub role: String,
    pub users: Vec<String>,
}

/// Users, roles and grants of one process.
pub struct Accounts {
    book: Arc<AccountBook>,
    logins: Arc<Logins>,
    gatekeeper: Gatekeeper,
    coordinator: Arc<Coordinator>,
    ids: Arc<IdAllocator>,
    settings: AccessConfig,
    longest_name: usize,
    /// Serialises changes.
    changes: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("gatekeeper", &self.gatekeeper).finish_non_exhaustive()
    }
}

impl Accounts {
    /// `users` and `roles` are those of the catalog.
    pub fn new(
        coordinator: Arc<Coordinator>,
        ids: Arc<IdAllocator>,
        (clock, metrics): (Arc<dyn Clock>, Arc<Metrics>),
        (users, roles): (Vec<User>, Vec<Role>),
    ) -> Self {
        let settings = coordinator.config().access.clone();
        let longest_name = coordinator.config().limits.max_name_length;
        let root_password = Some(settings.root_password.expose()).filter(|text| !text.is_empty());
        let book = Arc::new(AccountBook::of(users, roles, root_password.unwrap_or(ROOT_PASSWORD)));
        let logins = Arc::new(Logins::new(settings.hashes_at_once(), clock, Arc::clone(&metrics)));
        let gatekeeper = Gatekeeper::new(settings.enabled, Arc::clone(&book), Arc::clone(&logins), metrics);
        Self { book, logins, gatekeeper, coordinator, ids, settings, longest_name, changes: Arc::default() }
    }

    pub fn gatekeeper(&self) -> &Gatekeeper {
        &self.gatekeeper
    }

    pub async fn create_user(&self, name: &str, password: &str) -> Result<(), AccessFailure> {
        names::check_user(name, self.settings.max_username_length)?;
        let password = self.new_password(PasswordField::Created, password)?;
        // Before the hash, which is expensive, and once more in the turn.
        self.check_new_user(name)?;
        let is_well_known = name == ROOT && password == ROOT_PASSWORD;
        let hash = self.logins.hash(password).await?;
        let turn = self.turn().await;
        self.check_new_user(name)?;
        let user = User { name: name.to_owned(), password: Some(hash), is_well_known, roles: Vec::new() };
        self.store_user(turn, user).await?;
        info!(user = name, "user created");
        Ok(())
    }

    fn check_new_user(&self, name: &str) -> Result<(), AccessError> {
        let most = self.settings.max_users;
        if self.book.counts().0 >= most {
            return Err(AccessError::TooManyUsers { most });
        }
        match self.book.user(name) {
            Some(_) => Err(AccessError::UserExists(name.to_owned())),
            None => Ok(()),
        }
    }

    /// A proved caller that is named in `common.security.superUsers` need not know the old password.
    pub async fn update_password(
        &self,
        (caller, peer): (&Caller, Option<IpAddr>),
        name: &str,
        (old, new): (&str, &str),
    ) -> Result<(), AccessFailure> {
        let old = decoded(PasswordField::Old, old)?;
        let new = self.new_password(PasswordField::New, new)?;
        let is_super = caller.proved_name().is_some_and(|caller| self.settings.is_super_user(caller));
        if is_super {
            self.existing(name, AccessCall::UpdateUser)?;
        } else {
            self.check_old_password(name, &old, peer).await?;
        }
        let is_well_known = name == ROOT && new == ROOT_PASSWORD;
        let hash = self.logins.hash(new).await?;
        let turn = self.turn().await;
        let user = self.existing(name, AccessCall::UpdateUser)?;
        if !is_super {
            // Somebody else may have changed it meanwhile. Cached, unless that is so.
            self.check_old_password(name, &old, peer).await?;
        }
        self.store_user(turn, User { password: Some(hash), is_well_known, ..user }).await?;
        info!(user = name, "password changed");
        Ok(())
    }

    async fn check_old_password(&self, name: &str, old: &str, peer: Option<IpAddr>) -> Result<(), AccessFailure> {
        match self.logins.check(name, old, self.book.password(name), peer).await {
            Err(AccessFailure::Refused(AccessRefusal::WrongPassword)) => {
                Err(AccessError::WrongOldPassword(name.to_owned()).into())
            }
            other => other,
        }
    }

    /// An unknown user is no error.
    pub async fn delete_user(&self, name: &str) -> Result<(), AccessFailure> {
        if name == ROOT {
            return Err(AccessError::RootStays.into());
        }
        if name.is_empty() {
            return Err(AccessError::NamelessUser.into());
        }
        let turn = self.turn().await;
        if self.book.user(name).is_none() {
            return Ok(());
        }
        let (book, gone) = (Arc::clone(&self.book), name.to_owned());
        let write = |txn: &mut CatalogTxn| {
            txn.delete_user(name);
        };
        self.coordinator.redefine(turn, write, move |_| book.remove_user(&gone)).await?;
        info!(user = name, "user deleted");
        Ok(())
    }

    /// Ascending.
    pub fn user_names(&self) -> Vec<String> {
        self.book.users().into_iter().map(|user| user.name).collect()
    }

    pub async fn create_role(&self, name: &str) -> Result<(), AccessFailure> {
        names::check(NamedThing::Role, name, self.longest_name)?;
        let turn = self.turn().await;
        if self.book.role(name).is_some() {
            return Err(AccessError::RoleExists(name.to_owned()).into());
        }
        let most = self.settings.max_roles;
        if self.book.counts().1 >= most {
            return Err(AccessError::TooManyRoles { most }.into());
        }
        let id = RoleId(self.ids.next().await?);
        self.store_role(turn, Role { id, name: name.to_owned(), grants: Vec::new() }).await
    }

    /// A role that has grants in the default database stays, unless `force` is set. All its grants go with it.
    pub async fn drop_role(&self, name: &str, force: bool) -> Result<(), AccessFailure> {
        names::check(NamedThing::Role, name, self.longest_name)?;
        if [ADMIN, PUBLIC].contains(&name) {
            return Err(AccessError::DefaultRoleStays(name.to_owned()).into());
        }
        let turn = self.turn().await;
        let role = self.existing_role(name, AccessCall::DropRole)?;
        if !force && role.grants.iter().any(|grant| grant.database == DEFAULT_DATABASE) {
            return Err(AccessError::RoleHasGrants.into());
        }
        let (book, gone) = (Arc::clone(&self.book), name.to_owned());
        let write = |txn: &mut CatalogTxn| {
            txn.delete_role(name);
        };
        Ok(self.coordinator.redefine(turn, write, move |_| book.remove_role(&gone)).await?)
    }

    /// Gives a user a role or takes it away. Already as asked is no error.
    pub async fn operate_user_role(&self, user: &str, role: &str, what: Membership) -> Result<(), AccessFailure> {
        names::check_user(user, self.settings.max_username_length)?;
        names::check(NamedThing::Role, role, self.longest_name)?;
        let turn = self.turn().await;
        let role = self.existing_role(role, AccessCall::OperateUserRole)?.id;
        let found = self.existing(user, AccessCall::OperateUserRole);
        let mut user = match (found, what) {
            (Err(_), Membership::Remove) => return Ok(()),
            (found, _) => found?,
        };
        match what {
            Membership::Add if user.roles.contains(&role) => return Ok(()),
            Membership::Add => user.roles.push(role),
            Membership::Remove if !user.roles.contains(&role) => return Ok(()),
            Membership::Remove => user.roles.retain(|id| *id != role),
            Membership::Unknown(number) => return Err(AccessError::UnknownMembership(number).into()),
        }
        // Ids of dropped roles go with the next change.
        let roles = self.book.roles();
        user.roles.retain(|id| roles.iter().any(|role| role.id == *id));
        self.store_user(turn, user).await
    }

    /// All roles, or the named one if it exists.
    pub fn select_roles(&self, name: Option<&str>, with_users: bool) -> Result<Vec<RoleMembers>, AccessFailure> {
        if let Some(name) = name {
            names::check(NamedThing::Role, name, self.longest_name)?;
        }
        let users = if with_users { self.book.users() } else { Vec::new() };
        let members = |id: RoleId| users.iter().filter(move |u| u.roles.contains(&id)).map(|u| u.name.clone());
        let roles = self.book.roles().into_iter().filter(|role| name.is_none_or(|name| role.name == name));
        Ok(roles.map(|role| RoleMembers { users: members(role.id).collect(), role: role.name }).collect())
    }

    /// All users, or the named one if it exists.
    pub fn select_users(&self, name: Option<&str>, with_roles: bool) -> Result<Vec<UserRoles>, AccessFailure> {
        if let Some(name) = name {
            names::check_user(name, self.settings.max_username_length)?;
        }
        let roles = if with_roles { self.book.roles() } else { Vec::new() };
        let of = |user: &User| {
            roles.iter().filter(|role| user.roles.contains(&role.id)).map(|role| role.name.clone()).collect()
        };
        let users = self.book.users().into_iter().filter(|user| name.is_none_or(|name| user.name == name));
        Ok(users.map(|user| UserRoles { roles: of(&user), user: user.name }).collect())
    }

    /// Gives a role a privilege or takes it away. Already as asked is no error.
    pub async fn operate_privilege(
        &self,
        caller: &Caller,
        request: GrantRequest<'_>,
        operation: Operation,
    ) -> Result<(), AccessFailure> {
        let call = AccessCall::OperatePrivilege;
        names::check_or_any(NamedThing::Privilege, request.privilege, self.longest_name)?;
        names::check(NamedThing::ObjectType, request.object_type, self.longest_name)?;
        names::check_or_any(NamedThing::Object, request.object, self.longest_name)?;
        names::check(NamedThing::Role, request.role, self.longest_name)?;
        let database = if request.database.is_empty() { DEFAULT_DATABASE } else { request.database };
        names::check_or_any(NamedThing::Database, database, self.longest_name)?;
        let grantor = caller.name().ok_or(AccessError::NoGrantor)?;
        if let Operation::Unknown(number) = operation {
            return Err(AccessError::UnknownGrantOperation(number).into());
        }
        let object = object_type(request.object_type, call)?;
        let turn = self.turn().await;
        let mut role = self.existing_role(request.role, call)?;
        self.existing(grantor, call)?;
        let grant = Grant {
            database: database.to_owned(),
            object,
            // The server is one object.
            name: if object == ObjectType::Global { ANY } else { request.object }.to_owned(),
            privilege: granted(object, request.privilege)?,
            grantor: grantor.to_owned(),
        };
        let before = role.grants.len();
        let is_there = role.grants.iter().any(|other| other.is_same(&grant));
        match operation {
            Operation::Grant if is_there => return Ok(()),
            Operation::Grant if before >= MOST_GRANTS => {
                return Err(AccessError::TooManyGrants { role: role.name, most: MOST_GRANTS }.into());
            }
            Operation::Grant => role.grants.push(grant),
            _ if !is_there => return Ok(()),
            _ => role.grants.retain(|other| !other.is_same(&grant)),
        }
        self.store_role(turn, role).await
    }

    /// In the order in which Milvus lists them: by object type, database, object and privilege.
    pub fn select_grants(&self, filter: GrantFilter<'_>) -> Result<Vec<Grant>, AccessFailure> {
        let call = AccessCall::SelectGrant;
        if let Some((object_type, object)) = filter.object {
            names::check(NamedThing::ObjectType, object_type, self.longest_name)?;
            names::check_or_any(NamedThing::Object, object, self.longest_name)?;
        }
        names::check(NamedThing::Role, filter.role, self.longest_name)?;
        let role = self.existing_role(filter.role, call)?;
        let wanted =
            filter.object.map(|(kind, name)| Ok::<_, AccessError>((object_type(kind, call)?, name))).transpose()?;
        let database = if filter.database.is_empty() { DEFAULT_DATABASE } else { filter.database };
        let mut grants = role.grants;
        grants.retain(|grant| {
            let is_wanted = wanted.is_none_or(|(kind, name)| grant.object == kind && grant.name == name);
            is_wanted && (grant.database == database || grant.database == ANY)
        });
        let key = |g: &Grant| (g.object.as_str(), g.database.clone(), g.name.clone(), g.privilege.as_str());
        grants.sort_by(|a, b| key(a).cmp(&key(b)));
        Ok(grants)
    }

    async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.changes).lock_owned().await
    }

    fn existing(&self, user: &str, call: AccessCall) -> Result<User, AccessError> {
        self.book.user(user).ok_or(AccessError::AccessUserNotFound(call))
    }

    fn existing_role(&self, role: &str, call: AccessCall) -> Result<Role, AccessError> {
        self.book.role(role).ok_or(AccessError::RoleNotFound(call))
    }

    async fn store_user(&self, turn: OwnedMutexGuard<()>, user: User) -> Result<(), AccessFailure> {
        let (book, stored) = (Arc::clone(&self.book), user.clone());
        let write = |txn: &mut CatalogTxn| {
            txn.put_user(&stored);
        };
        Ok(self.coordinator.redefine(turn, write, move |_| book.put_user(user)).await?)
    }

    async fn store_role(&self, turn: OwnedMutexGuard<()>, role: Role) -> Result<(), AccessFailure> {
        let (book, stored) = (Arc::clone(&self.book), role.clone());
        let write = |txn: &mut CatalogTxn| {
            txn.put_role(&stored);
        };
        Ok(self.coordinator.redefine(turn, write, move |_| book.put_role(role)).await?)
    }

    fn new_password(&self, field: PasswordField, base64: &str) -> Result<String, AccessError> {
        let password = decoded(field, base64)?;
        let (least, most) = (self.settings.min_password_length, self.settings.max_password_length);
        if !(least..=most).contains(&password.len()) {
            return Err(AccessError::PasswordLength { bytes: password.len(), least, most });
        }
        Ok(password)
    }
}

fn object_type(name: &str, call: AccessCall) -> Result<ObjectType, AccessError> {
    ObjectType::parse(name).ok_or_else(|| AccessError::UnknownObjectType { call, name: name.to_owned() })
}

fn granted(object: ObjectType, name: &str) -> Result<Granted, AccessError> {
    if name == ANY {
        return Ok(Granted::Every);
    }
    let privilege = Privilege::parse(name).filter(|privilege| object.privileges().contains(privilege));
    privilege.map(Granted::One).ok_or_else(|| AccessError::UnknownPrivilege(name.to_owned()))
}

/// The text of a password that was sent in base64.
fn decoded(field: PasswordField, base64: &str) -> Result<String, AccessError> {
    let wrong = |at| AccessError::PasswordNotBase64 { field, at };
    let bytes = STANDARD.decode(base64).map_err(|error| match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol { offset: at, .. } => wrong(at),
        _ => wrong(base64.len()),
    })?;
    String::from_utf8(bytes).map_err(|_| wrong(0))
}

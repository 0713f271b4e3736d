//! Mistakes in calls about users, and reasons to refuse a caller, as values. `wire::status` has Milvus' words and codes.

use std::time::Duration;

use super::Privilege;
use crate::error::{Classify, ErrorKind};

/// A call about users, roles or grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessCall {
    CreateUser,
    UpdateUser,
    DeleteUser,
    CreateRole,
    DropRole,
    OperateUserRole,
    OperatePrivilege,
    SelectGrant,
}

/// A text of a request that names something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedThing {
    Role,
    /// The object of a grant.
    Object,
    ObjectType,
    Privilege,
    Database,
}

/// Why a name is refused. Bytes are those of its UTF-8 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessNameFault {
    Empty,
    TooLong { bytes: usize, most: usize },
    First(u8),
    Character { byte: u8, at: usize },
}

/// The password of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordField {
    /// Of a new user.
    Created,
    Old,
    New,
}

/// A part of a request for a grant that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantPart {
    /// The grant itself, when one is made or taken back.
    Operated,
    /// The grant itself, when grants are listed.
    Selected,
    Grantor,
    Privilege,
    Object,
    /// The role, when a grant is made or taken back.
    Role,
    /// The role, when grants are listed.
    SelectedRole,
}

/// A mistake of the client in a call about users, roles or grants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    #[error("user name {name:?}: {fault:?}")]
    BadUserName { name: String, fault: AccessNameFault },
    #[error("name of a {what:?}: {fault:?}")]
    BadName { what: NamedThing, fault: AccessNameFault },
    #[error("the password has {bytes} bytes, expected {least} to {most}")]
    PasswordLength { bytes: usize, least: usize, most: usize },
    #[error("the password ({field:?}) is not base64, from byte {at}")]
    PasswordNotBase64 { field: PasswordField, at: usize },
    #[error("user {0} exists")]
    UserExists(String),
    #[error("there are {most} users already (proxy.maxUserNum)")]
    TooManyUsers { most: usize },
    #[error("the old password of {0} is another one")]
    WrongOldPassword(String),
    #[error("root can't be deleted")]
    RootStays,
    #[error("a user without a name can't be deleted")]
    NamelessUser,
    #[error("role {0} exists")]
    RoleExists(String),
    #[error("there are {most} roles already (proxy.maxRoleNum)")]
    TooManyRoles { most: usize },
    #[error("there is no such role")]
    RoleNotFound(AccessCall),
    #[error("there is no such user")]
    AccessUserNotFound(AccessCall),
    #[error("{0} is a default role and can't be dropped")]
    DefaultRoleStays(String),
    #[error("the role has grants")]
    RoleHasGrants,
    #[error("there is no operation {0} on the roles of a user")]
    UnknownMembership(i32),
    #[error("there is no operation {0} on grants")]
    UnknownGrantOperation(i32),
    #[error("{0:?} is missing in the request for a grant")]
    Missing(GrantPart),
    #[error("there is no object type {name}")]
    UnknownObjectType { call: AccessCall, name: String },
    #[error("{0} can't be granted on such an object")]
    UnknownPrivilege(String),
    #[error("the call does not say which user makes the grant")]
    NoGrantor,
    #[error("role {role} has {most} grants already")]
    TooManyGrants { role: String, most: usize },
}

impl Classify for AccessError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::UserExists(_) | Self::RoleExists(_) => ErrorKind::Conflict,
            Self::TooManyUsers { .. } | Self::TooManyRoles { .. } | Self::TooManyGrants { .. } => {
                ErrorKind::Precondition
            }
            Self::RootStays | Self::DefaultRoleStays(_) | Self::RoleHasGrants => ErrorKind::Precondition,
            Self::RoleNotFound(_) | Self::AccessUserNotFound(_) => ErrorKind::NotFound,
            _ => ErrorKind::Invalid,
        }
    }
}

/// Why a caller gets no further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessRefusal {
    #[error("no credentials")]
    NoCredentials,
    #[error("credentials that can't be read")]
    Malformed,
    /// Tokens without a colon are API keys for Milvus; there are none here.
    #[error("an API key")]
    ApiKey,
    /// No such user, or another password: a caller can't tell which.
    #[error("wrong user or password")]
    WrongPassword,
    #[error("too many failed logins, next one in {wait:?}")]
    TooManyGuesses { wait: Duration },
    #[error("too many logins at once")]
    Busy,
    #[error("{user} has no privilege {}", privilege.as_str())]
    Denied { privilege: Privilege, user: String },
    /// The call is for the role `admin` only.
    #[error("{user} is no admin")]
    NoAdmin { user: String },
    /// A defect: the call reached its handler without having been looked at.
    #[error("the call was not authenticated")]
    NotLookedAt,
}

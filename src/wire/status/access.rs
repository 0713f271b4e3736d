//! Mistakes in calls about users, and refusals of callers, in Milvus' words and codes.

use std::fmt::Display;

use super::{Code, common, unexpected};
use crate::{
    error::cut,
    model::{
        AccessError, AccessRefusal, ObjectType,
        access_error::{AccessCall, AccessNameFault, GrantPart, NamedThing, PasswordField},
    },
    wire::proto::common::ErrorCode,
};

const NOT_AUTHENTICATED: Code = Code::new(1400, ErrorCode::UnexpectedError);
const NOT_PERMITTED: Code = Code::new(1401, ErrorCode::UnexpectedError);

/// A mistake in a call about users, roles or grants.
pub fn of_access_error(error: &AccessError) -> common::Status {
    use AccessError as E;
    match error {
        E::BadUserName { name, fault } => invalid(user_name(name, *fault)),
        E::BadName { what, fault } => Code::PARAMETER_INVALID.with(name(*what, *fault)),
        E::PasswordLength { bytes, least, most } => Code::PARAMETER_INVALID.with(format_args!(
            "invalid password length: invalid parameter[{bytes} out of range {least} <= value <= {most}]"
        )),
        E::PasswordNotBase64 { field, at } => {
            let what = match field {
                PasswordField::Created => "decode password fail",
                PasswordField::Old => "decode old password failed",
                PasswordField::New => "decode password failed",
            };
            unexpected(format_args!("{what}: illegal base64 data at input byte {at}"))
        }
        E::UserExists(name) => of_call(AccessCall::CreateUser, format_args!("user already exists: {name}")),
        E::TooManyUsers { .. } => {
            of_call(AccessCall::CreateUser, "unable to add user because the number of users has reached the limit")
        }
        E::WrongOldPassword(name) => {
            NOT_AUTHENTICATED.with(format_args!("old password not correct for {name}: not authenticated"))
        }
        E::RootStays => NOT_PERMITTED.with("root user cannot be deleted: privilege not permitted"),
        E::NamelessUser => of_call(AccessCall::DeleteUser, "fail to execute task when deleting the user"),
        E::RoleExists(name) => of_call(AccessCall::CreateRole, format_args!("role [name:\"{name}\"] already exists")),
        E::TooManyRoles { .. } => {
            of_call(AccessCall::CreateRole, "unable to create role because the number of roles has reached the limit")
        }
        E::RoleNotFound(call) => {
            of_call(*call, "not found the role, maybe the role isn't existed or internal system error")
        }
        E::AccessUserNotFound(call) => {
            of_call(*call, "not found the user, maybe the user isn't existed or internal system error")
        }
        E::DefaultRoleStays(name) => NOT_PERMITTED
            .with(format_args!("the role[{name}] is a default role, which can't be dropped: privilege not permitted")),
        E::RoleHasGrants => of_call(
            AccessCall::DropRole,
            "fail to drop the role that it has privileges. Use REVOKE API to revoke privileges",
        ),
        E::UnknownMembership(_) => {
            of_call(AccessCall::OperateUserRole, "fail to execute task when operate the user and role")
        }
        E::UnknownGrantOperation(number) => of_call(
            AccessCall::OperatePrivilege,
            format_args!("invalid operate privilege type, current type: {number}, valid value: [Grant, Revoke]"),
        ),
        E::Missing(GrantPart::Operated) => unexpected("the entity in the request is nil"),
        E::Missing(GrantPart::Selected) => invalid("the grant entity in the request is nil"),
        E::Missing(GrantPart::Grantor) => unexpected("the grantor entity in the grant entity is nil"),
        E::Missing(GrantPart::Privilege) => unexpected("the privilege entity in the grantor entity is nil"),
        E::Missing(GrantPart::Object) => unexpected("the resource entity in the grant entity is nil"),
        E::Missing(GrantPart::Role) => unexpected("the object entity in the grant entity is nil"),
        E::Missing(GrantPart::SelectedRole) => invalid("the role entity in the grant entity is nil"),
        E::UnknownObjectType { call, name } => {
            let known = ObjectType::ALL.map(ObjectType::as_str).join(" ");
            of_call(
                *call,
                format_args!("not found the object type[name: {name}], supported the object types: [{known}]"),
            )
        }
        E::UnknownPrivilege(name) => {
            of_call(AccessCall::OperatePrivilege, format_args!("not found the privilege name[{name}]"))
        }
        E::NoGrantor => unexpected("fail to get authorization from the md, authorize:[authorization]"),
        E::TooManyGrants { .. } => of_call(AccessCall::OperatePrivilege, error),
    }
}

/// A refused caller, as a gRPC error: SDKs retry none of these codes.
pub fn of_refusal(refusal: &AccessRefusal) -> tonic::Status {
    let code = match refusal {
        AccessRefusal::NoCredentials
        | AccessRefusal::Malformed
        | AccessRefusal::ApiKey
        | AccessRefusal::WrongPassword => tonic::Code::Unauthenticated,
        AccessRefusal::TooManyGuesses { .. } | AccessRefusal::Busy => tonic::Code::ResourceExhausted,
        AccessRefusal::Denied { .. } | AccessRefusal::NoAdmin { .. } => tonic::Code::PermissionDenied,
        AccessRefusal::NotLookedAt => tonic::Code::Internal,
    };
    tonic::Status::new(code, refusal_text(refusal))
}

/// The words of a refusal, for every edge.
pub fn refusal_text(refusal: &AccessRefusal) -> String {
    let text = match refusal {
        AccessRefusal::NoCredentials => "missing authorization in header".to_owned(),
        AccessRefusal::Malformed => "invalid token format".to_owned(),
        AccessRefusal::ApiKey => "auth check failure, please check api key is correct".to_owned(),
        AccessRefusal::WrongPassword => "auth check failure, please check username and password are correct".to_owned(),
        AccessRefusal::TooManyGuesses { wait } => {
            format!("too many failed logins of this user or from this address: try again in {} ms", wait.as_millis())
        }
        AccessRefusal::Busy => "too many logins are being checked: try again".to_owned(),
        AccessRefusal::Denied { privilege, user } => {
            format!("Privilege{}: permission deny to {user}", privilege.as_str())
        }
        AccessRefusal::NoAdmin { user } => format!("role admin: permission deny to {user}"),
        AccessRefusal::NotLookedAt => refusal.to_string(),
    };
    cut(text)
}

/// The newer code of Milvus' own errors of a call, with the older one of the call, and without a detail.
fn of_call(call: AccessCall, reason: impl Display) -> common::Status {
    let error_code = match call {
        AccessCall::CreateUser => ErrorCode::CreateCredentialFailure,
        AccessCall::UpdateUser => ErrorCode::UpdateCredentialFailure,
        AccessCall::DeleteUser => ErrorCode::DeleteCredentialFailure,
        AccessCall::CreateRole => ErrorCode::CreateRoleFailure,
        AccessCall::DropRole => ErrorCode::DropRoleFailure,
        AccessCall::OperateUserRole => ErrorCode::OperateUserRoleFailure,
        AccessCall::OperatePrivilege => ErrorCode::OperatePrivilegeFailure,
        AccessCall::SelectGrant => ErrorCode::SelectGrantFailure,
    };
    common::Status { detail: String::new(), ..Code::new(65535, error_code).with(reason) }
}

fn invalid(text: impl Display) -> common::Status {
    Code::PARAMETER_INVALID.with(format_args!("{text}: invalid parameter"))
}

fn user_name(name: &str, fault: AccessNameFault) -> String {
    match fault {
        AccessNameFault::Empty => "username must be not empty".to_owned(),
        AccessNameFault::TooLong { bytes, most } => {
            format!("invalid username {name} with length {bytes}, the length of username must be less than {most}")
        }
        AccessNameFault::First(byte) => {
            format!("invalid user name {name}, the first character must be a letter, but got {}", shown(byte))
        }
        AccessNameFault::Character { byte, .. } => format!(
            "invalid user name {name}, username must contain only numbers, letters and underscores, but got {}",
            shown(byte)
        ),
    }
}

fn name(what: NamedThing, fault: AccessNameFault) -> String {
    let what = match what {
        // Milvus says the same of both.
        NamedThing::Role | NamedThing::Object => "role name",
        NamedThing::ObjectType => "ObjectType",
        NamedThing::Privilege => "Privilege",
        NamedThing::Database => "database name",
    };
    match fault {
        AccessNameFault::Empty => {
            format!("{what} should be not empty: invalid parameter[expected=not empty][actual=]")
        }
        AccessNameFault::TooLong { bytes, most } => format!(
            "the length of {what} must be not greater than limit: invalid parameter[{bytes} out of range 0 <= value <= {most}]"
        ),
        AccessNameFault::First(byte) => format!(
            "the first character of {what} must be an underscore or letter: invalid parameter[expected={}][actual={byte}]",
            b'_'
        ),
        AccessNameFault::Character { byte, at } => format!(
            "{what} can only contain numbers, letters, dollars and underscores, found {} at {at}: invalid parameter",
            shown(byte)
        ),
    }
}

/// A byte of a name, readable.
fn shown(byte: u8) -> String {
    if byte.is_ascii_graphic() { char::from(byte).to_string() } else { format!("byte {byte}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use crate::model::Privilege;

    const NOT_THE_ROLE: &str = "not found the role, maybe the role isn't existed or internal system error";

    /// Codes and texts of the real server.
    #[rstest]
    #[case(AccessError::UserExists("u1".into()), 65535, 29, "user already exists: u1")]
    #[case(AccessError::TooManyUsers { most: 9 }, 65535, 29, "unable to add user because the number of users has reached the limit")]
    #[case(AccessError::WrongOldPassword("u1".into()), 1400, 1, "old password not correct for u1: not authenticated")]
    #[case(AccessError::RootStays, 1401, 1, "root user cannot be deleted: privilege not permitted")]
    #[case(AccessError::NamelessUser, 65535, 31, "fail to execute task when deleting the user")]
    #[case(AccessError::RoleExists("r1".into()), 65535, 35, "role [name:\"r1\"] already exists")]
    #[case(AccessError::RoleNotFound(AccessCall::DropRole), 65535, 36, NOT_THE_ROLE)]
    #[case(AccessError::RoleNotFound(AccessCall::OperateUserRole), 65535, 37, NOT_THE_ROLE)]
    #[case(AccessError::RoleNotFound(AccessCall::OperatePrivilege), 65535, 41, NOT_THE_ROLE)]
    #[case(AccessError::RoleNotFound(AccessCall::SelectGrant), 65535, 42, NOT_THE_ROLE)]
    #[case(
        AccessError::RoleHasGrants,
        65535,
        36,
        "fail to drop the role that it has privileges. Use REVOKE API to revoke privileges"
    )]
    #[case(AccessError::UnknownPrivilege("Nope".into()), 65535, 41, "not found the privilege name[Nope]")]
    #[case(
        AccessError::PasswordLength { bytes: 5, least: 6, most: 256 }, 1100, 5,
        "invalid password length: invalid parameter[5 out of range 6 <= value <= 256]"
    )]
    #[case(
        AccessError::PasswordNotBase64 { field: PasswordField::Old, at: 3 }, 65535, 1,
        "decode old password failed: illegal base64 data at input byte 3"
    )]
    #[case(
        AccessError::BadName { what: NamedThing::Privilege, fault: AccessNameFault::Empty }, 1100, 5,
        "Privilege should be not empty: invalid parameter[expected=not empty][actual=]"
    )]
    #[case(
        AccessError::BadName { what: NamedThing::Object, fault: AccessNameFault::Character { byte: b'-', at: 1 } }, 1100, 5,
        "role name can only contain numbers, letters, dollars and underscores, found - at 1: invalid parameter"
    )]
    #[case(AccessError::Missing(GrantPart::Operated), 65535, 1, "the entity in the request is nil")]
    #[case(
        AccessError::Missing(GrantPart::Selected),
        1100,
        5,
        "the grant entity in the request is nil: invalid parameter"
    )]
    fn mistakes(#[case] error: AccessError, #[case] code: i32, #[case] error_code: i32, #[case] reason: &str) {
        let status = of_access_error(&error);
        assert_eq!((status.code, status.error_code, status.retriable), (code, error_code, false));
        assert_eq!(status.reason, reason);
    }

    #[rstest]
    #[case(AccessRefusal::NoCredentials, tonic::Code::Unauthenticated, "missing authorization in header")]
    #[case(AccessRefusal::Busy, tonic::Code::ResourceExhausted, "too many logins are being checked: try again")]
    #[case(
        AccessRefusal::TooManyGuesses { wait: Duration::from_millis(1500) }, tonic::Code::ResourceExhausted,
        "too many failed logins of this user or from this address: try again in 1500 ms"
    )]
    #[case(
        AccessRefusal::Denied { privilege: Privilege::Insert, user: "u1".into() }, tonic::Code::PermissionDenied,
        "PrivilegeInsert: permission deny to u1"
    )]
    fn refusals(#[case] refusal: AccessRefusal, #[case] code: tonic::Code, #[case] text: &str) {
        let status = of_refusal(&refusal);
        assert_eq!((status.code(), status.message()), (code, text));
    }
}

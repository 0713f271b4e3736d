//! Users, roles and grants.
//!
//! A refusal (too many guesses) is a gRPC error here too: its code stops the retries of SDKs.

use super::{call_error::Answer, *};
use crate::{
    access::{AccessFailure, Caller, GrantFilter, GrantRequest, Membership, Operation},
    grpc::access::{caller, peer},
    model::{AccessError, Grant, access_error::GrantPart},
    wire::status,
};

/// Why a call about users failed: an answer of Milvus, or a gRPC error.
pub(super) enum UserCallError {
    Answer(CallError),
    Refused(Status),
}

impl From<AccessFailure> for UserCallError {
    fn from(failure: AccessFailure) -> Self {
        match failure {
            AccessFailure::Mistake(error) => error.into(),
            AccessFailure::Refused(refusal) => Self::Refused(status::of_refusal(&refusal)),
            AccessFailure::Coordinator(error) => Self::Answer(error.into()),
            AccessFailure::Internal(_) => Self::Answer(CallError(status::of_core(&failure, None))),
        }
    }
}

impl From<AccessError> for UserCallError {
    fn from(error: AccessError) -> Self {
        Self::Answer(CallError(status::of_access_error(&error)))
    }
}

type UserOutcome<T> = Result<T, UserCallError>;

pub(super) fn answer<T: Answer>(outcome: UserOutcome<T>) -> Result<Response<T>, Status> {
    match outcome {
        Ok(message) => super::answer(Ok(message)),
        Err(UserCallError::Answer(error)) => super::answer(Err(error)),
        Err(UserCallError::Refused(status)) => Err(status),
    }
}

pub(super) fn done(outcome: UserOutcome<()>) -> Result<Response<common::Status>, Status> {
    answer(outcome.map(|()| common::Status::default()))
}

impl MilvusApi {
    pub(super) async fn do_create_credential(&self, request: Request<CreateCredentialRequest>) -> UserOutcome<()> {
        let request = request.into_inner();
        Ok(self.standalone.accounts().create_user(&request.username, &request.password).await?)
    }

    pub(super) async fn do_update_credential(&self, request: Request<UpdateCredentialRequest>) -> UserOutcome<()> {
        let (who, peer) = (who(&request), peer(&request));
        let UpdateCredentialRequest { username, old_password, new_password, .. } = request.into_inner();
        let passwords = (old_password.as_str(), new_password.as_str());
        Ok(self.standalone.accounts().update_password((&who, peer), &username, passwords).await?)
    }

    pub(super) async fn do_delete_credential(&self, request: Request<DeleteCredentialRequest>) -> UserOutcome<()> {
        Ok(self.standalone.accounts().delete_user(&request.into_inner().username).await?)
    }

    pub(super) fn list_users(&self) -> ListCredUsersResponse {
        ListCredUsersResponse { usernames: self.standalone.accounts().user_names(), ..Default::default() }
    }

    pub(super) async fn do_create_role(&self, request: Request<CreateRoleRequest>) -> UserOutcome<()> {
        let role = request.into_inner().entity.unwrap_or_default();
        Ok(self.standalone.accounts().create_role(&role.name).await?)
    }

    pub(super) async fn do_drop_role(&self, request: Request<DropRoleRequest>) -> UserOutcome<()> {
        let request = request.into_inner();
        Ok(self.standalone.accounts().drop_role(&request.role_name, request.force_drop).await?)
    }

    pub(super) async fn do_operate_user_role(&self, request: Request<OperateUserRoleRequest>) -> UserOutcome<()> {
        let request = request.into_inner();
        let what = match OperateUserRoleType::try_from(request.r#type) {
            Ok(OperateUserRoleType::AddUserToRole) => Membership::Add,
            Ok(OperateUserRoleType::RemoveUserFromRole) => Membership::Remove,
            Err(_) => Membership::Unknown(request.r#type),
        };
        Ok(self.standalone.accounts().operate_user_role(&request.username, &request.role_name, what).await?)
    }

    pub(super) fn do_select_role(&self, request: Request<SelectRoleRequest>) -> UserOutcome<SelectRoleResponse> {
        let request = request.into_inner();
        let name = request.role.as_ref().map(|role| role.name.as_str());
        let found = self.standalone.accounts().select_roles(name, request.include_user_info)?;
        let results = found.into_iter().map(|found| RoleResult {
            role: Some(RoleEntity { name: found.role }),
            users: found.users.into_iter().map(|name| UserEntity { name }).collect(),
        });
        Ok(SelectRoleResponse { results: results.collect(), ..Default::default() })
    }

    pub(super) fn do_select_user(&self, request: Request<SelectUserRequest>) -> UserOutcome<SelectUserResponse> {
        let request = request.into_inner();
        let name = request.user.as_ref().map(|user| user.name.as_str());
        let found = self.standalone.accounts().select_users(name, request.include_role_info)?;
        let results = found.into_iter().map(|found| UserResult {
            user: Some(UserEntity { name: found.user }),
            roles: found.roles.into_iter().map(|name| RoleEntity { name }).collect(),
        });
        Ok(SelectUserResponse { results: results.collect(), ..Default::default() })
    }

    pub(super) async fn do_operate_privilege(&self, request: Request<OperatePrivilegeRequest>) -> UserOutcome<()> {
        let who = who(&request);
        let request = request.into_inner();
        let operation = match OperatePrivilegeType::try_from(request.r#type) {
            Ok(OperatePrivilegeType::Grant) => Operation::Grant,
            Ok(OperatePrivilegeType::Revoke) => Operation::Revoke,
            Err(_) => Operation::Unknown(request.r#type),
        };
        let missing = AccessError::Missing;
        let entity = request.entity.ok_or(missing(GrantPart::Operated))?;
        let grantor = entity.grantor.ok_or(missing(GrantPart::Grantor))?;
        let privilege = grantor.privilege.ok_or(missing(GrantPart::Privilege))?;
        let object_type = entity.object.ok_or(missing(GrantPart::Object))?;
        let role = entity.role.ok_or(missing(GrantPart::Role))?;
        let asked = GrantRequest {
            role: &role.name,
            object_type: &object_type.name,
            object: &entity.object_name,
            privilege: &privilege.name,
            database: &entity.db_name,
        };
        Ok(self.standalone.accounts().operate_privilege(&who, asked, operation).await?)
    }

    pub(super) fn do_select_grant(&self, request: Request<SelectGrantRequest>) -> UserOutcome<SelectGrantResponse> {
        let missing = AccessError::Missing;
        let entity = request.into_inner().entity.ok_or(missing(GrantPart::Selected))?;
        let role = entity.role.ok_or(missing(GrantPart::SelectedRole))?;
        let object = entity.object.as_ref().map(|object| (object.name.as_str(), entity.object_name.as_str()));
        let filter = GrantFilter { role: &role.name, object, database: &entity.db_name };
        let grants = self.standalone.accounts().select_grants(filter)?;
        let entities = grants.into_iter().map(|grant| grant_entity(&role.name, grant)).collect();
        Ok(SelectGrantResponse { entities, ..Default::default() })
    }
}

/// The caller of a request. Without a layer in front, as in a test, there is none.
fn who<T>(request: &Request<T>) -> Caller {
    caller(request).unwrap_or_else(Caller::nobody)
}

fn grant_entity(role: &str, grant: Grant) -> GrantEntity {
    GrantEntity {
        role: Some(RoleEntity { name: role.to_owned() }),
        object: Some(ObjectEntity { name: grant.object.as_str().to_owned() }),
        object_name: grant.name,
        grantor: Some(GrantorEntity {
            user: Some(UserEntity { name: grant.grantor }),
            privilege: Some(PrivilegeEntity { name: grant.privilege.as_str().to_owned() }),
        }),
        db_name: grant.database,
    }
}

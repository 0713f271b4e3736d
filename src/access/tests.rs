//! Users, roles and grants over a whole process: the effects of the calls, over restarts too, and which logins are right.

use std::{net::IpAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rstest::rstest;

use super::*;
use crate::{
    clock::{Clock, ManualClock},
    config::Secret,
    model::{
        AccessError, AccessRefusal, Privilege as P,
        access_error::{AccessCall, AccessNameFault, NamedThing, PasswordField},
    },
    standalone::tests::World,
};

const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));
const THERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)));

async fn world() -> World {
    World::with(|config| config.access.enabled = true).await
}

fn base64(password: &str) -> String {
    STANDARD.encode(password)
}

async fn create(world: &World, user: &str, password: &str) {
    world.standalone.accounts().create_user(user, &base64(password)).await.unwrap();
}

async fn login(world: &World, user: &str, password: &str) -> Result<Caller, AccessRefusal> {
    login_from(world, user, password, HERE).await
}

async fn login_from(world: &World, user: &str, password: &str, peer: Option<IpAddr>) -> Result<Caller, AccessRefusal> {
    world.standalone.gatekeeper().authenticate(Ok(Credentials::new(user, password)), peer).await
}

async fn set_password(world: &World, user: &str, old: &str, new: &str) -> Result<(), AccessFailure> {
    let passwords = (base64(old), base64(new));
    let caller = Caller::verified("root", 0);
    world.standalone.accounts().update_password((&caller, HERE), user, (&passwords.0, &passwords.1)).await
}

fn grant<'a>(role: &'a str, (object_type, object): (&'a str, &'a str), privilege: &'a str) -> GrantRequest<'a> {
    GrantRequest { role, object_type, object, privilege, database: "" }
}

async fn operate(world: &World, request: GrantRequest<'_>, operation: Operation) -> Result<(), AccessFailure> {
    world.standalone.accounts().operate_privilege(&Caller::verified("root", 0), request, operation).await
}

fn mistake<T: std::fmt::Debug>(outcome: Result<T, AccessFailure>) -> AccessError {
    match outcome {
        Err(AccessFailure::Mistake(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn granted(world: &World, role: &str) -> Vec<String> {
    let filter = GrantFilter { role, object: None, database: "" };
    let grants = world.standalone.accounts().select_grants(filter).unwrap();
    grants.iter().map(|g| format!("{} {}.{} {}", g.object.as_str(), g.database, g.name, g.privilege.as_str())).collect()
}

const PUBLIC_GRANTS: [&str; 3] =
    ["Collection *.* IndexDetail", "Global *.* DescribeCollection", "Global *.* ShowCollections"];

#[tokio::test]
async fn root_and_the_default_roles_are_there_from_the_first_start() {
    let world = world().await;
    let accounts = world.standalone.accounts();
    assert_eq!(accounts.user_names(), ["root"]);
    let roles: Vec<String> = accounts.select_roles(None, true).unwrap().into_iter().map(|r| r.role).collect();
    assert_eq!(roles, ["admin", "public"]);
    assert_eq!(granted(&world, "public"), PUBLIC_GRANTS);
    assert!(granted(&world, "admin").is_empty());
    assert_eq!(login(&world, "root", "Milvus").await.unwrap().name(), Some("root"));
    assert_eq!(login(&world, "root", "milvus").await, Err(AccessRefusal::WrongPassword));
    assert!(world.standalone.gatekeeper().has_known_password());
}

#[tokio::test]
async fn the_settings_may_give_root_another_first_password() {
    let world = World::with(|config| {
        config.access.enabled = true;
        config.access.root_password = Secret::new("another1");
    })
    .await;
    assert!(login(&world, "root", "another1").await.is_ok());
    assert_eq!(login(&world, "root", "Milvus").await, Err(AccessRefusal::WrongPassword));
    assert!(!world.standalone.gatekeeper().has_known_password());
    let shown = format!("{:?} {:?}", world.standalone.accounts(), world.standalone.config());
    assert!(!shown.contains("another1"), "{shown}");
}

#[tokio::test]
async fn everything_outlives_a_restart() {
    let world = world().await;
    let accounts = world.standalone.accounts();
    create(&world, "u1", "secret1").await;
    create(&world, "u2", "secret2").await;
    accounts.create_role("r1").await.unwrap();
    accounts.operate_user_role("u1", "r1", Membership::Add).await.unwrap();
    accounts.operate_user_role("root", "admin", Membership::Add).await.unwrap();
    operate(&world, grant("r1", ("Collection", "c1"), "Insert"), Operation::Grant).await.unwrap();
    operate(&world, grant("r1", ("Collection", "*"), "*"), Operation::Grant).await.unwrap();
    let public = GrantRequest { database: "*", ..grant("public", ("Global", "*"), "ShowCollections") };
    operate(&world, public, Operation::Revoke).await.unwrap();
    set_password(&world, "root", "Milvus", "secret9").await.unwrap();
    accounts.delete_user("u2").await.unwrap();

    let world = world.restarted().await;
    let accounts = world.standalone.accounts();
    assert_eq!(accounts.user_names(), ["root", "u1"]);
    assert!(login(&world, "u1", "secret1").await.is_ok());
    assert_eq!(login(&world, "u2", "secret2").await, Err(AccessRefusal::WrongPassword));
    assert!(login(&world, "root", "secret9").await.is_ok());
    assert_eq!(login(&world, "root", "Milvus").await, Err(AccessRefusal::WrongPassword));
    assert!(!world.standalone.gatekeeper().has_known_password());
    let users: Vec<_> = accounts.select_users(None, true).unwrap().into_iter().map(|u| (u.user, u.roles)).collect();
    assert_eq!(users, [("root".into(), vec!["admin".into()]), ("u1".into(), vec!["r1".into()])]);
    assert_eq!(granted(&world, "r1"), ["Collection default.* *", "Collection default.c1 Insert"]);
    assert_eq!(granted(&world, "public"), &PUBLIC_GRANTS[..2]);
}

#[tokio::test]
async fn a_change_of_the_password_ends_every_login_with_the_old_one() {
    let world = world().await;
    create(&world, "u1", "secret1").await;
    for _ in 0..2 {
        assert!(login(&world, "u1", "secret1").await.is_ok());
    }
    let wrong = mistake(set_password(&world, "u1", "secret9", "secret2").await);
    assert_eq!(wrong, AccessError::WrongOldPassword("u1".into()));
    assert!(login(&world, "u1", "secret1").await.is_ok(), "nothing has changed");
    set_password(&world, "u1", "secret1", "secret2").await.unwrap();
    assert_eq!(login(&world, "u1", "secret1").await, Err(AccessRefusal::WrongPassword));
    assert!(login(&world, "u1", "secret2").await.is_ok());
    world.standalone.accounts().delete_user("u1").await.unwrap();
    assert_eq!(login(&world, "u1", "secret2").await, Err(AccessRefusal::WrongPassword));
    create(&world, "u1", "secret3").await;
    assert_eq!(login(&world, "u1", "secret2").await, Err(AccessRefusal::WrongPassword));
    assert!(login(&world, "u1", "secret3").await.is_ok());
}

#[tokio::test]
async fn a_super_user_need_not_know_the_old_password() {
    let world = World::with(|config| {
        config.access.enabled = true;
        config.access.super_users = "ops, root".to_owned();
    })
    .await;
    create(&world, "u1", "secret1").await;
    set_password(&world, "u1", "unknown", "secret2").await.unwrap();
    assert!(login(&world, "u1", "secret2").await.is_ok());
    let unknown = mistake(set_password(&world, "u2", "unknown", "secret2").await);
    assert_eq!(unknown, AccessError::AccessUserNotFound(AccessCall::UpdateUser));
    // A name alone, as while authorization is off, proves nothing.
    let (claimed, texts) = (Caller::claimed(Some("root")), (base64("unknown"), base64("secret3")));
    let outcome = world.standalone.accounts().update_password((&claimed, HERE), "u1", (&texts.0, &texts.1)).await;
    assert_eq!(mistake(outcome), AccessError::WrongOldPassword("u1".into()));
}

#[tokio::test]
async fn a_dropped_role_takes_its_members_along() {
    let world = world().await;
    let accounts = world.standalone.accounts();
    create(&world, "u1", "secret1").await;
    accounts.create_role("r1").await.unwrap();
    accounts.operate_user_role("u1", "r1", Membership::Add).await.unwrap();
    operate(&world, grant("r1", ("Collection", "c1"), "Insert"), Operation::Grant).await.unwrap();
    assert_eq!(mistake(accounts.drop_role("r1", false).await), AccessError::RoleHasGrants);
    operate(&world, grant("r1", ("Collection", "c1"), "Insert"), Operation::Revoke).await.unwrap();
    accounts.drop_role("r1", false).await.unwrap();
    accounts.create_role("r1").await.unwrap();
    let [role] = accounts.select_roles(Some("r1"), true).unwrap().try_into().unwrap();
    assert_eq!(role, RoleMembers { role: "r1".into(), users: vec![] });
    operate(&world, grant("r1", ("Collection", "c1"), "Insert"), Operation::Grant).await.unwrap();
    let caller = login(&world, "u1", "secret1").await.unwrap();
    let permitted = world.standalone.gatekeeper().permit(&caller, Need::collection(P::Insert), "default", "c1");
    assert_eq!(permitted, Err(AccessRefusal::Denied { privilege: P::Insert, user: "u1".into() }));
    accounts.drop_role("r1", true).await.unwrap();
    assert!(accounts.select_roles(Some("r1"), true).unwrap().is_empty());
}

/// Milvus' rule: a script that takes the grants of its own database away may drop the role. Here a later role of that name
/// does not inherit the other grants.
#[tokio::test]
async fn grants_in_other_databases_go_with_their_role() {
    let world = world().await;
    let accounts = world.standalone.accounts();
    for database in ["db1", "*"] {
        accounts.create_role("r1").await.unwrap();
        let elsewhere = GrantRequest { database, ..grant("r1", ("Collection", "c1"), "Insert") };
        operate(&world, elsewhere, Operation::Grant).await.unwrap();
        accounts.drop_role("r1", false).await.unwrap();
        accounts.create_role("r1").await.unwrap();
        let all = GrantFilter { role: "r1", object: None, database };
        assert!(accounts.select_grants(all).unwrap().is_empty());
        accounts.drop_role("r1", false).await.unwrap();
    }
}

#[tokio::test]
async fn roles_decide_over_the_rights_of_a_user() {
    let world = world().await;
    let accounts = world.standalone.accounts();
    let gatekeeper = world.standalone.gatekeeper();
    create(&world, "u1", "secret1").await;
    let caller = login(&world, "u1", "secret1").await.unwrap();
    let may = |need, name| gatekeeper.permit(&caller, need, "default", name).is_ok();
    // What everybody has.
    assert!(may(Need::global(P::DescribeCollection), "*"));
    assert!(may(Need::user(P::SelectUser), "u1"), "about oneself");
    assert!(!may(Need::user(P::SelectUser), "root"));
    assert!(!may(Need::user(P::SelectUser), "*"));
    assert!(!may(Need::collection(P::Insert), "c1"));
    accounts.create_role("r1").await.unwrap();
    operate(&world, grant("r1", ("Collection", "c1"), "Insert"), Operation::Grant).await.unwrap();
    accounts.operate_user_role("u1", "r1", Membership::Add).await.unwrap();
    assert!(may(Need::collection(P::Insert), "c1"));
    assert!(!may(Need::collection(P::Insert), "c2"));
    operate(&world, grant("r1", ("Collection", "c1"), "Insert"), Operation::Revoke).await.unwrap();
    assert!(!may(Need::collection(P::Insert), "c1"), "at once");
    assert!(gatekeeper.permit_admin(&caller).is_err());
    accounts.operate_user_role("u1", "admin", Membership::Add).await.unwrap();
    assert!(may(Need::global(P::DropCollection), "*") && gatekeeper.permit_admin(&caller).is_ok());
    accounts.operate_user_role("u1", "admin", Membership::Remove).await.unwrap();
    assert!(!may(Need::global(P::DropCollection), "*"));
    accounts.delete_user("u1").await.unwrap();
    assert!(!may(Need::global(P::DescribeCollection), "*"), "a user that is gone has no role");
    assert_eq!(gatekeeper.permit_admin(&Caller::claimed(Some("root"))), Err(AccessRefusal::NotLookedAt));
}

#[tokio::test]
async fn while_authorization_is_off_everybody_may_do_everything() {
    let world = World::new().await;
    create(&world, "u1", "secret1").await;
    let gatekeeper = world.standalone.gatekeeper();
    let caller = gatekeeper.authenticate(Err(AccessRefusal::NoCredentials), None).await.unwrap();
    assert_eq!(caller, Caller::nobody());
    assert!(gatekeeper.permit(&caller, Need::global(P::DropCollection), "default", "*").is_ok());
    assert!(gatekeeper.permit_admin(&caller).is_ok());
    let caller = login(&world, "u1", "wrong").await.unwrap();
    assert_eq!((caller.name(), caller.proved_name()), (Some("u1"), None));
}

#[tokio::test]
async fn a_guesser_waits_and_does_not_keep_the_owner_out() {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let world = World::at(Arc::clone(&clock) as Arc<dyn Clock>, |config| config.access.enabled = true).await;
    create(&world, "u1", "secret1").await;
    assert!(login_from(&world, "u1", "secret1", THERE).await.is_ok());
    let mut delayed = None;
    for guess in 0..20 {
        match login(&world, "u1", &format!("guess{guess}")).await {
            Err(AccessRefusal::WrongPassword) => {}
            Err(AccessRefusal::TooManyGuesses { wait }) => {
                delayed = Some(wait);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let wait = delayed.expect("the guesser has to wait");
    let again = login(&world, "u1", "secret1").await;
    assert_eq!(again, Err(AccessRefusal::TooManyGuesses { wait }), "also with the right one");
    assert!(login_from(&world, "u1", "secret1", THERE).await.is_ok(), "its owner is known there");
    clock.advance(wait + Duration::from_millis(1));
    assert!(login(&world, "u1", "secret1").await.is_ok(), "the time is over");
}

#[tokio::test]
async fn old_passwords_can_not_be_guessed_by_changing_them() {
    let world = world().await;
    create(&world, "u1", "secret1").await;
    for _ in 0..20 {
        match set_password(&world, "u1", "guess", "secret2").await {
            Err(AccessFailure::Mistake(AccessError::WrongOldPassword(_))) => {}
            Err(AccessFailure::Refused(AccessRefusal::TooManyGuesses { .. })) => return,
            other => panic!("{other:?}"),
        }
    }
    panic!("twenty guesses were taken");
}

#[rstest]
#[case::empty("", AccessNameFault::Empty)]
#[case::spaces("  ", AccessNameFault::Empty)]
#[case::digit("1u", AccessNameFault::First(b'1'))]
#[case::underscore("_u", AccessNameFault::First(b'_'))]
#[case::space(" u", AccessNameFault::First(b' '))]
#[case::dash("u-1", AccessNameFault::Character { byte: b'-', at: 1 })]
#[case::slash("u/1", AccessNameFault::Character { byte: b'/', at: 1 })]
#[case::long("uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu", AccessNameFault::TooLong { bytes: 33, most: 32 })]
#[tokio::test]
async fn names_of_users(#[case] name: &str, #[case] fault: AccessNameFault) {
    let world = world().await;
    let error = mistake(world.standalone.accounts().create_user(name, &base64("secret1")).await);
    assert_eq!(error, AccessError::BadUserName { name: name.to_owned(), fault });
}

#[tokio::test]
async fn mistakes_are_told_apart() {
    use AccessError as E;
    let world = World::with(|config| {
        config.access.enabled = true;
        config.access.max_users = 3;
        config.access.max_roles = 3;
    })
    .await;
    let accounts = world.standalone.accounts();
    let user = async |name: &str, password: &str| mistake(accounts.create_user(name, password).await);
    assert_eq!(user("u1", &base64("short")).await, E::PasswordLength { bytes: 5, least: 6, most: 256 });
    assert_eq!(user("u1", &base64(&"x".repeat(257))).await, E::PasswordLength { bytes: 257, least: 6, most: 256 });
    assert_eq!(user("u1", "!!!").await, E::PasswordNotBase64 { field: PasswordField::Created, at: 0 });
    assert_eq!(user("root", &base64("secret1")).await, E::UserExists("root".into()));
    create(&world, "u1", "secret1").await;
    create(&world, "u2", "secret1").await;
    assert_eq!(user("u3", &base64("secret1")).await, E::TooManyUsers { most: 3 });
    assert_eq!(mistake(accounts.delete_user("root").await), E::RootStays);
    assert_eq!(mistake(accounts.delete_user("").await), E::NamelessUser);
    accounts.delete_user("nobody").await.unwrap();

    let fault = AccessNameFault::First(b'1');
    assert_eq!(mistake(accounts.create_role("1r").await), E::BadName { what: NamedThing::Role, fault });
    assert_eq!(mistake(accounts.create_role("public").await), E::RoleExists("public".into()));
    accounts.create_role("r$1").await.unwrap();
    assert_eq!(mistake(accounts.create_role("r2").await), E::TooManyRoles { most: 3 });
    assert_eq!(mistake(accounts.drop_role("r2", false).await), E::RoleNotFound(AccessCall::DropRole));
    for role in ["admin", "public"] {
        assert_eq!(mistake(accounts.drop_role(role, true).await), E::DefaultRoleStays(role.into()));
    }

    let member = async |user: &str, role: &str, what| accounts.operate_user_role(user, role, what).await;
    let call = AccessCall::OperateUserRole;
    assert_eq!(mistake(member("u1", "r9", Membership::Add).await), E::RoleNotFound(call));
    assert_eq!(mistake(member("u9", "r$1", Membership::Add).await), E::AccessUserNotFound(call));
    assert_eq!(mistake(member("u1", "r$1", Membership::Unknown(7)).await), E::UnknownMembership(7));
    member("u9", "r$1", Membership::Remove).await.unwrap();
    for _ in 0..2 {
        member("u1", "r$1", Membership::Add).await.unwrap();
    }

    let refused = async |request| mistake(operate(&world, request, Operation::Grant).await);
    let call = AccessCall::OperatePrivilege;
    let insert = grant("r$1", ("Collection", "c1"), "Insert");
    assert_eq!(refused(GrantRequest { role: "r9", ..insert }).await, E::RoleNotFound(call));
    assert_eq!(refused(GrantRequest { privilege: "Nope", ..insert }).await, E::UnknownPrivilege("Nope".into()));
    let elsewhere = GrantRequest { privilege: "CreateCollection", ..insert };
    assert_eq!(refused(elsewhere).await, E::UnknownPrivilege("CreateCollection".into()));
    let kind = GrantRequest { object_type: "Nope", ..insert };
    assert_eq!(refused(kind).await, E::UnknownObjectType { call, name: "Nope".into() });
    let fault = AccessNameFault::Character { byte: b'-', at: 1 };
    let name = GrantRequest { object: "c-1", ..insert };
    assert_eq!(refused(name).await, E::BadName { what: NamedThing::Object, fault });
    let unknown = operate(&world, insert, Operation::Unknown(5)).await;
    assert_eq!(mistake(unknown), E::UnknownGrantOperation(5));
    let unnamed = accounts.operate_privilege(&Caller::nobody(), insert, Operation::Grant).await;
    assert_eq!(mistake(unnamed), E::NoGrantor);
    let stranger = accounts.operate_privilege(&Caller::claimed(Some("u9")), insert, Operation::Grant).await;
    assert_eq!(mistake(stranger), E::AccessUserNotFound(call));
    for operation in [Operation::Grant, Operation::Grant, Operation::Revoke, Operation::Revoke] {
        operate(&world, insert, operation).await.unwrap();
    }
}

#[tokio::test]
async fn grants_are_listed_as_milvus_lists_them() {
    let world = world().await;
    world.standalone.accounts().create_role("r1").await.unwrap();
    let insert = grant("r1", ("Collection", "c1"), "Insert");
    for request in [
        insert,
        GrantRequest { privilege: "Delete", ..insert },
        GrantRequest { privilege: "*", ..insert },
        GrantRequest { object: "c2", database: "*", ..insert },
        GrantRequest { database: "db1", ..insert },
        grant("r1", ("Global", "anything"), "CreateCollection"),
        grant("r1", ("User", "u1"), "UpdateUser"),
    ] {
        operate(&world, request, Operation::Grant).await.unwrap();
    }
    let listed = |object, database| {
        let filter = GrantFilter { role: "r1", object, database };
        let grants = world.standalone.accounts().select_grants(filter).unwrap();
        grants.iter().map(|g| format!("{}.{} {}", g.database, g.name, g.privilege.as_str())).collect::<Vec<_>>()
    };
    let of_default = [
        "*.c2 Insert",
        "default.c1 *",
        "default.c1 Delete",
        "default.c1 Insert",
        "default.* CreateCollection",
        "default.u1 UpdateUser",
    ];
    assert_eq!(listed(None, ""), of_default);
    assert_eq!(listed(None, "db1"), ["*.c2 Insert", "db1.c1 Insert"]);
    assert_eq!(listed(None, "*"), ["*.c2 Insert"]);
    assert_eq!(listed(Some(("Collection", "c1")), ""), &of_default[1..4]);
    assert!(listed(Some(("Collection", "c9")), "").is_empty());
}

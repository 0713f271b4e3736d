//! The table has a row for every method, and every method keeps to its row.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};

use super::table::{Rule, TABLE, row};
use crate::{
    access::{GrantRequest, Membership, Operation},
    connections::{HandshakeFault, Listener, RefusalProtocol, Watched},
    grpc::GrpcServer,
    kit::within,
    model::{Privilege as P, access::PUBLIC},
    standalone::tests::World,
    telemetry::Metrics,
    wire::proto::{
        self,
        datacoord::{self as ours, data_coord_client::DataCoordClient},
        milvus::{milvus_service_client::MilvusServiceClient, *},
    },
};

/// Paths of every method that the server answers.
fn methods() -> BTreeSet<String> {
    let sets = [
        proto::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let files = sets.into_iter().flat_map(|set| FileDescriptorSet::decode(set).unwrap().file);
    let paths = files.flat_map(|file| {
        let package = file.package().to_owned();
        file.service.into_iter().flat_map(move |service| {
            let service_name = format!("{package}.{}", service.name());
            service.method.into_iter().map(move |method| format!("/{service_name}/{}", method.name()))
        })
    });
    paths.collect()
}

#[test]
fn every_method_has_a_row_and_every_row_a_method() {
    let rows: Vec<String> = TABLE
        .iter()
        .flat_map(|(service, methods)| methods.iter().map(move |(method, _)| format!("/{service}/{method}")))
        .collect();
    assert_eq!(rows.iter().cloned().collect::<BTreeSet<_>>(), methods());
    assert_eq!(rows.len(), methods().len(), "a method has two rows");
    assert_eq!(row("/milvus.proto.milvus.MilvusService/Import"), None);
}

struct NotWatched;

impl Watched for NotWatched {
    fn opened(&self) {}
    fn closed(&self) {}
    fn refused(&self) {}
    fn failed(&self, _: HandshakeFault) {}
}

/// A server over a process with authorization. Dropping it stops the server.
struct Served {
    world: World,
    address: SocketAddr,
    _stop: tokio_util::sync::DropGuard,
}

async fn served() -> Served {
    let world = World::with(|config| config.access.enabled = true).await;
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let listener =
        Listener::new(socket, 100, Duration::from_secs(5), RefusalProtocol::Http2, None, Arc::new(NotWatched));
    let metrics = Arc::new(Metrics::new(prometheus::Registry::new()).unwrap());
    let stop = CancellationToken::new();
    let server = GrpcServer::new(Arc::clone(&world.standalone), metrics);
    tokio::spawn(server.serve(listener, stop.clone().cancelled_owned()));
    Served { world, address, _stop: stop.drop_guard() }
}

impl Served {
    async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    async fn user(&self, name: &str) -> String {
        self.world.standalone.accounts().create_user(name, &STANDARD.encode("secret1")).await.unwrap();
        STANDARD.encode(format!("{name}:secret1"))
    }

    /// Gives the user a role of its own with one privilege.
    async fn give(&self, user: &str, object: (&str, &str), privilege: &str, database: &str) {
        let accounts = self.world.standalone.accounts();
        let role = format!("of_{user}");
        if accounts.select_roles(Some(&role), false).unwrap().is_empty() {
            accounts.create_role(&role).await.unwrap();
            accounts.operate_user_role(user, &role, Membership::Add).await.unwrap();
        }
        let (object_type, object) = object;
        let request = GrantRequest { role: &role, object_type, object, privilege, database };
        let root = self.world.standalone.gatekeeper();
        let root = root.authenticate(Ok(crate::access::Credentials::new("root", "Milvus")), None).await.unwrap();
        accounts.operate_privilege(&root, request, Operation::Grant).await.unwrap();
    }
}

fn with<T>(message: T, token: &str, database: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    if !database.is_empty() {
        request.metadata_mut().insert("dbname", database.parse().unwrap());
    }
    request
}

/// Sends an empty message; the answer's first bytes decide.
async fn call(channel: &Channel, path: &str, token: Option<&str>) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let request = match token {
        Some(token) => with((), token, ""),
        None => Request::new(()),
    };
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    client.server_streaming(request, path.parse().unwrap(), codec).await.map(|_| ())
}

#[tokio::test]
async fn every_method_keeps_to_its_row() {
    let served = served().await;
    let (channel, token) = (served.channel().await, served.user("u1").await);
    for path in methods().iter().map(String::as_str).chain(["/made.up/Path"]) {
        let rule = row(path);
        let stranger = call(&channel, path, None).await;
        if rule == Some(Rule::Open) {
            assert!(stranger.is_ok(), "{path}: {stranger:?}");
            continue;
        }
        let status = stranger.expect_err(path);
        let expected = (Code::Unauthenticated, "missing authorization in header");
        assert_eq!((status.code(), status.message()), expected, "{path}");

        let outcome = call(&channel, path, Some(&token)).await;
        let refused = match rule {
            Some(Rule::Admin) => Some("role admin: permission deny to u1".to_owned()),
            // What the role of everybody holds.
            Some(Rule::Holds(need))
                if [P::DescribeCollection, P::ShowCollections, P::IndexDetail].contains(&need.privilege) =>
            {
                None
            }
            Some(Rule::Holds(need)) => Some(format!("Privilege{}: permission deny to u1", need.privilege.as_str())),
            _ => None,
        };
        match (refused, outcome) {
            (Some(text), Err(status)) => {
                assert_eq!((status.code(), status.message()), (Code::PermissionDenied, text.as_str()), "{path}");
            }
            (Some(_), Ok(())) => panic!("{path} was let through"),
            (None, Ok(())) => {}
            (None, Err(status)) => {
                assert!(![Code::PermissionDenied, Code::Unauthenticated].contains(&status.code()), "{path}: {status}");
            }
        }
    }
}

/// A stream is one call, and outlives a login unless that is looked after.
#[tokio::test]
async fn a_stream_ends_with_the_login_of_its_caller() {
    let served = served().await;
    let mut control = DataCoordClient::new(served.channel().await);
    let mut streams = Vec::new();
    for user in ["gone", "renewed", "untouched"] {
        let token = served.user(user).await;
        let request = with(ours::WatchCompactionRequest::default(), &token, "");
        streams.push(control.watch_compaction(request).await.unwrap().into_inner());
    }
    let [gone, renewed, untouched] = streams.as_mut_slice() else { panic!("three streams") };
    let accounts = served.world.standalone.accounts();
    let root = served.world.standalone.gatekeeper();
    let root = root.authenticate(Ok(crate::access::Credentials::new("root", "Milvus")), None).await.unwrap();
    accounts.delete_user("gone").await.unwrap();
    let passwords = ["secret1", "secret2"].map(|text| STANDARD.encode(text));
    accounts.update_password((&root, None), "renewed", (&passwords[0], &passwords[1])).await.unwrap();
    for stream in [gone, renewed] {
        let ended = within("the end of a stream", stream.message()).await;
        assert_eq!(ended.unwrap_err().code(), Code::Unauthenticated);
    }
    let cell = served.world.collection("books").await;
    served.world.segment(&cell, 0..10).await;
    served.world.segment(&cell, 10..20).await;
    served.world.compact(&cell).await;
    assert!(within("an event", untouched.message()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_stream_of_reflection_ends_with_the_login_of_its_caller() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest,
    };
    let served = served().await;
    let ask = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut streams = Vec::new();
    for user in ["gone", "untouched"] {
        let token = served.user(user).await;
        let mut client = ServerReflectionClient::new(served.channel().await);
        let (asks, questions) = futures::channel::mpsc::unbounded();
        asks.unbounded_send(ask.clone()).unwrap();
        let mut answers = client.server_reflection_info(with(questions, &token, "")).await.unwrap().into_inner();
        assert!(within("an answer", answers.message()).await.unwrap().is_some());
        streams.push((asks, answers));
    }
    served.world.standalone.accounts().delete_user("gone").await.unwrap();
    let [(_open, gone), (asks, untouched)] = streams.as_mut_slice() else { panic!("two streams") };
    let ended = within("the end of a stream", gone.message()).await;
    assert_eq!(ended.unwrap_err().code(), Code::Unauthenticated);
    asks.unbounded_send(ask).unwrap();
    assert!(within("an answer", untouched.message()).await.unwrap().is_some());
}

#[tokio::test]
async fn bad_credentials_are_refused_in_milvus_words() {
    let served = served().await;
    let channel = served.channel().await;
    let path = "/milvus.proto.milvus.MilvusService/GetVersion";
    for (token, text) in [
        ("!!!", "invalid token format"),
        ("Bearer cm9vdDpNaWx2dXM=", "invalid token format"),
        ("YXBpa2V5", "auth check failure, please check api key is correct"),
        ("cm9vdDp3cm9uZzEy", "auth check failure, please check username and password are correct"),
        ("bm9ib2R5Ondyb25nMTI=", "auth check failure, please check username and password are correct"),
    ] {
        let status = call(&channel, path, Some(token)).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, text), "{token}");
    }
    call(&channel, path, Some("cm9vdDpNaWx2dXM=")).await.unwrap();
}

/// The code of the gRPC status, if it is one: the answer of an admitted call does not matter here.
fn denied<T>(outcome: Result<T, Status>) -> bool {
    outcome.is_err_and(|status| status.code() == Code::PermissionDenied)
}

#[tokio::test]
async fn a_grant_is_for_the_collection_and_the_database_that_the_handler_takes() {
    let served = served().await;
    let token = served.user("u1").await;
    served.world.standalone.create_database("db1").await.unwrap();
    let c1 = served.world.collection("c1").await.id.0;
    let c2 = served.world.collection("c2").await.id.0;
    for privilege in ["Query", "Flush", "Compaction"] {
        served.give("u1", ("Collection", "c1"), privilege, "").await;
    }
    let mut milvus = MilvusServiceClient::new(served.channel().await);
    let query = |name: &str, database: &str| QueryRequest {
        collection_name: name.into(),
        db_name: database.into(),
        ..Default::default()
    };
    for (name, database, header, expected) in [
        ("c1", "", "", true),
        ("c1", "default", "", true),
        ("c1", "default", "db1", true),
        ("c2", "", "", false),
        ("", "", "", false),
        ("c1", "db1", "", false),
        ("c1", "", "db1", false),
        // Milvus 2.3.5 looks at the header alone and lets this one through.
        ("c1", "db1", "default", false),
    ] {
        let outcome = milvus.query(with(query(name, database), &token, header)).await;
        assert_eq!(!denied(outcome), expected, "{name:?} {database:?} {header:?}");
    }
    for (names, expected) in [(vec!["c1"], true), (vec!["c1", "c2"], false), (vec![], false)] {
        let collection_names = names.iter().map(|name| (*name).to_owned()).collect();
        let request = FlushRequest { collection_names, ..Default::default() };
        assert_eq!(!denied(milvus.flush(with(request, &token, "")).await), expected, "{names:?}");
    }
    let mut control = DataCoordClient::new(served.channel().await);
    for (name, id, expected) in [("", c1, true), ("", c2, false), ("", 7, false), ("c1", c2, true), ("c2", c1, false)] {
        let (collection_name, collection_id) = (name.to_owned(), id);
        let request =
            ManualCompactionRequest { collection_name: collection_name.clone(), collection_id, ..Default::default() };
        assert_eq!(!denied(milvus.manual_compaction(with(request, &token, "")).await), expected, "{name:?} {id}");
        let collection = Some(ours::CollectionRef { collection_name, collection_id, db_name: String::new() });
        let request = ours::ManualCompactionRequest { collection: collection.clone(), ..Default::default() };
        // The header is not for our own service.
        assert_eq!(!denied(control.manual_compaction(with(request, &token, "db1")).await), expected, "{name:?} {id}");
        let request = ours::PlanCompactionRequest { collection, trigger: None };
        assert_eq!(!denied(control.plan_compaction(with(request, &token, "")).await), expected, "{name:?} {id}");
    }
}

#[tokio::test]
async fn a_rename_needs_both_databases() {
    let served = served().await;
    let token = served.user("u1").await;
    served.give("u1", ("Global", "*"), "RenameCollection", "").await;
    let mut milvus = MilvusServiceClient::new(served.channel().await);
    let rename = |from: &str, to: &str| RenameCollectionRequest {
        db_name: from.into(),
        old_name: "a".into(),
        new_name: "b".into(),
        new_db_name: to.into(),
        ..Default::default()
    };
    for (from, to, expected) in [("", "", true), ("", "default", true), ("", "db1", false), ("db1", "default", false)] {
        let outcome = milvus.rename_collection(with(rename(from, to), &token, "")).await;
        assert_eq!(!denied(outcome), expected, "{from:?} {to:?}");
    }
}

#[tokio::test]
async fn users_roles_and_grants_over_the_wire() {
    let served = served().await;
    let root = STANDARD.encode("root:Milvus");
    let mut milvus = MilvusServiceClient::new(served.channel().await);
    let create =
        CreateCredentialRequest { username: "u1".into(), password: STANDARD.encode("secret1"), ..Default::default() };
    let status = milvus.create_credential(with(create.clone(), &root, "")).await.unwrap().into_inner();
    assert_eq!(status.code, 0, "{status:?}");
    let again = milvus.create_credential(with(create, &root, "")).await.unwrap().into_inner();
    assert_eq!((again.code, again.error_code, again.reason.as_str()), (65535, 29, "user already exists: u1"));
    let named = |name: &str| Some(RoleEntity { name: name.into() });
    let request = OperatePrivilegeRequest {
        entity: Some(GrantEntity {
            role: named(PUBLIC),
            object: Some(ObjectEntity { name: "Collection".into() }),
            object_name: "c1".into(),
            grantor: Some(GrantorEntity { user: None, privilege: Some(PrivilegeEntity { name: "Insert".into() }) }),
            db_name: String::new(),
        }),
        ..Default::default()
    };
    milvus.operate_privilege(with(request, &root, "")).await.unwrap();
    let entity = Some(GrantEntity {
        role: named(PUBLIC),
        object: Some(ObjectEntity { name: "Collection".into() }),
        object_name: "c1".into(),
        ..Default::default()
    });
    let request = SelectGrantRequest { entity, ..Default::default() };
    let [grant] =
        milvus.select_grant(with(request, &root, "")).await.unwrap().into_inner().entities.try_into().unwrap();
    let grantor = grant.grantor.unwrap();
    assert_eq!(grantor.user.unwrap().name, "root", "the caller made it");
    assert_eq!((grant.db_name.as_str(), grantor.privilege.unwrap().name.as_str()), ("default", "Insert"));
    let token = STANDARD.encode("u1:secret1");
    let insert = InsertRequest { collection_name: "c1".into(), ..Default::default() };
    assert!(milvus.insert(with(insert, &token, "")).await.is_ok());
    // About oneself only.
    let select = |name: &str| SelectUserRequest {
        user: (!name.is_empty()).then(|| UserEntity { name: name.into() }),
        ..Default::default()
    };
    assert!(milvus.select_user(with(select("u1"), &token, "")).await.is_ok());
    assert!(denied(milvus.select_user(with(select("root"), &token, "")).await));
    assert!(denied(milvus.select_user(with(select(""), &token, "")).await));
}

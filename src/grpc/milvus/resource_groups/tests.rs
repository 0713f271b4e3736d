//! Whole calls. Expected answers are those that Milvus 2.3.5 gave.

use super::*;
use crate::{
    kit::pools,
    standalone::{LoadRequest, tests::World},
    wire::proto::{common::Status as Outcome, milvus::milvus_service_server::MilvusService as _},
};

type Answer = (i32, i32, String);

fn answer(status: Outcome) -> Answer {
    (status.code, status.error_code, status.reason)
}

fn ok() -> Answer {
    (0, 0, String::new())
}

fn invalid(what: &str) -> Answer {
    (1100, 5, format!("invalid parameter{what}"))
}

/// A process with two collections, the second of which can be loaded.
async fn api() -> (World, MilvusApi, CollectionId) {
    let world = World::new().await;
    world.collection("other").await;
    let cell = world.collection("books").await;
    let params = [("index_type", "FLAT"), ("metric_type", "L2")].map(|(key, value)| (key.into(), value.into()));
    world.standalone.create_index(CollectionName::new("", "books"), "vector", "", params.into()).await.unwrap();
    let api = MilvusApi::new(world.standalone.clone(), pools::growth(64 << 20));
    (world, api, cell.id)
}

async fn load(world: &World) {
    world.standalone.load(CollectionName::new("", "books"), LoadRequest::WHOLE).await.unwrap();
}

async fn described(api: &MilvusApi, group: &str) -> Result<ResourceGroup, Answer> {
    let request = DescribeResourceGroupRequest { resource_group: group.into(), ..Default::default() };
    let described = api.describe_resource_group(Request::new(request)).await.unwrap().into_inner();
    described.resource_group.ok_or_else(|| answer(described.status.unwrap()))
}

async fn dropped(api: &MilvusApi, group: &str) -> Answer {
    let request = DropResourceGroupRequest { resource_group: group.into(), ..Default::default() };
    answer(api.drop_resource_group(Request::new(request)).await.unwrap().into_inner())
}

async fn nodes_moved(api: &MilvusApi, source: &str, target: &str, num_node: i32) -> Answer {
    let (source_resource_group, target_resource_group) = (source.into(), target.into());
    let request = TransferNodeRequest { source_resource_group, target_resource_group, num_node, ..Default::default() };
    answer(api.transfer_node(Request::new(request)).await.unwrap().into_inner())
}

async fn replicas_moved(api: &MilvusApi, collection: &str, target: &str, num_replica: i64) -> Outcome {
    let request = TransferReplicaRequest {
        source_resource_group: RESOURCE_GROUP.into(),
        target_resource_group: target.into(),
        collection_name: collection.into(),
        num_replica,
        ..Default::default()
    };
    api.transfer_replica(Request::new(request)).await.unwrap().into_inner()
}

#[tokio::test]
async fn the_group_counts_what_is_loaded() {
    let (world, api, _) = api().await;
    let listed = api.list_resource_groups(Request::new(Default::default())).await.unwrap().into_inner();
    assert_eq!(listed.resource_groups, [RESOURCE_GROUP]);
    let group = described(&api, RESOURCE_GROUP).await.unwrap();
    assert_eq!((group.name.as_str(), group.capacity, group.num_available_node), (RESOURCE_GROUP, 1_000_000, 1));
    assert!(group.num_loaded_replica.is_empty(), "{:?}", group.num_loaded_replica);
    load(&world).await;
    let group = described(&api, RESOURCE_GROUP).await.unwrap();
    assert_eq!(group.num_loaded_replica, [("books".to_owned(), 1)].into());
    assert!(group.num_outgoing_node.is_empty() && group.num_incoming_node.is_empty());
    let missing = (300, 1, "resource group not found[rg=rg]".to_owned());
    assert_eq!(described(&api, "rg").await.unwrap_err(), missing);
}

#[tokio::test]
async fn no_group_is_made() {
    let (_world, api, _) = api().await;
    let make = |group: &str| {
        let request = CreateResourceGroupRequest { resource_group: group.into(), ..Default::default() };
        api.create_resource_group(Request::new(request))
    };
    let there = make(RESOURCE_GROUP).await.unwrap().into_inner();
    assert_eq!(answer(there), (65535, 1, "resource group already exist".to_owned()));
    assert_eq!(answer(make("12-s").await.unwrap().into_inner()).0, 1100);
    let refused = make("rg").await.unwrap_err();
    assert!(refused.code() == tonic::Code::Unimplemented && refused.message().contains(RESOURCE_GROUP), "{refused}");
}

#[tokio::test]
async fn drops() {
    let (world, api, id) = api().await;
    assert_eq!(dropped(&api, "12-s").await, ok(), "what is not there can be dropped");
    let refused = (65535, 1, "delete default rg is not permitted".to_owned());
    assert_eq!(dropped(&api, RESOURCE_GROUP).await, refused);
    load(&world).await;
    let text = format!(
        "some replicas still loaded in resource group[{RESOURCE_GROUP}], release it first: invalid parameter[expected=empty \
         resource group][actual=resource group {RESOURCE_GROUP} has collection {id} loaded]"
    );
    assert_eq!(dropped(&api, RESOURCE_GROUP).await, (1100, 5, text));
}

#[tokio::test]
async fn nodes() {
    let (world, api, id) = api().await;
    let empty = (65535, 1, "resource group name couldn't be empty".to_owned());
    assert_eq!(nodes_moved(&api, "", RESOURCE_GROUP, 1).await, empty);
    let named = "Invalid resource group name 12-s. the first character of a resource group name must be an underscore or \
                 letter: invalid parameter";
    assert_eq!(nodes_moved(&api, RESOURCE_GROUP, "12-s", 1).await, (1100, 5, named.to_owned()));
    let missing = "target resource group not found: invalid parameter[expected=valid resource group][actual=rg]";
    assert_eq!(nodes_moved(&api, RESOURCE_GROUP, "rg", 1).await, (1100, 5, missing.to_owned()));
    let none = invalid("[expected=NumNode > 0][actual=invalid NumNode 0]");
    assert_eq!(nodes_moved(&api, RESOURCE_GROUP, RESOURCE_GROUP, 0).await, none);
    let few = (65535, 1, "nodes not enough".to_owned());
    assert_eq!(nodes_moved(&api, RESOURCE_GROUP, RESOURCE_GROUP, 2).await, few);
    assert_eq!(nodes_moved(&api, RESOURCE_GROUP, RESOURCE_GROUP, 1).await, ok());
    load(&world).await;
    let text =
        format!("[expected=resource groups load not the same collection][actual=collection {id} loaded for both]");
    assert_eq!(nodes_moved(&api, RESOURCE_GROUP, RESOURCE_GROUP, 1).await, invalid(&text));
}

#[tokio::test]
async fn replicas() {
    let (world, api, _) = api().await;
    load(&world).await;
    let missing = "the target resource group[rg] doesn't exist: resource group not found[rg=rg]".to_owned();
    assert_eq!(answer(replicas_moved(&api, "books", "rg", 1).await), (300, 1, missing));
    let none = invalid("[expected=NumReplica > 0][actual=invalid NumReplica -1]");
    assert_eq!(answer(replicas_moved(&api, "books", RESOURCE_GROUP, -1).await), none);
    let few = |found: i32| {
        invalid(&format!(
            "[expected=NumReplica not greater than the number of replica in source resource group][actual=only found \
             [{found}] replicas in source resource group[{RESOURCE_GROUP}]]"
        ))
    };
    assert_eq!(answer(replicas_moved(&api, "other", RESOURCE_GROUP, 1).await), few(0));
    assert_eq!(answer(replicas_moved(&api, "books", RESOURCE_GROUP, 2).await), few(1));
    let there = invalid(&format!(
        "[expected=no same collection in target resource group][actual=found [1] replicas of same collection in target \
         resource group[{RESOURCE_GROUP}], dynamically increase replica num is unsupported]"
    ));
    assert_eq!(answer(replicas_moved(&api, "books", RESOURCE_GROUP, 1).await), there);
    assert_eq!(answer(replicas_moved(&api, "none", RESOURCE_GROUP, 1).await).0, 100);
    let unnamed = (100, 4, "collection not found[collection=0]".to_owned());
    assert_eq!(answer(replicas_moved(&api, "", RESOURCE_GROUP, 1).await), unnamed);
}

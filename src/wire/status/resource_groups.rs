//! Refusals of resource groups, in Milvus' words and codes.

use super::{
    code::{Code, unexpected},
    load::NO_RESOURCE_GROUP,
};
use crate::{
    error::cut,
    model::{RESOURCE_GROUP, ResourceGroupError, resource_group_error::TransferSide},
    wire::proto::common,
};

pub(super) fn of_resource_group_error(error: &ResourceGroupError) -> common::Status {
    use ResourceGroupError as E;
    match error {
        E::NotFound(group) => NO_RESOURCE_GROUP.with(not_found(group)),
        E::Exists => unexpected("resource group already exist"),
        E::NoGroupOfNodes { side, group } => Code::PARAMETER_INVALID.with(format_args!(
            "{} resource group not found: {}",
            noun(*side),
            invalid("valid resource group", &cut(group.clone()))
        )),
        E::NoGroupOfReplicas { side, group } => NO_RESOURCE_GROUP.with(format_args!(
            "the {} resource group[{}] doesn't exist: {}",
            noun(*side),
            cut(group.clone()),
            not_found(group)
        )),
        E::NodeCount(got) => {
            Code::PARAMETER_INVALID.with(invalid("NumNode > 0", &format!("invalid NumNode {got}")))
        }
        E::ReplicaCount(got) => {
            Code::PARAMETER_INVALID.with(invalid("NumReplica > 0", &format!("invalid NumReplica {got}")))
        }
        E::SameCollection(id) => Code::PARAMETER_INVALID.with(invalid(
            "resource groups load not the same collection",
            &format!("collection {id} loaded for both"),
        )),
        E::NodesNotEnough => unexpected("nodes not enough"),
        E::ReplicasNotEnough { found } => Code::PARAMETER_INVALID.with(invalid(
            "NumReplica not greater than the number of replica in source resource group",
            &format!("only found [{found}] replicas in source resource group[{RESOURCE_GROUP}]"),
        )),
        E::ReplicaInTarget => Code::PARAMETER_INVALID.with(invalid(
            "no same collection in target resource group",
            &format!(
                "found [1] replicas of same collection in target resource group[{RESOURCE_GROUP}], dynamically increase replica \
                 num is unsupported"
            ),
        )),
        E::StillLoaded(id) => Code::PARAMETER_INVALID.with(format_args!(
            "some replicas still loaded in resource group[{RESOURCE_GROUP}], release it first: {}",
            invalid("empty resource group", &format!("resource group {RESOURCE_GROUP} has collection {id} loaded"))
        )),
        E::DropDefault => unexpected("delete default rg is not permitted"),
    }
}

fn not_found(group: &str) -> String {
    format!("resource group not found[rg={}]", cut(group.to_owned()))
}

fn invalid(expected: &str, actual: &str) -> String {
    format!("invalid parameter[expected={expected}][actual={actual}]")
}

fn noun(side: TransferSide) -> &'static str {
    match side {
        TransferSide::Source => "source",
        TransferSide::Target => "target",
    }
}

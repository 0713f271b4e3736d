//! Refusals by load state, in Milvus' words and codes.

use super::code::{Code, unexpected};
use crate::{
    error::cut,
    model::{Channel, LoadError, PartitionId, RESOURCE_GROUP, load_error::LoadUnit},
    wire::proto::common::{self, ErrorCode},
};

const NOT_FULLY_LOADED: Code = Code::new(103, ErrorCode::UnexpectedError);
const NO_NODE: Code = Code::new(901, ErrorCode::UnexpectedError);
const PARTITION_NOT_LOADED: Code = Code::new(201, ErrorCode::UnexpectedError);
pub(super) const NO_RESOURCE_GROUP: Code = Code::new(300, ErrorCode::UnexpectedError);
const NO_REPLICA: Code = Code::new(400, ErrorCode::MetaFailed);

/// A refusal, in every call but `Query`.
pub fn of_load_error(error: &LoadError) -> common::Status {
    use LoadError as E;
    match error {
        E::NoIndex(collection) => Code::INDEX_NOT_FOUND.with(format_args!("index not found[collection={collection}]")),
        E::NoVectorIndex(collection) => unexpected(format_args!(
            "there is no vector index on collection: {collection}, please create index firstly"
        )),
        E::NothingToLoad => unexpected("failed to load partition, due to no partition specified"),
        // The misspelling is Milvus'.
        E::NothingToRelease => {
            Code::PARAMETER_INVALID.with("invalid parameter[expected=any parttiion][actual=empty partition list]")
        }
        E::TooManyReplicas { unit, .. } => {
            let why = "nodes not enough";
            caused(Code::UNEXPECTED, why, &format!("{}: failed to spawn replica for collection: {why}", failed(*unit)))
        }
        E::OtherReplicas { unit, asked } => {
            let why = format!(
                "can't change the replica number for loaded {}: invalid parameter[expected=1][actual={asked}]",
                noun(*unit)
            );
            caused(Code::PARAMETER_INVALID, &why, &format!("{}: {why}", failed(*unit)))
        }
        E::NoResourceGroup { unit, group } => {
            let why = format!(
                "failed to spawn replica for collection: resource group not found[rg={group}]",
                group = cut(group.clone())
            );
            caused(NO_RESOURCE_GROUP, &why, &format!("{}: {why}", failed(*unit)))
        }
        E::OtherResourceGroup { unit, group } => {
            let why = format!(
                "given resource group not found: invalid parameter[expected=created resource group(s)][actual={}]",
                cut(group.clone())
            );
            caused(Code::PARAMETER_INVALID, &why, &format!("{}: {why}", failed(*unit)))
        }
        E::MixedResourceGroups(unit) => Code::PARAMETER_INVALID.with(format_args!(
            "{}: invalid parameter[expected=no default resource group mixed with the other resource \
             group(s)][actual={RESOURCE_GROUP}]",
            failed(*unit)
        )),
        E::KeyedPartitions { release } => unexpected(format_args!(
            "disable {} partitions if partition key mode is used",
            if *release { "release" } else { "load" }
        )),
        E::CollectionNotLoaded(id) => {
            Code::COLLECTION_NOT_LOADED.with(format_args!("collection not loaded[collection={id}]"))
        }
        E::PartitionNotLoaded(id) => PARTITION_NOT_LOADED.with(format_args!("partition not loaded[partition={id}]")),
        E::PartitionsNotReadable { channel, partitions } => {
            let channel = delegator(channel.as_ref());
            let why = format!("{channel}: partition not loaded[partition=[{}]]", ids(partitions));
            caused(PARTITION_NOT_LOADED, &why, &tried_twice(&why))
        }
        E::NoReplica(id) => {
            NO_REPLICA.with(format_args!("failed to get replicas by collection: replica not found[replica={id}]"))
        }
        E::NotFullyLoaded(id) => NOT_FULLY_LOADED.with(format_args!("collection not fully loaded[collection={id}]")),
        E::NoSourceNode { collection, node } => NO_NODE.with(format_args!(
            "source node not found in any replica of collection {collection}: node not found[node={node}]"
        )),
        E::NoTargetNode(node) => {
            NO_NODE.with(format_args!("destination node not found in the same replica: node not found[node={node}]"))
        }
        E::NoSegmentToMove(id) => {
            unexpected(format_args!("failed to balance segments: segment {id} not found in source node 1"))
        }
        E::PartitionInUse => unexpected("partition cannot be dropped, partition is loaded, please release it first"),
        E::IndexInUse => unexpected("index cannot be dropped, collection is loaded, please release it first"),
    }
}

/// A refusal of a `Query`, which has words of its own.
pub fn of_query_refusal(error: &LoadError) -> common::Status {
    of_read_refusal(error, "query", "Query, QueryNode ID = 1")
}

/// A refusal of a `Search`, which has words of its own.
pub fn of_search_refusal(error: &LoadError) -> common::Status {
    of_read_refusal(error, "search", "Search, QueryNode ID=1")
}

fn of_read_refusal(error: &LoadError, verb: &str, at: &str) -> common::Status {
    match error {
        LoadError::CollectionNotLoaded(id) => {
            Code::COLLECTION_NOT_LOADED.with(format_args!("failed to {verb}: collection not loaded[collection={id}]"))
        }
        LoadError::PartitionsNotReadable { channel, partitions } => {
            let why = format!(
                "{}: fail to {at}, reason=partition not loaded[partition=[{}]]",
                delegator(channel.as_ref()),
                ids(partitions)
            );
            caused(Code::UNEXPECTED, &why, &format!("failed to {verb}: {}", tried_twice(&why)))
        }
        other => of_load_error(other),
    }
}

/// The cause as the reason, and the way to it as the detail.
fn caused(code: Code, cause: &str, detail: &str) -> common::Status {
    common::Status { detail: cut(detail.to_owned()), ..code.with(cause) }
}

/// Milvus asks the node a second time.
pub(super) fn tried_twice(why: &str) -> String {
    format!("attempt #0: {why}: attempt #1: {why}")
}

pub(super) fn delegator(channel: Option<&Channel>) -> String {
    format!("failed to search/query delegator 1 for channel {}", channel.map(Channel::as_str).unwrap_or_default())
}

fn ids(partitions: &[PartitionId]) -> String {
    partitions.iter().map(PartitionId::to_string).collect::<Vec<_>>().join(" ")
}

fn noun(unit: LoadUnit) -> &'static str {
    match unit {
        LoadUnit::Collection => "collection",
        LoadUnit::Partitions => "partitions",
    }
}

fn failed(unit: LoadUnit) -> String {
    format!("failed to load {}", noun(unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CollectionId;

    /// Codes, texts and details of the real server.
    #[test]
    fn a_read_of_partitions_that_are_not_loaded() {
        let channel = Some(Channel::new("by-dev-rootcoord-dml_0_1v0"));
        let error = LoadError::PartitionsNotReadable { channel, partitions: vec![PartitionId(7), PartitionId(8)] };
        let delegator = "failed to search/query delegator 1 for channel by-dev-rootcoord-dml_0_1v0";

        let query = of_query_refusal(&error);
        let why = format!("{delegator}: fail to Query, QueryNode ID = 1, reason=partition not loaded[partition=[7 8]]");
        assert_eq!((query.code, query.error_code, query.reason.as_str()), (65535, 1, why.as_str()));
        assert_eq!(query.detail, format!("failed to query: attempt #0: {why}: attempt #1: {why}"));

        let delete = of_load_error(&error);
        let why = format!("{delegator}: partition not loaded[partition=[7 8]]");
        assert_eq!((delete.code, delete.error_code, delete.reason.as_str()), (201, 1, why.as_str()));
        assert_eq!(delete.detail, format!("attempt #0: {why}: attempt #1: {why}"));
    }

    #[test]
    fn a_query_says_that_it_is_one() {
        let error = LoadError::CollectionNotLoaded(CollectionId(5));
        assert_eq!(of_query_refusal(&error).reason, "failed to query: collection not loaded[collection=5]");
        assert_eq!(of_load_error(&error).reason, "collection not loaded[collection=5]");
    }
}

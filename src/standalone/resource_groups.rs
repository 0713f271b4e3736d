//! Resource groups: this process is one query node in one group, as a Milvus of one node is. The only place that decides
//! what a client may do with the group.
//!
//! A node or a replica can only move from the group to itself, so nothing ever moves. Plain functions; the order of their
//! checks is Milvus'. Must never make a group.

use crate::model::{
    CollectionId, RESOURCE_GROUP, ResourceGroupError as E,
    resource_group_error::TransferSide::{self, Source, Target},
};

/// Nodes in the group.
pub(crate) const NODES: i32 = 1;
/// Nodes that the group could have.
pub(crate) const CAPACITY: i32 = 1_000_000;

/// # Errors
/// `NotFound`.
pub(crate) fn check_group(group: &str) -> Result<(), E> {
    if group == RESOURCE_GROUP { Ok(()) } else { Err(E::NotFound(group.to_owned())) }
}

/// Whether there could be a new group of this name, if there could be a new one at all.
///
/// # Errors
/// `Exists`.
pub(crate) fn check_new_group(group: &str) -> Result<(), E> {
    if group == RESOURCE_GROUP { Err(E::Exists) } else { Ok(()) }
}

/// Whether a group may be dropped: only one that is not there, which is no error. `loaded` is any loaded collection.
///
/// # Errors
/// `StillLoaded`, `DropDefault`.
pub(crate) fn check_group_drop(group: &str, loaded: Option<CollectionId>) -> Result<(), E> {
    match loaded {
        _ if group != RESOURCE_GROUP => Ok(()),
        Some(collection) => Err(E::StillLoaded(collection)),
        None => Err(E::DropDefault),
    }
}

/// Whether so many nodes may move: the one node, to where it is, while nothing is loaded. `loaded` is any loaded
/// collection.
///
/// # Errors
/// `NoGroupOfNodes`, `NodeCount`, `SameCollection`, `NodesNotEnough`.
pub(crate) fn check_node_transfer(
    source: &str,
    target: &str,
    nodes: i32,
    loaded: Option<CollectionId>,
) -> Result<(), E> {
    if let Some((side, group)) = unknown(source, target) {
        return Err(E::NoGroupOfNodes { side, group });
    }
    match loaded {
        _ if nodes <= 0 => Err(E::NodeCount(nodes)),
        Some(collection) => Err(E::SameCollection(collection)),
        None if nodes > NODES => Err(E::NodesNotEnough),
        None => Ok(()),
    }
}

/// Why so many replicas of a collection can't move: no other group could take one.
pub(crate) fn refused_replica_transfer(source: &str, target: &str, replicas: i64, is_loaded: bool) -> E {
    let found = usize::from(is_loaded);
    match unknown(source, target) {
        Some((side, group)) => E::NoGroupOfReplicas { side, group },
        None if replicas <= 0 => E::ReplicaCount(replicas),
        None if found as i64 >= replicas => E::ReplicaInTarget,
        None => E::ReplicasNotEnough { found },
    }
}

/// The first group that is not there.
fn unknown(source: &str, target: &str) -> Option<(TransferSide, String)> {
    let mut groups = [(Source, source), (Target, target)].into_iter();
    groups.find(|(_, group)| *group != RESOURCE_GROUP).map(|(side, group)| (side, group.to_owned()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const G: &str = RESOURCE_GROUP;
    const LOADED: Option<CollectionId> = Some(CollectionId(7));

    #[test]
    fn there_is_one_group() {
        assert_eq!(check_group(G), Ok(()));
        for other in ["", "rg", "__DEFAULT_RESOURCE_GROUP"] {
            assert_eq!(check_group(other), Err(E::NotFound(other.to_owned())));
        }
    }

    #[test]
    fn the_default_group_can_not_be_new() {
        assert_eq!((check_new_group(G), check_new_group("rg")), (Err(E::Exists), Ok(())));
    }

    #[rstest]
    #[case("rg", LOADED, Ok(()))]
    #[case("", None, Ok(()))]
    #[case(G, LOADED, Err(E::StillLoaded(CollectionId(7))))]
    #[case(G, None, Err(E::DropDefault))]
    fn drops(#[case] group: &str, #[case] loaded: Option<CollectionId>, #[case] expected: Result<(), E>) {
        assert_eq!(check_group_drop(group, loaded), expected);
    }

    #[rstest]
    #[case::unknown_source("a", "b", 0, LOADED, Err(E::NoGroupOfNodes { side: Source, group: "a".to_owned() }))]
    #[case::unknown_target(G, "b", 0, LOADED, Err(E::NoGroupOfNodes { side: Target, group: "b".to_owned() }))]
    #[case::none(G, G, 0, LOADED, Err(E::NodeCount(0)))]
    #[case::fewer(G, G, -1, None, Err(E::NodeCount(-1)))]
    #[case::loaded(G, G, 2, LOADED, Err(E::SameCollection(CollectionId(7))))]
    #[case::two(G, G, 2, None, Err(E::NodesNotEnough))]
    #[case::most(G, G, i32::MAX, None, Err(E::NodesNotEnough))]
    #[case::one(G, G, 1, None, Ok(()))]
    fn nodes(
        #[case] source: &str,
        #[case] target: &str,
        #[case] count: i32,
        #[case] loaded: Option<CollectionId>,
        #[case] expected: Result<(), E>,
    ) {
        assert_eq!(check_node_transfer(source, target, count, loaded), expected);
    }

    #[rstest]
    #[case::unknown_source("a", "b", 0, true, E::NoGroupOfReplicas { side: Source, group: "a".to_owned() })]
    #[case::unknown_target(G, "b", 0, true, E::NoGroupOfReplicas { side: Target, group: "b".to_owned() })]
    #[case::none(G, G, 0, true, E::ReplicaCount(0))]
    #[case::fewer(G, G, i64::MIN, false, E::ReplicaCount(i64::MIN))]
    #[case::not_loaded(G, G, 1, false, E::ReplicasNotEnough { found: 0 })]
    #[case::two(G, G, 2, true, E::ReplicasNotEnough { found: 1 })]
    #[case::most(G, G, i64::MAX, true, E::ReplicasNotEnough { found: 1 })]
    #[case::one(G, G, 1, true, E::ReplicaInTarget)]
    fn replicas(
        #[case] source: &str,
        #[case] target: &str,
        #[case] count: i64,
        #[case] is_loaded: bool,
        #[case] expected: E,
    ) {
        assert_eq!(refused_replica_transfer(source, target, count, is_loaded), expected);
    }
}

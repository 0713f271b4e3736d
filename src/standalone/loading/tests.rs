use rstest::rstest;

use super::*;
use crate::{
    kit::model,
    model::{Channel, CollectionId, DataType, FieldId, IndexDef},
};

const KEY: i64 = 100;
const VECTOR: i64 = 101;
const P: PartitionId = PartitionId(11);
const Q: PartitionId = PartitionId(12);

/// A collection of two partitions with indexes on these fields, of which these partitions are loaded.
fn collection(indexed: &[i64], loaded: &[PartitionId]) -> Collection {
    let fields = vec![model::key(KEY, "id", DataType::Int64), model::field(VECTOR, "vec", DataType::FloatVector)];
    let index = |field: &i64| IndexDef { id: 1, name: format!("i{field}"), field: FieldId(*field), params: vec![] };
    Collection {
        indexes: indexed.iter().map(index).collect(),
        loaded: loaded.to_vec(),
        partitions: [P, Q].map(|id| model::default_partition(id.0)).into(),
        channels: vec![Channel::new("c_5v0")],
        ..model::collection(5, model::schema("books", fields))
    }
}

fn texts(of: &[&str]) -> Vec<String> {
    of.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_load_needs_an_index_on_the_vector_field() {
    for (indexed, expected) in [
        (&[][..], Err(LoadError::NoIndex("books".to_owned()))),
        (&[KEY], Err(LoadError::NoVectorIndex("books".to_owned()))),
        (&[KEY, VECTOR], Ok(())),
    ] {
        assert_eq!(check_load(&collection(indexed, &[]), LoadRequest::WHOLE), expected, "{indexed:?}");
    }
    let plain = model::collection(5, model::schema("books", vec![model::key(KEY, "id", DataType::Int64)]));
    assert_eq!(check_load(&plain, LoadRequest::WHOLE), Ok(()), "a collection without vectors");
}

#[rstest]
#[case::default_number(0, &[], Ok(()), Ok(()))]
#[case::negative(-1, &[], Ok(()), Ok(()))]
#[case::one(1, &["__default_resource_group"], Ok(()), Ok(()))]
#[case::two(
    2,
    &[],
    Err(LoadError::TooManyReplicas { unit: LoadUnit::Collection, asked: 2 }),
    Err(LoadError::OtherReplicas { unit: LoadUnit::Collection, asked: 2 })
)]
#[case::other_group(
    1,
    &["g"],
    Err(LoadError::NoResourceGroup { unit: LoadUnit::Collection, group: "g".to_owned() }),
    Err(LoadError::OtherResourceGroup { unit: LoadUnit::Collection, group: "g".to_owned() })
)]
#[case::both_groups(
    1,
    &["g", "__default_resource_group"],
    Err(LoadError::MixedResourceGroups(LoadUnit::Collection)),
    Err(LoadError::MixedResourceGroups(LoadUnit::Collection))
)]
fn one_node_has_one_replica(
    #[case] replicas: i32,
    #[case] groups: &[&str],
    #[case] unloaded: Result<(), LoadError>,
    #[case] loaded: Result<(), LoadError>,
) {
    let groups = texts(groups);
    let request = LoadRequest { replicas, resource_groups: &groups, ..LoadRequest::WHOLE };
    assert_eq!(check_load(&collection(&[VECTOR], &[]), request), unloaded);
    assert_eq!(check_load(&collection(&[VECTOR], &[P]), request), loaded);
}

#[test]
fn a_refresh_needs_something_loaded_and_partitions_need_names() {
    let refresh = LoadRequest { refresh: true, ..LoadRequest::WHOLE };
    assert_eq!(check_load(&collection(&[VECTOR], &[]), refresh), Err(LoadError::CollectionNotLoaded(CollectionId(5))));
    assert_eq!(check_load(&collection(&[], &[P]), refresh), Ok(()));
    let nothing = LoadRequest { partitions: Some(&[]), ..LoadRequest::WHOLE };
    assert_eq!(check_load(&collection(&[VECTOR], &[]), nothing), Err(LoadError::NothingToLoad));
    assert_eq!(check_release(&collection(&[VECTOR], &[P]), &[]), Err(LoadError::NothingToRelease));
}

#[test]
fn a_partition_key_allows_no_load_of_partitions() {
    let key = crate::model::Field { is_partition_key: true, ..model::field(102, "k", DataType::Int64) };
    let fields = vec![model::key(KEY, "id", DataType::Int64), key];
    let keyed = model::collection(5, model::schema("books", fields));
    let names = texts(&["_default_0"]);
    let request = LoadRequest { partitions: Some(&names), ..LoadRequest::WHOLE };
    assert_eq!(check_load(&keyed, request), Err(LoadError::KeyedPartitions { release: false }));
    assert_eq!(check_release(&keyed, &names), Err(LoadError::KeyedPartitions { release: true }));
    assert_eq!(check_load(&keyed, LoadRequest::WHOLE), Ok(()));
}

#[test]
fn a_read_sees_loaded_partitions_alone() {
    let not_loaded = LoadError::CollectionNotLoaded(CollectionId(5));
    assert_eq!(readable(&collection(&[], &[]), None), Err(not_loaded.clone()));
    assert_eq!(readable(&collection(&[], &[]), Some(&[P])), Err(not_loaded.clone()));
    assert_eq!(readable(&collection(&[], &[P]), None), Ok(vec![P]));
    assert_eq!(readable(&collection(&[], &[P, Q]), Some(&[Q])), Ok(vec![Q]));
    let refused = readable(&collection(&[], &[P]), Some(&[P, Q])).unwrap_err();
    assert!(matches!(refused, LoadError::PartitionsNotReadable { partitions, .. } if partitions == [P, Q]));

    assert_eq!(check_loaded(&collection(&[], &[]), &[]), Err(not_loaded));
    assert_eq!(check_loaded(&collection(&[], &[]), &[P]), Err(LoadError::PartitionNotLoaded(P)));
    assert_eq!(check_loaded(&collection(&[], &[P]), &[]), Ok(()));
    assert_eq!(check_loaded(&collection(&[], &[P]), &[P, Q]), Err(LoadError::PartitionNotLoaded(Q)));
}

#[test]
fn loaded_partitions_and_indexes_can_not_be_dropped() {
    assert_eq!(check_partition_drop(&collection(&[], &[P]), P), Err(LoadError::PartitionInUse));
    assert_eq!(check_partition_drop(&collection(&[], &[P]), Q), Ok(()));
    assert_eq!(check_index_drop(&collection(&[VECTOR], &[P])), Err(LoadError::IndexInUse));
    assert_eq!(check_index_drop(&collection(&[VECTOR], &[])), Ok(()));
}

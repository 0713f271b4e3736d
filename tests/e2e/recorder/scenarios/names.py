"""Illegal and missing names, in every call that takes one."""

from calls import BOOK, VECTOR, KEY, FLAT, books, field, schema
from scenarios import BAD_NAMES, scenario


@scenario
def collections(run):
    """Calls that take nothing but a collection's name, or fail by it before they look at the rest."""
    for name in [*BAD_NAMES, "not_there"]:
        run.HasCollection(collection_name=name)
        run.DescribeCollection(collection_name=name)
        run.DropCollection(collection_name=name)
        run.GetCollectionStatistics(collection_name=name)
        run.LoadCollection(collection_name=name, replica_number=1)
        run.ReleaseCollection(collection_name=name)
        run.ShowPartitions(collection_name=name)
        run.GetLoadState(collection_name=name)
        run.GetLoadingProgress(collection_name=name)
        run.Flush(collection_names=[name])


@scenario
def collections_of_other_calls(run):
    for name in ["", " ", "12-s", "not_there"]:
        run.CreatePartition(collection_name=name, partition_name="p")
        run.DropPartition(collection_name=name, partition_name="p")
        run.HasPartition(collection_name=name, partition_name="p")
        run.LoadPartitions(collection_name=name, partition_names=["p"], replica_number=1)
        run.ReleasePartitions(collection_name=name, partition_names=["p"])
        run.GetPartitionStatistics(collection_name=name, partition_name="p")
        run.CreateIndex(collection_name=name, field_name="vector", extra_params=FLAT)
        run.DescribeIndex(collection_name=name)
        run.DropIndex(collection_name=name, field_name="vector")
        run.GetIndexState(collection_name=name)
        run.GetIndexBuildProgress(collection_name=name)
        run.Insert(collection_name=name, **books([1]))
        run.Upsert(collection_name=name, **books([1]))
        run.Delete(collection_name=name, expr="id in [1]")
        run.Query(collection_name=name, expr="id in [1]")
        run.CreateAlias(collection_name=name, alias="names_alias")
        run.AlterAlias(collection_name=name, alias="names_alias")
        run.AlterCollection(collection_name=name)
        run.RenameCollection(oldName=name, newName="names_other")
        run.GetPersistentSegmentInfo(collectionName=name)
        run.GetQuerySegmentInfo(collectionName=name)
        run.GetReplicas(collection_name=name)
        run.GetFlushState(collection_name=name, flush_ts=1)


@scenario
def new_collections(run):
    for name in BAD_NAMES:
        run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1)
    run.CreateCollection(collection_name="names_from", schema=schema("names_from", *BOOK), shards_num=1)
    for name in BAD_NAMES:
        run.RenameCollection(oldName="names_from", newName=name)


@scenario
def partitions(run):
    run.CreateCollection(collection_name="names_p", schema=schema("names_p", *BOOK), shards_num=1)
    for name in [*BAD_NAMES, "not_there"]:
        run.HasPartition(collection_name="names_p", partition_name=name)
        run.DropPartition(collection_name="names_p", partition_name=name)
        run.GetPartitionStatistics(collection_name="names_p", partition_name=name)
        run.LoadPartitions(collection_name="names_p", partition_names=[name], replica_number=1)
        run.ReleasePartitions(collection_name="names_p", partition_names=[name])
        run.Insert(collection_name="names_p", partition_name=name, **books([1]))
        run.Upsert(collection_name="names_p", partition_name=name, **books([1]))
        run.Delete(collection_name="names_p", partition_name=name, expr="id in [1]")
        run.Query(collection_name="names_p", partition_names=[name], expr="id in [1]")
    for name in BAD_NAMES:
        run.CreatePartition(collection_name="names_p", partition_name=name)
    run.ShowPartitions(collection_name="names_p")


@scenario
def aliases(run):
    run.CreateCollection(collection_name="names_a", schema=schema("names_a", *BOOK), shards_num=1)
    for name in BAD_NAMES:
        run.CreateAlias(collection_name="names_a", alias=name)
        run.AlterAlias(collection_name="names_a", alias=name)
        run.DropAlias(alias=name)


@scenario
def fields(run):
    for name in BAD_NAMES:
        run.CreateCollection(_note=f"field {name[:9]!r}", collection_name="names_f", shards_num=1,
                             schema=schema("names_f", KEY, VECTOR, field(name, "Int64")))


@scenario
def databases(run):
    for name in BAD_NAMES:
        run.CreateDatabase(db_name=name)
        run.DropDatabase(db_name=name)
        run.ShowCollections(db_name=name)

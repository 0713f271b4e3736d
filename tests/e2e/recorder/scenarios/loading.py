"""Load state: calls that need it, calls that it forbids, and its answers."""

from calls import BOOK, FLAT, books, pairs, schema
from scenarios import scenario


def progress_and_state(run, name, note):
    run.GetLoadState(_note=note, collection_name=name)
    run.GetLoadState(_note=note, collection_name=name, partition_names=["p"])
    run.GetLoadingProgress(_note=note, collection_name=name)
    run.GetLoadingProgress(_note=note, collection_name=name, partition_names=["p"])
    run.GetReplicas(_note=note, collection_name=name)
    run.GetReplicas(_note=note + ", by id", collectionID=run.id_of(name))
    run.Query(_note=note, collection_name=name, expr="id > 0", output_fields=["count(*)"])
    run.Query(_note=note, collection_name=name, expr="id > 0", partition_names=["p"])
    run.Query(_note=note, collection_name=name, expr="id > 0", partition_names=["_default"])
    run.Delete(_note=note, collection_name=name, expr="pages > 5000")
    run.Delete(_note=note, collection_name=name, expr="id in [5000]")
    run.ShowCollections(_note=note, type="InMemory")
    run.ShowPartitions(_note=note, collection_name=name, type="InMemory")
    run.GetQuerySegmentInfo(_note=note, collectionName=name)


@scenario
def states(run):
    name = "load_states"
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1)
    run.CreatePartition(collection_name=name, partition_name="p")
    run.Insert(collection_name=name, **books(range(1, 4)))
    run.LoadCollection(_note="no index", collection_name=name, replica_number=1)
    run.LoadPartitions(_note="no index", collection_name=name, partition_names=["p"], replica_number=1)
    run.CreateIndex(collection_name=name, field_name="pages", index_name="pages")
    run.LoadCollection(_note="a scalar index", collection_name=name, replica_number=1)
    run.LoadPartitions(_note="a scalar index", collection_name=name, partition_names=["p"], replica_number=1)
    run.CreateIndex(collection_name=name, field_name="vector", index_name="vector", extra_params=FLAT)
    progress_and_state(run, name, "not loaded")
    run.ReleaseCollection(_note="not loaded", collection_name=name)
    run.ReleasePartitions(_note="not loaded", collection_name=name, partition_names=["p"])
    run.LoadPartitions(collection_name=name, replica_number=1)
    run.LoadPartitions(collection_name=name, partition_names=["p", "not_there"], replica_number=1)
    run.LoadPartitions(collection_name=name, partition_names=["p", "p"], replica_number=1)
    run.loaded(name, partition_names=["p"])
    progress_and_state(run, name, "one partition loaded")
    run.LoadPartitions(_note="again", collection_name=name, partition_names=["p"], replica_number=1)
    run.DropPartition(_note="loaded", collection_name=name, partition_name="p")
    run.DropIndex(_note="a partition loaded", collection_name=name, field_name="vector", index_name="vector")
    run.DropIndex(_note="a partition loaded", collection_name=name, field_name="pages", index_name="pages")
    run.LoadCollection(_note="after a partition", collection_name=name, replica_number=1)
    run.loaded(name)
    progress_and_state(run, name, "loaded")
    run.LoadCollection(_note="again", collection_name=name, replica_number=1)
    run.LoadCollection(_note="again, other replicas", collection_name=name, replica_number=2)
    run.LoadPartitions(_note="after the collection", collection_name=name, partition_names=["p"], replica_number=1)
    run.CreatePartition(_note="loaded", collection_name=name, partition_name="q")
    run.GetLoadState(_note="made while loaded", collection_name=name, partition_names=["q"])
    run.Query(_note="made while loaded", collection_name=name, expr="id > 0", partition_names=["q"])
    run.DropPartition(_note="of a loaded collection", collection_name=name, partition_name="q")
    run.RenameCollection(_note="loaded", oldName=name, newName="load_renamed")
    run.RenameCollection(_note="back", oldName="load_renamed", newName=name)
    run.AlterCollection(_note="loaded", collection_name=name, properties=pairs(**{"mmap.enabled": "true"}))
    run.DropIndex(_note="loaded", collection_name=name, field_name="vector", index_name="vector")
    run.ReleasePartitions(_note="nothing named", collection_name=name)
    run.ReleasePartitions(collection_name=name, partition_names=["p", "not_there"])
    run.ReleasePartitions(_note="loaded", collection_name=name, partition_names=["p"])
    progress_and_state(run, name, "one partition released")
    run.DropPartition(_note="released", collection_name=name, partition_name="p")
    run.ReleaseCollection(_note="loaded", collection_name=name)
    run.Query(_note="released", collection_name=name, expr="id > 0")
    run.DropIndex(_note="released", collection_name=name, field_name="vector", index_name="vector")
    run.LoadCollection(_note="index dropped", collection_name=name, replica_number=1)


@scenario
def replicas(run):
    name = "load_replicas"
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1)
    run.CreatePartition(collection_name=name, partition_name="p")
    run.CreateIndex(collection_name=name, field_name="vector", extra_params=FLAT)
    for count in (2, 3):
        run.LoadCollection(collection_name=name, replica_number=count)
        run.LoadPartitions(collection_name=name, partition_names=["p"], replica_number=count)
    for count in (-1, 0, 1, 2):
        run.LoadPartitions(_note="again", collection_name=name, partition_names=["p"], replica_number=count)
        run.LoadCollection(_note="again", collection_name=name, replica_number=count)
    run.loaded(name)
    run.LoadCollection(_note="refresh", collection_name=name, refresh=True)
    run.LoadCollection(_note="resource groups", collection_name=name, resource_groups=["not_there"])
    run.quiet.ReleaseCollection(collection_name=name)
    run.LoadCollection(_note="refresh of what is not loaded", collection_name=name, refresh=True)
    run.LoadPartitions(_note="refresh of what is not loaded", collection_name=name, partition_names=["p"], refresh=True)
    run.LoadCollection(_note="unknown resource group", collection_name=name, resource_groups=["not_there"])
    run.LoadCollection(_note="two resource groups", collection_name=name, replica_number=1,
                       resource_groups=["__default_resource_group", "not_there"])


@scenario
def partitions_alone(run):
    """A collection of which only a partition is loaded: a new one is not, and the last one takes the collection along."""
    name = "load_alone"
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1)
    for partition in ("p", "q"):
        run.CreatePartition(collection_name=name, partition_name=partition)
    run.Insert(collection_name=name, partition_name="p", **books([1, 2]))
    run.Insert(collection_name=name, partition_name="q", **books([3]))
    run.CreateIndex(collection_name=name, field_name="vector", extra_params=FLAT)
    run.LoadPartitions(collection_name=name, partition_names=["p"], replica_number=1)
    run.loaded(name, partition_names=["p"])
    run.CreatePartition(collection_name=name, partition_name="r")
    for partitions in ([], ["p"], ["q"], ["r"], ["p", "q"]):
        run.GetLoadState(collection_name=name, partition_names=partitions)
        run.GetLoadingProgress(collection_name=name, partition_names=partitions)
        run.Query(collection_name=name, expr="id > 0", partition_names=partitions, consistency_level="Strong")
    run.Query(collection_name=name, expr="id > 0", output_fields=["count(*)"], consistency_level="Strong")
    run.ShowPartitions(collection_name=name, type="InMemory")
    run.Delete(collection_name=name, expr="pages > 0", consistency_level="Strong")
    run.Delete(collection_name=name, partition_name="q", expr="pages > 0")
    run.Delete(collection_name=name, partition_name="q", expr="id in [3]")
    run.DropPartition(collection_name=name, partition_name="q")
    run.ReleasePartitions(collection_name=name, partition_names=["q"])
    run.ReleasePartitions(collection_name=name, partition_names=["p"])
    run.GetLoadState(_note="the last one released", collection_name=name)
    run.GetLoadState(_note="the last one released", collection_name=name, partition_names=["p"])
    run.Query(_note="the last one released", collection_name=name, expr="id > 0")
    run.GetReplicas(_note="the last one released", collection_name=name)
    run.DropPartition(_note="the last one released", collection_name=name, partition_name="p")


@scenario
def dropped_while_loaded(run):
    name = "load_dropped"
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1)
    run.CreateIndex(collection_name=name, field_name="vector", extra_params=FLAT)
    run.LoadCollection(collection_name=name, replica_number=1)
    run.loaded(name)
    run.DropCollection(collection_name=name)
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1)
    run.GetLoadState(collection_name=name)
    run.Query(collection_name=name, expr="id > 0")


@scenario
def balance(run):
    name = "load_balance"
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1)
    run.LoadBalance(collectionName=name, src_nodeID=1)
    run.LoadBalance(collectionName="not_there", src_nodeID=1)
    run.LoadBalance(collectionName="12-s", src_nodeID=1)
    run.LoadBalance(src_nodeID=1)
    run.CreateIndex(collection_name=name, field_name="vector", extra_params=FLAT)
    run.LoadCollection(collection_name=name, replica_number=1)
    run.loaded(name)
    run.LoadBalance(_note="loaded, nowhere else", collectionName=name, src_nodeID=1)
    run.LoadBalance(_note="loaded, to itself", collectionName=name, src_nodeID=1, dst_nodeIDs=[1])
    run.LoadBalance(_note="loaded, to no node", collectionName=name, src_nodeID=1, dst_nodeIDs=[10**6])
    run.LoadBalance(_note="loaded, no such segments", collectionName=name, src_nodeID=1, sealed_segmentIDs=[5])
    run.LoadBalance(_note="loaded, no such node", collectionName=name, src_nodeID=10**6)
    run.LoadBalance(_note="loaded, no such target", collectionName=name, src_nodeID=10**6, dst_nodeIDs=[10**6 + 1])

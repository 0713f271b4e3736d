"""Resource groups of a server of one node: what they are, and what can't be done with them."""

from calls import BOOK, FLAT, schema
from scenarios import BAD_NAMES, scenario

GROUP = "__default_resource_group"


def nothing_is_loaded(run):
    """Waits for the end of what other scenarios had loaded."""
    run.wait("nothing is loaded", lambda: not run.quiet.DescribeResourceGroup(
        resource_group=GROUP).resource_group.num_loaded_replica)


@scenario
def questions(run):
    nothing_is_loaded(run)
    run.ListResourceGroups()
    for name in (GROUP, *BAD_NAMES):
        run.CreateResourceGroup(resource_group=name)
    for name in (GROUP, "not_there", *BAD_NAMES):
        run.DescribeResourceGroup(resource_group=name)
        run.DropResourceGroup(resource_group=name)


@scenario
def transfers(run):
    nothing_is_loaded(run)
    name = "group_books"
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1)
    for source, target in [(GROUP, GROUP), (GROUP, "not_there"), ("not_there", GROUP), ("not_there", "neither"),
                           *((bad, GROUP) for bad in BAD_NAMES), *((GROUP, bad) for bad in BAD_NAMES)]:
        groups = {"source_resource_group": source, "target_resource_group": target}
        for count in (-1, 0, 1, 2):
            run.TransferNode(num_node=count, **groups)
        run.TransferReplica(collection_name=name, num_replica=1, **groups)
    groups = {"source_resource_group": GROUP, "target_resource_group": GROUP}
    for count in (-1, 0, 2, 2**40):
        run.TransferReplica(collection_name=name, num_replica=count, **groups)
    for collection in ("", "not_there", "12-s"):
        run.TransferReplica(collection_name=collection, num_replica=1, **groups)
    run.TransferReplica(collection_name=name, num_replica=1, db_name="not_there", **groups)


@scenario
def loaded(run):
    nothing_is_loaded(run)
    name = "group_loaded"
    groups = {"source_resource_group": GROUP, "target_resource_group": GROUP}
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=2)
    run.CreateIndex(collection_name=name, field_name="vector", extra_params=FLAT)
    run.LoadCollection(collection_name=name, replica_number=1)
    run.loaded(name)
    run.DescribeResourceGroup(resource_group=GROUP)
    run.DropResourceGroup(resource_group=GROUP)
    run.DropResourceGroup(resource_group="not_there")
    for count in (-1, 0, 1, 2):
        run.TransferNode(num_node=count, **groups)
        run.TransferReplica(collection_name=name, num_replica=count, **groups)
    run.TransferReplica(_note="elsewhere", collection_name=name, num_replica=1, source_resource_group=GROUP,
                        target_resource_group="not_there")
    run.ReleaseCollection(collection_name=name)
    nothing_is_loaded(run)
    run.DescribeResourceGroup(_note="released", resource_group=GROUP)


@scenario
def loaded_in_another_database(run):
    nothing_is_loaded(run)
    name, shelf = "group_of_shelf", "group_shelf"
    run.CreateDatabase(db_name=shelf)
    run.CreateCollection(db_name=shelf, collection_name=name, schema=schema(name, *BOOK), shards_num=1)
    run.CreateIndex(db_name=shelf, collection_name=name, field_name="vector", extra_params=FLAT)
    run.LoadCollection(db_name=shelf, collection_name=name, replica_number=1)
    run.loaded(name, db_name=shelf)
    run.DescribeResourceGroup(resource_group=GROUP)
    run.inside(shelf).DescribeResourceGroup(resource_group=GROUP)
    groups = {"source_resource_group": GROUP, "target_resource_group": GROUP}
    run.TransferReplica(collection_name=name, num_replica=1, **groups)
    run.TransferReplica(db_name=shelf, collection_name=name, num_replica=1, **groups)
    run.inside(shelf).TransferReplica(collection_name=name, num_replica=1, **groups)
    run.ReleaseCollection(db_name=shelf, collection_name=name)

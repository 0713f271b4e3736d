"""Collections, aliases and partitions: made, described, changed, dropped."""

from calls import BOOK, KEY, PAGES, TITLE, VECTOR, field, pairs, schema
from scenarios import scenario


@scenario
def a_collection(run):
    name = "def_one"
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK, description="books"), shards_num=1)
    run.HasCollection(collection_name=name)
    run.DescribeCollection(collection_name=name)
    run.DescribeCollection(collectionID=run.id_of(name))
    run.DescribeCollection(collectionID=7, _note="not there")
    run.ShowCollections(collection_names=[name])
    run.ShowCollections(collection_names=["def_none"])
    run.ShowCollections(type="InMemory")
    run.ShowPartitions(collection_name=name)
    run.GetCollectionStatistics(collection_name=name)
    run.GetLoadState(collection_name=name)
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK, description="books"), shards_num=1)
    run.CreateCollection(collection_name=name, schema=schema(name, KEY, VECTOR), shards_num=1)
    run.DropCollection(collection_name=name)
    run.HasCollection(collection_name=name)
    run.DescribeCollection(collection_name=name)
    run.DropCollection(collection_name=name)


@scenario
def shards_and_levels(run):
    for shards in (0, 1, 16, 17, -1):
        run.CreateCollection(collection_name="def_shards", schema=schema("def_shards", *BOOK), shards_num=shards)
        run.DescribeCollection(collection_name="def_shards")
        run.DropCollection(collection_name="def_shards")
    for level in ("Strong", "Session", "Bounded", "Eventually", "Customized"):
        run.CreateCollection(collection_name="def_level", schema=schema("def_level", *BOOK), shards_num=1,
                             consistency_level=level)
        run.DescribeCollection(collection_name="def_level")
        run.DropCollection(collection_name="def_level")


@scenario
def properties(run):
    name = "def_props"
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1,
                         properties=pairs(**{"collection.ttl.seconds": 60}))
    run.DescribeCollection(collection_name=name)
    for key, value in (("collection.ttl.seconds", 90), ("collection.ttl.seconds", "x"), ("my.own", "yes"),
                       ("mmap.enabled", "true")):
        run.AlterCollection(collection_name=name, properties=pairs(**{key: value}))
    run.AlterCollection(collection_name=name)
    run.DescribeCollection(collection_name=name)


SCHEMAS = {
    "no fields": (),
    "no key": (PAGES, VECTOR),
    "no vector": (KEY, PAGES),
    "two keys": (KEY, field("id2", "Int64", key=True), VECTOR),
    "two vectors": (KEY, VECTOR, field("vector2", "FloatVector", dim=4)),
    "same name twice": (KEY, VECTOR, PAGES, PAGES),
    "key of a float": (field("id", "Float", key=True), VECTOR),
    "key of a vector": (field("id", "FloatVector", key=True, dim=4), VECTOR),
    "key of text without length": (field("id", "VarChar", key=True), VECTOR),
    "auto key of Int32": (field("id", "Int32", key=True, autoID=True), VECTOR),
    "auto id of a plain field": (KEY, field("pages", "Int64", autoID=True), VECTOR),
    "no type": (KEY, field("x", "None"), VECTOR),
    "text of String": (KEY, field("x", "String"), VECTOR),
    "text without length": (KEY, field("x", "VarChar"), VECTOR),
    "text of length 0": (KEY, field("x", "VarChar", max_length=0), VECTOR),
    "text of length -1": (KEY, field("x", "VarChar", max_length=-1), VECTOR),
    "text of length 65535": (KEY, field("x", "VarChar", max_length=65535), VECTOR),
    "text of length 65536": (KEY, field("x", "VarChar", max_length=65536), VECTOR),
    "text of length a": (KEY, field("x", "VarChar", max_length="a"), VECTOR),
    "no dim": (KEY, field("vector", "FloatVector")),
    "dim 0": (KEY, field("vector", "FloatVector", dim=0)),
    "dim 1": (KEY, field("vector", "FloatVector", dim=1)),
    "dim -1": (KEY, field("vector", "FloatVector", dim=-1)),
    "dim 32768": (KEY, field("vector", "FloatVector", dim=32768)),
    "dim 32769": (KEY, field("vector", "FloatVector", dim=32769)),
    "dim a": (KEY, field("vector", "FloatVector", dim="a")),
    "binary dim 1": (KEY, field("vector", "BinaryVector", dim=1)),
    "binary dim 12": (KEY, field("vector", "BinaryVector", dim=12)),
    "binary dim 262144": (KEY, field("vector", "BinaryVector", dim=262144)),
    "binary dim 262152": (KEY, field("vector", "BinaryVector", dim=262152)),
    "array of nothing": (KEY, VECTOR, field("x", "Array", max_capacity=4)),
    "array of JSON": (KEY, VECTOR, field("x", "Array", element_type="JSON", max_capacity=4)),
    "array of arrays": (KEY, VECTOR, field("x", "Array", element_type="Array", max_capacity=4)),
    "array without capacity": (KEY, VECTOR, field("x", "Array", element_type="Int64")),
    "array of capacity 0": (KEY, VECTOR, field("x", "Array", element_type="Int64", max_capacity=0)),
    "array of capacity 4097": (KEY, VECTOR, field("x", "Array", element_type="Int64", max_capacity=4097)),
    "array of capacity a": (KEY, VECTOR, field("x", "Array", element_type="Int64", max_capacity="a")),
    "array of text without length": (KEY, VECTOR, field("x", "Array", element_type="VarChar", max_capacity=4)),
    "64 fields": (KEY, VECTOR, *(field(f"f{place}", "Int64") for place in range(62))),
    "65 fields": (KEY, VECTOR, *(field(f"f{place}", "Int64") for place in range(63))),
    "partition key on the key": (field("id", "Int64", key=True, is_partition_key=True), VECTOR),
    "partition key of Float": (KEY, VECTOR, field("x", "Float", is_partition_key=True)),
    "two partition keys": (KEY, VECTOR, field("x", "Int64", is_partition_key=True),
                           field("y", "Int64", is_partition_key=True)),
    "a field named $meta": (KEY, VECTOR, field("$meta", "JSON")),
    "a field named RowID": (KEY, VECTOR, field("RowID", "Int64")),
    "a field named Timestamp": (KEY, VECTOR, field("Timestamp", "Int64")),
    "a default value": (KEY, VECTOR, field("x", "Int64", default_value={"long_data": 5})),
    "a default value of the wrong type": (KEY, VECTOR, field("x", "Int64", default_value={"string_data": "a"})),
    "default values of every type": (
        KEY, VECTOR, field("flag", "Bool", default_value={"bool_data": True}),
        field("tiny", "Int8", default_value={"int_data": -128}),
        field("small", "Int16", default_value={"int_data": 32767}),
        field("middle", "Int32", default_value={"int_data": -2**31}),
        field("ratio", "Float", default_value={"float_data": 0.5}),
        field("exact", "Double", default_value={"double_data": -0.25}),
        field("text", "VarChar", max_length=4, default_value={"string_data": "abcd"})),
    "a default value of 0": (KEY, VECTOR, field("x", "Int64", default_value={"long_data": 0})),
    "a default value of Int8 128": (KEY, VECTOR, field("x", "Int8", default_value={"int_data": 128})),
    "a default value of Int16 -32769": (KEY, VECTOR, field("x", "Int16", default_value={"int_data": -32769})),
    "a long number as the default of Int32": (KEY, VECTOR, field("x", "Int32", default_value={"long_data": 1})),
    "a number as the default of Int64": (KEY, VECTOR, field("x", "Int64", default_value={"int_data": 1})),
    "a double as the default of Float": (KEY, VECTOR, field("x", "Float", default_value={"double_data": 1})),
    "a float as the default of Double": (KEY, VECTOR, field("x", "Double", default_value={"float_data": 1})),
    "a number as the default of Bool": (KEY, VECTOR, field("x", "Bool", default_value={"int_data": 1})),
    "a flag as the default of Int8": (KEY, VECTOR, field("x", "Int8", default_value={"bool_data": True})),
    "a default text too long": (KEY, VECTOR, field("x", "VarChar", max_length=4,
                                                   default_value={"string_data": "abcde"})),
    "a default value of a vector": (KEY, field("vector", "FloatVector", dim=4, default_value={"float_data": 1})),
    "a default value of JSON": (KEY, VECTOR, field("x", "JSON", default_value={"string_data": "{}"})),
    "a default value of an array": (KEY, VECTOR, field("x", "Array", element_type="Int64", max_capacity=4,
                                                       default_value={"long_data": 1})),
    "a default value of the partition key": (KEY, VECTOR, field("x", "Int64", is_partition_key=True,
                                                                default_value={"long_data": 5})),
    "a wrong default value and a field named RowID": (
        KEY, VECTOR, field("RowID", "Int64", default_value={"int_data": 1})),
    "a default value of the key": (field("id", "Int64", key=True, default_value={"long_data": 5}), VECTOR),
}


@scenario
def schemas(run):
    name = "def_schema"
    for what, fields in SCHEMAS.items():
        run.CreateCollection(_note=what, collection_name=name, schema=schema(name, *fields), shards_num=1)
        run.DescribeCollection(_note=what, collection_name=name)
        run.quiet.DropCollection(collection_name=name)
    run.CreateCollection(_note="bytes that are no schema", collection_name=name, schema=b"\xff\xff", shards_num=1)
    run.CreateCollection(_note="another name in the schema", collection_name=name, schema=schema("x", *BOOK),
                         shards_num=1)
    run.DescribeCollection(collection_name=name)


@scenario
def aliases(run):
    for name in ("def_a", "def_b"):
        run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1)
    run.CreateAlias(collection_name="def_a", alias="def_x")
    run.CreateAlias(collection_name="def_a", alias="def_x")
    run.CreateAlias(collection_name="def_b", alias="def_x")
    run.CreateAlias(collection_name="def_x", alias="def_y")
    run.CreateAlias(collection_name="def_a", alias="def_b")
    run.CreateAlias(collection_name="def_a", alias="def_a")
    run.DescribeCollection(collection_name="def_x")
    run.HasCollection(collection_name="def_x")
    run.DropCollection(collection_name="def_x")
    run.RenameCollection(oldName="def_x", newName="def_z")
    run.RenameCollection(oldName="def_b", newName="def_x")
    run.RenameCollection(oldName="def_b", newName="def_a")
    run.RenameCollection(oldName="def_b", newName="def_b")
    run.CreateCollection(collection_name="def_x", schema=schema("def_x", *BOOK), shards_num=1)
    run.AlterAlias(collection_name="def_b", alias="def_x")
    run.AlterAlias(collection_name="def_b", alias="def_none")
    run.AlterAlias(collection_name="def_b", alias="def_a")
    run.DescribeAlias(alias="def_x")
    run.ListAliases(collection_name="def_b")
    run.DropAlias(alias="def_none")
    run.DropAlias(alias="def_a")
    run.DropAlias(alias="def_x")
    run.DropAlias(alias="def_x")
    run.RenameCollection(oldName="def_b", newName="def_c")
    run.DescribeCollection(collection_name="def_c")
    run.RenameCollection(oldName="def_b", newName="def_d")


@scenario
def partitions(run):
    name = "def_p"
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1)
    run.CreatePartition(collection_name=name, partition_name="p")
    run.CreatePartition(collection_name=name, partition_name="p")
    run.CreatePartition(collection_name=name, partition_name="_default")
    run.HasPartition(collection_name=name, partition_name="p")
    run.HasPartition(collection_name=name, partition_name="_default")
    run.ShowPartitions(collection_name=name)
    run.ShowPartitions(collection_name=name, partition_names=["p"])
    run.ShowPartitions(collection_name=name, partition_names=["not_there"])
    run.GetPartitionStatistics(collection_name=name, partition_name="p")
    run.DropPartition(collection_name=name, partition_name="_default")
    run.DropPartition(collection_name=name, partition_name="p")
    run.DropPartition(collection_name=name, partition_name="p")
    run.HasPartition(collection_name=name, partition_name="p")


@scenario
def partition_keys(run):
    name = "def_key"
    keyed = (KEY, field("title", "VarChar", max_length=16, is_partition_key=True), PAGES, VECTOR)
    for count in (-1, 0, 5, 4096, 4097):
        run.CreateCollection(collection_name=name, schema=schema(name, *keyed), shards_num=1, num_partitions=count)
        run.quiet.DropCollection(collection_name=name)
    run.CreateCollection(collection_name=name, schema=schema(name, *BOOK), shards_num=1, num_partitions=5)
    run.CreateCollection(collection_name=name, schema=schema(name, *keyed), shards_num=1, num_partitions=3)
    run.DescribeCollection(collection_name=name)
    run.ShowPartitions(collection_name=name)
    run.CreatePartition(collection_name=name, partition_name="p")
    run.DropPartition(collection_name=name, partition_name="_default_0")
    run.HasPartition(collection_name=name, partition_name="_default_0")
    run.LoadPartitions(collection_name=name, partition_names=["_default_0"], replica_number=1)
    run.ReleasePartitions(collection_name=name, partition_names=["_default_0"])


@scenario
def databases(run):
    run.ListDatabases()
    run.CreateDatabase(db_name="def_db")
    run.CreateDatabase(db_name="def_db")
    run.CreateDatabase(db_name="default")
    run.ListDatabases()
    run.CreateCollection(db_name="def_db", collection_name="def_in", schema=schema("def_in", *BOOK), shards_num=1)
    run.HasCollection(db_name="def_db", collection_name="def_in")
    run.HasCollection(collection_name="def_in")
    run.inside("def_db").HasCollection(collection_name="def_in")
    run.inside("def_db").DescribeCollection(collection_name="def_in")
    run.inside("def_db").ShowCollections()
    run.DropDatabase(db_name="def_db")
    run.RenameCollection(db_name="def_db", oldName="def_in", newName="def_out", newDBName="default")
    run.RenameCollection(oldName="def_out", newName="def_in", newDBName="def_none")
    run.DropDatabase(db_name="def_db")
    run.DropDatabase(db_name="def_db")
    run.DropDatabase(db_name="default")
    for database in (run.inside("def_none"),):
        database.Connect()
        database.ShowCollections()
        database.HasCollection(collection_name="def_in")
        database.DescribeCollection(collection_name="def_in")
        database.CreateCollection(collection_name="def_in", schema=schema("def_in", *BOOK), shards_num=1)
        database.DropCollection(collection_name="def_in")
        database.Query(collection_name="def_in", expr="id > 0")
        database.LoadCollection(collection_name="def_in", replica_number=1)
        database.CreateAlias(collection_name="def_in", alias="def_x")
        database.DropAlias(alias="def_x")
    run.ShowCollections(db_name="def_none")


@scenario
def many_databases(run):
    for place in range(66):
        run.CreateDatabase(db_name=f"def_many{place}")

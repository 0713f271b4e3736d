"""The error catalogue: answers to wrong requests, through pymilvus and, where pymilvus checks first, raw.

Codes are `Status.code` / `Status.error_code`. After each test the collection it was aimed at must be as before.
"""

import math
import time

import grpc
import pytest
from helpers import GRPC, VERSION, check_phrases, is_datacoord, raw, refused, segments, vectors
from pymilvus import (
    Collection,
    CollectionSchema,
    DataType,
    FieldSchema,
    MilvusClient,
    MilvusException,
    connections,
    utility,
)
from pymilvus.grpc_gen import common_pb2, schema_pb2
from pymilvus.grpc_gen import milvus_pb2 as pb

DIM = 4
ROWS = 50
SHELF = "errors_shelf"
MISSING = "no_such_book"
FLAT = {"index_type": "FLAT", "metric_type": "L2", "params": {}}
FAST = 10
"""Seconds within which an error must arrive: a client that retries takes minutes."""

pytestmark = pytest.mark.filterwarnings("ignore")


def schema_of(*fields, **options):
    return CollectionSchema(list(fields), **options)


KEY = FieldSchema("id", DataType.INT64, is_primary=True)
TITLE = FieldSchema("title", DataType.VARCHAR, max_length=8)
VECTOR = FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIM)


@pytest.fixture(scope="module")
def shelf(connection):
    """A loaded collection with one flushed segment."""
    for name in ("loose_" + SHELF, SHELF):
        utility.drop_collection(name)
    collection = Collection(SHELF, schema_of(KEY, TITLE, VECTOR), consistency_level="Strong")
    collection.insert(columns(range(ROWS)))
    collection.flush()
    collection.create_index("vector", FLAT)
    collection.load()
    yield collection
    utility.drop_collection(SHELF)


@pytest.fixture(autouse=True)
def unchanged(shelf):
    """A refused call must have left nothing behind, and must have been refused at once."""
    before, started = picture(shelf), time.monotonic()
    yield
    assert time.monotonic() - started < FAST
    assert picture(shelf) == before


def picture(collection):
    rows = collection.query("id >= 0", output_fields=["id", "title"], consistency_level="Strong")
    return (
        sorted((row["id"], row["title"]) for row in rows),
        segments(SHELF),
        sorted(utility.list_collections()),
        sorted(utility.list_aliases(SHELF)),
        sorted(partition.name for partition in collection.partitions),
        sorted(index.index_name for index in collection.indexes),
    )


def columns(keys):
    return [list(keys), [f"t{key}" for key in keys], vectors(keys, DIM)]


def answered(answer, code, error_code, *phrases):
    """Requires this Status in an answer, or as the answer."""
    status = getattr(answer, "status", answer)
    assert (status.code, status.error_code) == (code, error_code), status
    check_phrases(status.reason, phrases)


# --- missing things ---------------------------------------------------------------------------------------------

MISSING_COLLECTION = {
    "Insert": pb.InsertRequest(collection_name=MISSING, num_rows=1),
    "Upsert": pb.UpsertRequest(collection_name=MISSING, num_rows=1),
    "Delete": pb.DeleteRequest(collection_name=MISSING, expr="id in [1]"),
    "Flush": pb.FlushRequest(collection_names=[MISSING]),
    "GetFlushState": pb.GetFlushStateRequest(collection_name=MISSING, flush_ts=1),
    "GetCollectionStatistics": pb.GetCollectionStatisticsRequest(collection_name=MISSING),
    "GetPartitionStatistics": pb.GetPartitionStatisticsRequest(collection_name=MISSING, partition_name="_default"),
    "GetPersistentSegmentInfo": pb.GetPersistentSegmentInfoRequest(collectionName=MISSING),
    "GetQuerySegmentInfo": pb.GetQuerySegmentInfoRequest(collectionName=MISSING),
    "LoadCollection": pb.LoadCollectionRequest(collection_name=MISSING),
    "ReleaseCollection": pb.ReleaseCollectionRequest(collection_name=MISSING),
    "Query": pb.QueryRequest(collection_name=MISSING, expr="id >= 0"),
    "CreateIndex": pb.CreateIndexRequest(collection_name=MISSING, field_name="vector"),
    "DescribeIndex": pb.DescribeIndexRequest(collection_name=MISSING),
    "CreatePartition": pb.CreatePartitionRequest(collection_name=MISSING, partition_name="p"),
    "ShowPartitions": pb.ShowPartitionsRequest(collection_name=MISSING),
    "CreateAlias": pb.CreateAliasRequest(collection_name=MISSING, alias="errors_alias"),
    "RenameCollection": pb.RenameCollectionRequest(oldName=MISSING, newName="errors_other"),
}


@pytest.mark.parametrize("call", MISSING_COLLECTION)
def test_missing_collection(call):
    answered(getattr(raw(), call)(MISSING_COLLECTION[call]), 100, 4, "not found", MISSING)


def test_missing_collection_is_described_with_the_phrase_clients_look_for():
    for which in ({"collection_name": MISSING}, {"collectionID": 7}):
        answer = raw().DescribeCollection(pb.DescribeCollectionRequest(**which))
        answered(answer, 100, 1, "can't find collection")
    assert not utility.has_collection(MISSING)
    answer = raw().HasCollection(pb.HasCollectionRequest(collection_name=MISSING))
    assert answer.value is False
    answered(answer, 0, 0)


def test_missing_collection_through_pymilvus():
    client = MilvusClient(uri=f"http://{GRPC}")
    assert not client.has_collection(MISSING)
    for call in (
        lambda: client.describe_collection(MISSING),
        lambda: client.insert(MISSING, {"id": 1}),
        lambda: client.delete(MISSING, ids=[1]),
        lambda: client.load_collection(MISSING),
        lambda: client.get_collection_stats(MISSING),
        lambda: client.list_partitions(MISSING),
    ):
        with refused(100):
            call()
    if VERSION >= (2, 6) and is_datacoord():
        with refused(100):
            client.compact(MISSING)
        with refused(100):
            client.flush(MISSING)
    client.drop_collection(MISSING)
    client.close()


def test_describe_without_a_name():
    answered(raw().DescribeCollection(pb.DescribeCollectionRequest()), 1100, 5)


def test_missing_alias(shelf):
    answered(raw().DescribeAlias(pb.DescribeAliasRequest(alias="no_such_alias")), 1600, 1, "alias not found")
    with refused(1600, "alias not found"):
        utility.alter_alias(SHELF, "no_such_alias")
    utility.drop_alias("no_such_alias")


def test_missing_partition(shelf):
    with refused(200, "partition not found"):
        shelf.insert(columns([900]), partition_name="no_such_partition")
    with refused(200, "partition not found"):
        shelf.upsert(columns([1]), partition_name="no_such_partition")
    with refused(200, "partition not found"):
        shelf.delete("id in [1]", partition_name="no_such_partition")
    stats = pb.GetPartitionStatisticsRequest(collection_name=SHELF, partition_name="no_such_partition")
    answered(raw().GetPartitionStatistics(stats), 200, 15, "partition not found")
    answered(raw().DropPartition(pb.DropPartitionRequest(collection_name=SHELF, partition_name="no_such")), 0, 0)
    assert not shelf.has_partition("no_such_partition")


def test_partition_names(shelf):
    default = pb.DropPartitionRequest(collection_name=SHELF, partition_name="_default")
    answered(raw().DropPartition(default), 65535, 1)
    for name in ("", "a-b", "with space", "x" * 256):
        bad = pb.CreatePartitionRequest(collection_name=SHELF, partition_name=name)
        answered(raw().CreatePartition(bad), 65535, 1)


def test_missing_database():
    answer, _ = raw().ShowCollections.with_call(pb.ShowCollectionsRequest(), metadata=[("dbname", "no_such_db")])
    answered(answer, 800, 1, "database not found")


# --- compaction -------------------------------------------------------------------------------------------------


def test_compaction_of_a_missing_name(datacoord):
    answered(raw_compact(collection_name=MISSING), 100, 4, "not found")


def raw_compact(**fields):
    """ManualCompaction with fields that an old pymilvus does not know: field 4 is collection_name, a string."""
    names = pb.ManualCompactionRequest.DESCRIPTOR.fields_by_name
    known = {name: value for name, value in fields.items() if name in names}
    data = pb.ManualCompactionRequest(**known).SerializeToString()
    if "collection_name" in fields and "collection_name" not in known:
        name = fields["collection_name"].encode()
        data += bytes([4 << 3 | 2, len(name)]) + name
    return raw().ManualCompaction(pb.ManualCompactionRequest.FromString(data))


def test_compaction_of_nothing_in_particular_is_refused(datacoord):
    for fields in ({}, {"collectionID": 0}, {"collectionID": -1}):
        status = raw_compact(**fields).status
        assert status.code in (100, 1100) and status.error_code != 0, status


@pytest.mark.parametrize("job", [1, 123456789, -5, 2**63 - 1])
def test_unknown_compaction(job):
    state = raw().GetCompactionState(pb.GetCompactionStateRequest(compactionID=job))
    plans = raw().GetCompactionStateWithPlans(pb.GetCompactionPlansRequest(compactionID=job))
    if is_datacoord():
        for answer in (state, plans):
            assert answer.status.code != 0 and answer.status.error_code != 0, answer
            assert answer.status.code != 8 and answer.status.error_code != 49, "a client would retry that"
    else:
        answered(state, 0, 0)
        answered(plans, 0, 0)
        assert state.state == plans.state == common_pb2.Completed and not plans.mergeInfos


def test_unknown_compaction_through_pymilvus(shelf, datacoord):
    shelf.compaction_id = 123456789
    for call in (shelf.get_compaction_state, shelf.get_compaction_plans, shelf.wait_for_compaction_completed):
        with pytest.raises(MilvusException):
            call(timeout=5)


def test_compaction_id_zero(datacoord):
    assert raw().GetCompactionState(pb.GetCompactionStateRequest(compactionID=0)).status.code != 0
    assert raw().GetCompactionStateWithPlans(pb.GetCompactionPlansRequest(compactionID=0)).status.code != 0


# --- rows that do not fit the schema ----------------------------------------------------------------------------


def longs(name, values):
    return schema_pb2.FieldData(type=DataType.INT64, field_name=name, scalars=schema_pb2.ScalarField(
        long_data=schema_pb2.LongArray(data=values)))


def strings(name, values):
    return schema_pb2.FieldData(type=DataType.VARCHAR, field_name=name, scalars=schema_pb2.ScalarField(
        string_data=schema_pb2.StringArray(data=values)))


def floats(name, values, dim=DIM):
    return schema_pb2.FieldData(type=DataType.FLOAT_VECTOR, field_name=name, vectors=schema_pb2.VectorField(
        dim=dim, float_vector=schema_pb2.FloatArray(data=values)))


ID, NAME, POINT = longs("id", [900]), strings("title", ["new"]), floats("vector", [0.5] * DIM)
WRONG_ROWS = {
    "dimension": ([ID, NAME, floats("vector", [0.5] * (DIM + 1), DIM + 1)], 1, 65535, 1),
    "vector length": ([ID, NAME, floats("vector", [0.5] * (DIM + 1))], 1, 65535, 1),
    "NaN": ([ID, NAME, floats("vector", [math.nan] + [0.5] * (DIM - 1))], 1, 65535, 1),
    "infinity": ([ID, NAME, floats("vector", [math.inf] + [0.5] * (DIM - 1))], 1, 65535, 1),
    "type": ([ID, longs("title", [1]), POINT], 1, 1100, 5),
    "key type": ([strings("id", ["x"]), NAME, POINT], 1, 1100, 5),
    "too long": ([ID, strings("title", ["x" * 9]), POINT], 1, 1100, 5),
    "too long in bytes": ([ID, strings("title", ["日本語"]), POINT], 1, 1100, 5),
    "missing field": ([ID, POINT], 1, 1100, 5),
    "field twice": ([ID, NAME, NAME, POINT], 1, 1100, 5),
    "unknown field": ([ID, NAME, POINT, longs("pages", [1])], 1, 1100, 5),
    "no rows": ([], 0, 1100, 5),
    "number of rows": ([ID, NAME, POINT], 2, 1100, 5),
    "ragged": ([longs("id", [900, 901]), NAME, floats("vector", [0.5] * 2 * DIM)], 2, 1100, 5),
}


@pytest.mark.parametrize("call", ["Insert", "Upsert"])
@pytest.mark.parametrize("case", WRONG_ROWS)
def test_rows_that_do_not_fit(call, case):
    if case == "key type" and not is_datacoord():
        pytest.skip("stock Milvus died in this test")
    fields, rows, code, error_code = WRONG_ROWS[case]
    request = getattr(pb, call + "Request")(collection_name=SHELF, fields_data=fields, num_rows=rows)
    answer = getattr(raw(), call)(request)
    answered(answer, code, error_code)
    assert (answer.insert_cnt, answer.upsert_cnt) == (0, 0)
    assert list(answer.err_index) == list(range(rows))


def test_one_bad_row_refuses_the_whole_request():
    fields = [longs("id", [900, 901]), strings("title", ["fine", "much too long"]), floats("vector", [0.5] * 2 * DIM)]
    answer = raw().Insert(pb.InsertRequest(collection_name=SHELF, fields_data=fields, num_rows=2))
    answered(answer, 1100, 5, "exceeds max length")


def test_rows_that_do_not_fit_through_pymilvus(shelf):
    for bad in (
        [[900], ["new"], [[0.5] * (DIM + 1)]],
        [[900], [7], [[0.5] * DIM]],
        [[900], ["much too long"], [[0.5] * DIM]],
        [[900], ["new"]],
    ):
        with pytest.raises(MilvusException):
            shelf.insert(bad)


# --- expressions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expr", ["id in [", "id ===== 1", "nothing == 1", "id in ['x']", "title > 5", "id"])
def test_bad_expression(expr):
    answered(raw().Delete(pb.DeleteRequest(collection_name=SHELF, expr=expr)), 65535, 1)
    answer = raw().Query(pb.QueryRequest(collection_name=SHELF, expr=expr, output_fields=["id"]))
    assert answer.status.code in (65535, 1100) and answer.status.error_code != 0, answer.status


def test_bad_expression_through_pymilvus(shelf):
    with refused(65535, "expr"):
        shelf.delete("id in [")
    with pytest.raises(MilvusException):
        shelf.query("nothing == 1")
    with pytest.raises(MilvusException):
        shelf.query("id >= 0", output_fields=["no_such_field"])


def test_delete_without_an_expression(shelf):
    assert raw().Delete(pb.DeleteRequest(collection_name=SHELF, expr="")).status.code != 0


# --- collections ------------------------------------------------------------------------------------------------


def create(name, schema, **options):
    data = schema if isinstance(schema, bytes) else schema.SerializeToString()
    return raw().CreateCollection(pb.CreateCollectionRequest(collection_name=name, schema=data, **options))


def pairs(**values):
    return [common_pb2.KeyValuePair(key=key, value=value) for key, value in values.items()]


def field(name, data_type, **options):
    params = options.pop("params", {})
    return schema_pb2.FieldSchema(name=name, data_type=data_type, type_params=pairs(**params), **options)


def schema_message(name, *fields):
    return schema_pb2.CollectionSchema(name=name, fields=fields)


PK = field("id", DataType.INT64, is_primary_key=True)
VEC = field("vector", DataType.FLOAT_VECTOR, params={"dim": "4"})
BAD_SCHEMAS = {
    "no primary key": [field("id", DataType.INT64), VEC],
    "two primary keys": [PK, field("other", DataType.INT64, is_primary_key=True), VEC],
    "float primary key": [field("id", DataType.FLOAT, is_primary_key=True), VEC],
    "two vector fields": [PK, VEC, field("vector2", DataType.FLOAT_VECTOR, params={"dim": "4"})],
    "no dim": [PK, field("vector", DataType.FLOAT_VECTOR)],
    "dim 0": [PK, field("vector", DataType.FLOAT_VECTOR, params={"dim": "0"})],
    "dim too large": [PK, field("vector", DataType.FLOAT_VECTOR, params={"dim": "32769"})],
    "varchar without max_length": [PK, VEC, field("title", DataType.VARCHAR)],
    "same name twice": [PK, VEC, field("a", DataType.INT64), field("a", DataType.INT64)],
}


@pytest.mark.parametrize("case", BAD_SCHEMAS)
def test_bad_schema(case):
    answered(create("errors_bad", schema_message("errors_bad", *BAD_SCHEMAS[case])), 65535, 1)


def test_schema_that_does_not_parse():
    answered(create("errors_bad", b"\xff\xff\xff not a schema"), 65535, 1)


def test_too_many_shards():
    answered(create("errors_bad", schema_message("errors_bad", PK, VEC), shards_num=17), 65535, 1)


@pytest.mark.parametrize("name", ["", "9lives", "a-b", "with space", "naïve", "x" * 256])
def test_bad_collection_name(name):
    answered(create(name, schema_message(name, PK, VEC)), 1100, 5, "collection name")


def test_name_that_differs_from_the_schema():
    answered(create("errors_bad", schema_message("errors_worse", PK, VEC)), 1100, 5)


def test_varchar_length_out_of_range():
    for length in ("0", "65536"):
        title = field("title", DataType.VARCHAR, params={"max_length": length})
        answered(create("errors_bad", schema_message("errors_bad", PK, VEC, title)), 1100, 5)


def test_duplicate_collection(shelf):
    connection = connections._fetch_handler("default")
    connection.create_collection(SHELF, schema_of(KEY, TITLE, VECTOR), consistency_level="Strong")
    with refused(65535, "duplicate collection"):
        connection.create_collection(SHELF, schema_of(KEY, VECTOR), consistency_level="Strong")


def test_names_that_collide(shelf):
    name = "loose_" + SHELF
    utility.create_alias(SHELF, name)
    try:
        utility.create_alias(SHELF, name)
        answered(create(name, schema_message(name, PK, VEC)), 65535, 1)
        with refused(65535, "alias"):
            utility.drop_collection(name)
        other = Collection(name + "_2", schema_of(KEY, VECTOR))
        with refused(1601, "conflict"):
            utility.create_alias(SHELF, other.name)
        other.drop()
    finally:
        utility.drop_alias(name)


# --- index and load ---------------------------------------------------------------------------------------------


def test_collection_that_is_not_loaded(shelf):
    name = "loose_" + SHELF
    other = Collection(name, schema_of(KEY, TITLE, VECTOR))
    try:
        answered(raw().LoadCollection(pb.LoadCollectionRequest(collection_name=name)), 700, 25, "index not found")
        answered(raw().DescribeIndex(pb.DescribeIndexRequest(collection_name=name)), 700, 25, "index not found")
        assert other.indexes == []
        flat = pairs(index_type="FLAT")
        missing = pb.CreateIndexRequest(collection_name=name, field_name="no_such", extra_params=flat)
        answered(raw().CreateIndex(missing), 65535, 1)
        answered(raw().GetLoadState(pb.GetLoadStateRequest(collection_name=MISSING)), 0, 0)
        answer = raw().GetQuerySegmentInfo(pb.GetQuerySegmentInfoRequest(collectionName=name))
        answered(answer, 0, 0)
        assert not answer.infos
        answered(raw().GetLoadingProgress(pb.GetLoadingProgressRequest(collection_name=name)), 101, 1, "not loaded")
    finally:
        other.drop()


def test_alter_with_no_properties():
    answered(raw().AlterCollection(pb.AlterCollectionRequest(collection_name=SHELF)), 65535, 1)


def test_rename_to_a_name_that_is_taken(shelf):
    other = Collection("loose_" + SHELF, schema_of(KEY, VECTOR))
    try:
        with pytest.raises(MilvusException):
            utility.rename_collection(other.name, SHELF)
    finally:
        other.drop()


# --- gRPC -------------------------------------------------------------------------------------------------------


def test_oversized_request_is_refused_at_once():
    title = strings("title", ["x" * 1024] * 70_000)
    with pytest.raises(grpc.RpcError) as caught:
        raw().Insert(pb.InsertRequest(collection_name=SHELF, fields_data=[title], num_rows=70_000), timeout=FAST)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, caught.value
    assert "larger than max" in caught.value.details() and "67108864" in caught.value.details()


def test_oversized_insert_is_not_retried_by_pymilvus():
    name = "loose_" + SHELF
    text = FieldSchema("text", DataType.VARCHAR, max_length=65535)
    other = Collection(name, schema_of(KEY, text, VECTOR))
    try:
        started = time.monotonic()
        with pytest.raises((grpc.RpcError, MilvusException), match="larger than max"):
            other.insert([list(range(1100)), ["x" * 65000] * 1100, [[0.5] * DIM] * 1100])
        assert time.monotonic() - started < FAST
        assert other.num_entities == 0
    finally:
        other.drop()


def test_a_request_just_under_the_limit_is_taken():
    name = "loose_" + SHELF
    text = FieldSchema("text", DataType.VARCHAR, max_length=65535)
    other = Collection(name, schema_of(KEY, text, VECTOR))
    try:
        assert other.insert([list(range(1000)), ["x" * 65000] * 1000, [[0.5] * DIM] * 1000]).insert_count == 1000
    finally:
        other.drop()


@pytest.mark.parametrize("path", ["/milvus.proto.milvus.MilvusService/NoSuchCall", "/no.such.Service/Call"])
def test_unknown_method_is_unimplemented(path):
    channel = grpc.insecure_channel(GRPC)
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(b"", timeout=FAST)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    channel.close()


def test_garbage_in_a_request_is_not_retried():
    channel = grpc.insecure_channel(GRPC)
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/milvus.proto.milvus.MilvusService/DescribeCollection")(b"\xff\xff\xff", timeout=FAST)
    if is_datacoord():
        assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED), caught.value
    channel.close()



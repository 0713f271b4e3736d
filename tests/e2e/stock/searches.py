"""The same rows and the same searches on both servers: the same keys, the same values, the same refusals.

A part of the rows is flushed, a part is not, some are deleted. E2E_STOCK is the program `milvus-server`.
"""

import json
import os
import random
import struct

import grpc
import pytest
from helpers import raw, wait_until
from pymilvus.grpc_gen import common_pb2, milvus_pb2_grpc, schema_pb2
from pymilvus.grpc_gen import milvus_pb2 as pb
from stock_server import stock_server

DIM = 16
ROWS = 600
DELETED = range(0, ROWS, 11)
FLUSHED = 400
FLOATS, BITS = schema_pb2.FloatVector, schema_pb2.BinaryVector
METRICS = {"L2": FLOATS, "IP": FLOATS, "COSINE": FLOATS, "HAMMING": BITS, "JACCARD": BITS, "SUBSTRUCTURE": BITS,
           "SUPERSTRUCTURE": BITS}
TIES = {"HAMMING", "JACCARD", "SUBSTRUCTURE", "SUPERSTRUCTURE"}
"""Metrics in which many rows are equally near; the real server orders those by chance."""


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """The service of the real server."""
    with stock_server(os.environ["E2E_STOCK"], tmp_path_factory.mktemp("stock")) as (port, _), \
            grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield milvus_pb2_grpc.MilvusServiceStub(channel)


def pairs(**values):
    return [common_pb2.KeyValuePair(key=key, value=str(value)) for key, value in values.items()]


def ok(answer):
    status = getattr(answer, "status", answer)
    assert status.code == 0 and status.error_code == 0, status
    return answer


def vector(kind, chance):
    if kind == BITS:
        # Few bits, so that some vectors contain others.
        return bytes(chance.getrandbits(8) & chance.getrandbits(8) & chance.getrandbits(8) for _ in range(DIM // 8))
    return struct.pack(f"<{DIM}f", *(chance.uniform(-1, 1) for _ in range(DIM)))


def key_of(text_keys, number):
    return f"k{number:05d}" if text_keys else number


class Book:
    """A collection on one server."""

    def __init__(self, stub, name, metric, text_keys):
        self.stub, self.name, self.kind, self.text_keys = stub, name, METRICS[metric], text_keys
        key = schema_pb2.FieldSchema(name="id", is_primary_key=True, data_type=schema_pb2.Int64)
        if text_keys:
            key.data_type = schema_pb2.VarChar
            key.type_params.extend(pairs(max_length=20))
        fields = [key, schema_pb2.FieldSchema(name="n", data_type=schema_pb2.Int64),
                  schema_pb2.FieldSchema(name="v", data_type=self.kind, type_params=pairs(dim=DIM))]
        schema = schema_pb2.CollectionSchema(name=name, fields=fields)
        ok(stub.CreateCollection(pb.CreateCollectionRequest(
            collection_name=name, schema=schema.SerializeToString(), shards_num=2,
            properties=pairs(**{"collection.autocompaction.enabled": "false"}))))
        ok(stub.CreatePartition(pb.CreatePartitionRequest(collection_name=name, partition_name="odd")))
        index = "BIN_FLAT" if self.kind == BITS else "FLAT"
        ok(stub.CreateIndex(pb.CreateIndexRequest(
            collection_name=name, field_name="v", extra_params=pairs(index_type=index, metric_type=metric, params="{}"))))
        ok(stub.LoadCollection(pb.LoadCollectionRequest(collection_name=name, replica_number=1)))
        wait_until("it is loaded", lambda: stub.GetLoadingProgress(
            pb.GetLoadingProgressRequest(collection_name=name)).progress == 100)

    def insert(self, numbers, partition):
        vectors = [vector(self.kind, random.Random(number)) for number in numbers]
        keys = [key_of(self.text_keys, number) for number in numbers]
        ids = schema_pb2.ScalarField(string_data=schema_pb2.StringArray(data=keys)) if self.text_keys else \
            schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=keys))
        column = schema_pb2.VectorField(dim=DIM)
        if self.kind == BITS:
            column.binary_vector = b"".join(vectors)
        else:
            column.float_vector.data.extend(struct.unpack(f"<{DIM * len(numbers)}f", b"".join(vectors)))
        fields = [
            schema_pb2.FieldData(type=schema_pb2.VarChar if self.text_keys else schema_pb2.Int64, field_name="id",
                                 scalars=ids),
            schema_pb2.FieldData(type=schema_pb2.Int64, field_name="n", scalars=schema_pb2.ScalarField(
                long_data=schema_pb2.LongArray(data=[number % 10 for number in numbers]))),
            schema_pb2.FieldData(type=self.kind, field_name="v", vectors=column)]
        ok(self.stub.Insert(pb.InsertRequest(collection_name=self.name, partition_name=partition, fields_data=fields,
                                             num_rows=len(numbers))))

    def fill(self):
        for first, end in ((0, FLUSHED), (FLUSHED, ROWS)):
            for odd in (0, 1):
                self.insert([n for n in range(first, end) if n % 2 == odd], "odd" if odd else "_default")
            if end == FLUSHED:
                self.flush()
        gone = [key_of(self.text_keys, number) for number in DELETED]
        ok(self.stub.Delete(pb.DeleteRequest(collection_name=self.name, expr=f"id in {json.dumps(gone)}")))

    def flush(self):
        flushed = ok(self.stub.Flush(pb.FlushRequest(collection_names=[self.name])))
        state = pb.GetFlushStateRequest(segmentIDs=flushed.coll_segIDs[self.name].data, collection_name=self.name,
                                        flush_ts=flushed.coll_flush_ts[self.name])
        wait_until("it is flushed", lambda: self.stub.GetFlushState(state).flushed)

    def search(self, queries, filter="", partitions=(), output=("n",), group=None, nq=None, **params):
        values = {"topk": 10, "params": "{}", "round_decimal": -1, **params}
        if group is None:
            group = placeholders(self.kind, queries)
        return self.stub.Search(pb.SearchRequest(
            collection_name=self.name, dsl=filter, dsl_type=common_pb2.BoolExprV1, partition_names=partitions,
            placeholder_group=group, output_fields=output, nq=len(queries) if nq is None else nq,
            search_params=pairs(**{key: value for key, value in values.items() if value is not None}),
            consistency_level=common_pb2.Strong))


def placeholders(kind, queries, tag="$0"):
    value = common_pb2.PlaceholderValue(tag=tag, type=kind, values=queries)
    return common_pb2.PlaceholderGroup(placeholders=[value]).SerializeToString()


def rows_of(answer):
    """[[(value, key, n)]] of an answer, per query vector."""
    results = ok(answer).results
    keys = list(results.ids.int_id.data) or list(results.ids.str_id.data)
    numbers = [None] * len(keys)
    for column in results.fields_data:
        if column.field_name == "n":
            numbers = list(column.scalars.long_data.data)
    assert len(results.scores) == len(keys) == len(numbers) == sum(results.topks)
    rows, found = iter(zip(results.scores, keys, numbers)), []
    for count in results.topks:
        found.append([next(rows) for _ in range(count)])
    return found


def assert_same(ours, theirs, has_ties, has_offset):
    assert [len(rows) for rows in ours] == [len(rows) for rows in theirs]
    for our, their in zip(ours, theirs):
        assert [row[0] for row in our] == pytest.approx([row[0] for row in their], rel=1e-5, abs=1e-6)
        if not has_ties:
            assert [row[1:] for row in our] == [row[1:] for row in their]
        elif our:
            # Of rows that are as far as the last one, or behind an offset as the first one, any may be among the found.
            assert inner(our, has_offset) == inner(their, has_offset)


def inner(rows, has_offset):
    ends = {rows[-1][0]} | ({rows[0][0]} if has_offset else set())
    return {row[1:] for row in rows if row[0] not in ends}


@pytest.fixture(scope="module", params=[(metric, False) for metric in METRICS] + [("L2", True)],
                ids=lambda param: f"{param[0]}{'-text' if param[1] else ''}")
def books(request, stock):
    """The same collection on both: ours, theirs."""
    metric, text_keys = request.param
    made = []
    for stub in (raw(), stock):
        name = f"searched_{metric.lower()}"
        stub.DropCollection(pb.DropCollectionRequest(collection_name=name))
        book = Book(stub, name, metric, text_keys)
        book.fill()
        made.append(book)
    yield made
    for book in made:
        book.stub.DropCollection(pb.DropCollectionRequest(collection_name=book.name))


def test_the_same_rows_are_found(books, request):
    metric, text_keys = request.node.callspec.params["books"]
    kind, chance = METRICS[metric], random.Random(metric)
    queries = [vector(kind, chance) for _ in range(3)]
    searches = [{}, {"topk": 1}, {"topk": 100}, {"topk": 1000}, {"topk": 20, "offset": 7}, {"offset": 10_000},
                {"filter": "n in [1, 2, 3]"}, {"filter": "n == 3 and n == 4"}, {"partitions": ["odd"]},
                {"partitions": ["odd", "_default"], "filter": "n > 4"}, {"round_decimal": 2}, {"round_decimal": 0},
                {"metric_type": metric}, {"anns_field": "v"}, {"metric_type": ""}]
    inside = {"L2": (8, 5), "IP": (0.1, 1), "COSINE": (0.1, 0.5), "HAMMING": (6, 3), "JACCARD": (0.9, 0.5)}.get(metric)
    if inside:
        radius, near = inside
        searches += [{"params": json.dumps({"radius": radius}), "topk": 1000},
                     {"params": json.dumps({"radius": radius, "range_filter": near}), "topk": 1000},
                     {"params": json.dumps({"radius": radius, "range_filter": near}), "topk": 5}]
    for search in searches:
        ours, theirs = (rows_of(book.search(queries, **search)) for book in books)
        rounds = "round_decimal" in search
        assert_same(ours, theirs, metric in TIES or rounds, "offset" in search)


def test_the_same_searches_are_refused(books, request):
    metric, _ = request.node.callspec.params["books"]
    if metric not in ("L2", "IP"):
        pytest.skip("two metrics tell enough")
    query = [vector(FLOATS, random.Random(1))]
    far, near = (1, 2) if metric == "L2" else (2, 1)
    for search in [{"topk": None}, {"topk": 0}, {"topk": -1}, {"topk": 16385}, {"topk": "x"}, {"topk": 16384, "offset": 1},
                   {"offset": -1}, {"offset": "x"}, {"round_decimal": 7}, {"round_decimal": "x"}, {"nq": 2},
                   {"queries": []}, {"queries": [query[0][:-4]]}, {"queries": [query[0], query[0][:-4]]},
                   {"group": b"\xff\xff"}, {"group": b""}, {"group": placeholders(FLOATS, query, "$1")},
                   {"metric_type": "COSINE"}, {"metric_type": "l2"}, {"metric_type": "HAMMING"}, {"anns_field": "n"},
                   {"anns_field": "none"}, {"filter": "n >"}, {"filter": "v > 3"}, {"output": ["none"]},
                   {"output": ["count(*)"]}, {"partitions": ["none"]}, {"partitions": ["odd", "none"]}, {"partitions": ["od.*"]}, {"partitions": ["[o"]}, {"ignore_growing": "x"}, {"params": "{"},
                   {"params": json.dumps({"radius": far, "range_filter": near})},
                   {"params": json.dumps({"radius": far, "range_filter": far})},
                   {"params": json.dumps({"radius": "3"})}]:
        ours, theirs = (book.search(**{"queries": query, **search}).status for book in books)
        assert theirs.code != 0, f"{search}: the real server accepts it"
        assert (ours.code, ours.error_code) == (theirs.code, theirs.error_code), f"{search}: {ours} {theirs}"


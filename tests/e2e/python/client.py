"""pymilvus' MilvusClient, as in the documentation. The client of 2.3 has no flush or compaction: the ORM does those."""

import math
import random

import numpy
import pytest
from helpers import (
    GRPC,
    MANUAL,
    VERSION,
    check_plans,
    is_datacoord,
    own_plans,
    raw,
    segments,
    vectors,
    wait_indexed,
    wait_until,
)
from pymilvus import Collection, DataType, MilvusClient, MilvusException
from pymilvus.grpc_gen import milvus_pb2 as pb

DIM = 8
HAS_COMPACTION = VERSION >= (2, 6)

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def client():
    client = MilvusClient(uri=f"http://{GRPC}")
    yield client
    client.close()


def rows_of(keys):
    return [{"id": key, "vector": vector, "color": f"red{key}", "pages": key * 2}
            for key, vector in zip(keys, vectors(keys, DIM))]


def flush(client, name):
    if HAS_COMPACTION:
        client.flush(name)
    else:
        Collection(name).flush()


def count(client, name):
    return client.query(name, filter="", output_fields=["count(*)"], consistency_level="Strong")[0]["count(*)"]


def keys_of(client, name, filter="id >= 0"):
    return sorted(row["id"] for row in client.query(name, filter=filter, output_fields=["id"],
                                                    consistency_level="Strong"))


def compact(client, name):
    """Compacts and waits the documented way, and checks the plans. -> plans"""
    wait_indexed(name)
    before = segments(name)
    plans = own_plans(compaction_plans(client, name), before)
    check_plans(plans, before, segments(name))
    return plans


def compaction_plans(client, name):
    if not HAS_COMPACTION:
        collection = Collection(name)
        collection.compact()
        collection.wait_for_compaction_completed(timeout=30)
        return collection.get_compaction_plans().plans
    job = client.compact(name)
    assert isinstance(job, int) and job > 0
    assert client.get_compaction_state(job) in ("Executing", "Completed")
    wait_until("compaction is completed", lambda: client.get_compaction_state(job) == "Completed")
    plans = client.get_compaction_plans(job)
    assert plans.compaction_id == job and plans.state.name == "Completed"
    return plans.plans


def write_book(client, name, batches=((0, 1000), (1000, 1600), (1600, 2000)), **options):
    client.create_collection(name, dimension=DIM, metric_type="L2", consistency_level="Strong",
                             properties=MANUAL, **options)
    for first, end in batches:
        result = client.insert(name, rows_of(range(first, end)))
        assert result["insert_count"] == end - first and list(result["ids"]) == list(range(first, end))
        flush(client, name)


def test_compaction_keeps_every_row_that_was_not_deleted(client, book):
    write_book(client, book)
    deleted(client.delete(book, list(range(100))), 100)
    flush(client, book)
    assert count(client, book) == 1900
    assert int(client.get_collection_stats(book)["row_count"]) == 2000

    assert len(segments(book)) == 3
    assert len(compact(client, book)) == len(segments(book)) == 1
    assert count(client, book) == 1900
    assert int(client.get_collection_stats(book)["row_count"]) == 1900
    assert keys_of(client, book) == list(range(100, 2000))
    row = client.get(book, [1234], output_fields=["*"])[0]
    assert (row["id"], row["color"], row["pages"]) == (1234, "red1234", 2468)
    assert list(row["vector"]) == vectors([1234], DIM)[0]


def deleted(answer, number):
    """MilvusClient.delete gave a list of keys in 2.3 and a count later."""
    assert len(answer) == number if isinstance(answer, list) else answer["delete_count"] == number


@pytest.mark.skipif(not HAS_COMPACTION, reason="this client can't list segments")
def test_persistent_segments_show_the_compaction(client, book):
    write_book(client, book, [(0, 200), (200, 400)])
    before = client.list_persistent_segments(book)
    assert {info.segment_id: info.num_rows for info in before} == segments(book)
    assert {info.state_name for info in before} == {"Flushed"} and {info.collection_name for info in before} == {book}
    plan, = compact(client, book)
    after, = client.list_persistent_segments(book)
    assert (after.segment_id, after.num_rows, after.state_name) == (plan.target, 400, "Flushed")
    assert sorted(plan.sources) == sorted(info.segment_id for info in before)
    loaded = wait_until("the new segment is loaded", lambda: [
        info for info in client.list_loaded_segments(book) if info.segment_id == plan.target])
    assert loaded[0].num_rows == 400


@pytest.mark.skipif(VERSION < (3, 0), reason="this client has no list_compaction_tasks")
def test_tasks_and_lineage(client, book, datacoord):
    write_book(client, book, [(0, 200), (200, 400)])
    sources = set(segments(book))
    plan, = compact(client, book)
    tasks = client.list_compaction_tasks(book)
    assert tasks.collection_name == book
    task, = [task for task in tasks.plans if task.plan_id == plan.plan_id]
    assert task.plan_id > 0 and task.trigger_id > 0 and task.targets == [plan.target] == [task.target]
    assert set(task.sources) == sources and task.channel
    assert task.state.name == "Completed" and task.compaction_type.name == "MixCompaction"
    assert task.failure_reason == ""
    described = client.describe_collection(book)
    assert task.collection_id == described["collection_id"] and task.partition_id > 0

    listed = {info.segment_id: info for info in client.list_segments(book)}
    assert {key for key, info in listed.items() if info.state_name == "Flushed"} == {plan.target}
    assert {key for key, info in listed.items() if info.state_name == "Dropped"} == sources
    assert set(listed[plan.target].compaction_from) == sources
    assert listed[plan.target].insert_channel == task.channel


def test_short_form_with_string_keys(client, book):
    client.create_collection(book, dimension=DIM, id_type="string", max_length=32, metric_type="L2",
                             consistency_level="Strong", properties=MANUAL)
    keys = [f"k{number:03d}" for number in range(300)]
    for part in (keys[:150], keys[150:]):
        client.insert(book, [{"id": key, "vector": [0.5] * DIM, "n": int(key[1:])} for key in part])
        flush(client, book)
    deleted(client.delete(book, ["k000", "k299"]), 2)
    flush(client, book)
    compact(client, book)
    assert keys_of(client, book, "n >= 0") == keys[1:-1]


def test_auto_id(client, book):
    client.create_collection(book, dimension=DIM, auto_id=True, metric_type="L2",
                             consistency_level="Strong", properties=MANUAL)
    keys = []
    for first in (0, 100):
        result = client.insert(book, [{"vector": [0.5] * DIM, "n": n} for n in range(first, first + 100)])
        keys += result["ids"]
        flush(client, book)
    assert len(set(keys)) == 200
    compact(client, book)
    rows = client.query(book, filter="n >= 0", output_fields=["id", "n"], consistency_level="Strong")
    assert {row["id"]: row["n"] for row in rows} == dict(zip(keys, range(200)))
    if VERSION >= (2, 6):
        result = client.upsert(book, [{"id": key, "vector": [0.5] * DIM, "n": 1000 + key % 2} for key in keys[:2]])
        assert result["upsert_count"] == 2
        rows = client.query(book, filter="n >= 0", output_fields=["id", "n"], consistency_level="Strong")
        new = set(keys[2:]) ^ {row["id"] for row in rows}
        assert len(rows) == 200 and len(new) == 2 and not new & set(keys)


@pytest.mark.skipif(VERSION < (2, 6), reason="this client sends no default values")
def test_default_values(client, book):
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    schema.add_field("pages", DataType.INT64, default_value=7)
    schema.add_field("small", DataType.INT8, default_value=numpy.int8(-8))
    schema.add_field("flag", DataType.BOOL, default_value=True)
    schema.add_field("ratio", DataType.FLOAT, default_value=0.5)
    schema.add_field("exact", DataType.DOUBLE, default_value=0.1)
    schema.add_field("title", DataType.VARCHAR, max_length=8, default_value="none")
    client.create_collection(book, schema=schema)
    described = {field["name"]: field for field in client.describe_collection(book)["fields"]}
    assert described["pages"]["default_value"].long_data == 7
    assert described["title"]["default_value"].string_data == "none"
    assert "default_value" not in described["id"]

    first, second, third = vectors([1, 2, 3], DIM)
    client.insert(book, [{"id": 1, "vector": first}, {"id": 2, "vector": second, "pages": 9, "title": None}])
    client.upsert(book, {"id": 3, "vector": third, "title": "a", "flag": False})
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_index(book, index)
    client.load_collection(book)
    flush(client, book)
    rows = client.query(book, filter="id > 0", output_fields=["*"], consistency_level="Strong")
    left_out = {"pages": 7, "small": -8, "flag": True, "ratio": 0.5, "exact": 0.1, "title": "none"}
    found = {row.pop("id"): {key: value for key, value in row.items() if key != "vector"} for row in rows}
    assert found == {1: left_out, 2: {**left_out, "pages": 9}, 3: {**left_out, "title": "a", "flag": False}}
    assert [row["id"] for row in client.query(book, filter='title == "none" and pages == 7',
                                              output_fields=["id"], consistency_level="Strong")] == [1]
    with pytest.raises(MilvusException, match="default value out of range"):
        wrong = client.create_schema()
        wrong.add_field("id", DataType.INT64, is_primary=True)
        wrong.add_field("small", DataType.INT8, default_value=numpy.int16(128))
        client.create_collection(f"{book}_wrong", schema=wrong)


def test_delete_by_filter(client, book):
    write_book(client, book, [(0, 500), (500, 1000)])
    client.delete(book, filter="id in [1, 2, 3]")
    if is_datacoord() or VERSION >= (2, 6):
        client.delete(book, filter="pages >= 1980")
    else:
        client.delete(book, list(range(990, 1000)))
    flush(client, book)
    compact(client, book)
    assert keys_of(client, book) == [key for key in range(990) if key not in (1, 2, 3)]


def test_upsert(client, book):
    write_book(client, book, [(0, 300), (300, 600)])
    changed = [{"id": key, "vector": [0.25] * DIM, "color": "blue"} for key in (5, 305, 700)]
    assert client.upsert(book, changed)["upsert_count"] == 3
    flush(client, book)
    compact(client, book)
    assert keys_of(client, book) == [*range(600), 700]
    assert keys_of(client, book, 'color == "blue"') == [5, 305, 700]
    row = client.get(book, [305], output_fields=["vector", "color"])[0]
    assert row["color"] == "blue" and list(row["vector"]) == [0.25] * DIM


def test_get_query_and_search(client, book):
    write_book(client, book, [(0, 100), (100, 200)])
    assert sorted(row["id"] for row in client.get(book, [3, 150, 999])) == [3, 150]
    assert keys_of(client, book, "10 <= id < 20 and pages != 30") == [10, 11, 12, 13, 14, 16, 17, 18, 19]
    page = client.query(book, filter="id >= 0", output_fields=["id"], limit=10, offset=95, consistency_level="Strong")
    assert [row["id"] for row in page] == list(range(95, 105))
    hits = client.search(book, vectors([42], DIM), limit=1, output_fields=["color"], consistency_level="Strong")[0]
    assert hits[0]["id"] == 42 and hits[0]["distance"] == 0 and hits[0]["entity"]["color"] == "red42"


@pytest.mark.skipif(not HAS_COMPACTION, reason="this client sends no values beside a filter")
@pytest.mark.skipif(not is_datacoord(), reason="2.3.5 ignores them")
def test_filter_with_values(client, book):
    write_book(client, book, [(0, 100)])

    def found(filter, **values):
        rows = client.query(book, filter=filter, filter_params=values, output_fields=["id"], consistency_level="Strong")
        return sorted(row["id"] for row in rows)

    assert found("id in {keys} and pages > {least}", keys=[1, 2, 3, 400], least=2) == [2, 3]
    assert found("color in {colors}", colors=["red7", 'a "quoted" one']) == [7]
    assert found("color == {color}", color='" or id >= 0 or color == "') == []
    hits = client.search(book, vectors([42], DIM), limit=1, filter="id != {key}", filter_params={"key": 42},
                         output_fields=["id"], consistency_level="Strong")[0]
    assert hits[0]["id"] != 42
    client.delete(book, filter="id in {keys}", filter_params={"keys": list(range(50))})
    assert keys_of(client, book) == list(range(50, 100))
    with pytest.raises(MilvusException, match="least"):
        found("pages > {least}", most=2)


@pytest.mark.skipif(not HAS_COMPACTION, reason="this client has no hybrid search")
@pytest.mark.skipif(not is_datacoord(), reason="2.3.5 has none")
def test_hybrid_search(client, book):
    """Against the formulas, over distances that are worked out here."""
    from pymilvus import AnnSearchRequest, Function, FunctionType, RRFRanker, WeightedRanker

    write_book(client, book, [(0, 100), (100, 200)])
    queries, filters = vectors([42, 150], DIM), ["id < 120", "id >= 40 and pages > {least}"]
    allowed = [range(120), [key for key in range(40, 200) if key * 2 > 200]]
    requests = [AnnSearchRequest([query], "vector", {"metric_type": "L2", "params": {}}, 30, expr=filter,
                                 expr_params={"least": 200} if "{" in filter else None)
                for query, filter in zip(queries, filters)]

    def distance(query, key):
        return sum((a - b) ** 2 for a, b in zip(query, vectors([key], DIM)[0]))

    found = [sorted((distance(query, key), key) for key in keys)[:30] for query, keys in zip(queries, allowed)]

    def check(ranker, share, limit, offset=0, sign=-1):
        sums = {}
        for number, hits in enumerate(found):
            for place, (value, key) in enumerate(hits):
                sums[key] = sums.get(key, 0) + share(number, place, value)
        best = sorted(sums.values(), key=lambda value: sign * value)[offset:offset + limit]
        hits = client.hybrid_search(book, requests, ranker, limit=limit, offset=offset, output_fields=["color"],
                                    consistency_level="Strong")[0]
        values = [hit["distance"] for hit in hits]
        assert values == pytest.approx(best, rel=1e-4, abs=1e-6)
        assert values == pytest.approx([sums[hit["id"]] for hit in hits], rel=1e-4, abs=1e-6)
        assert len({hit["id"] for hit in hits}) == limit
        assert all(hit["entity"]["color"] == f"red{hit['id']}" for hit in hits)

    weights = [0.7, 0.4]
    check(RRFRanker(), lambda _, place, __: 1 / (61 + place), limit=20)
    check(RRFRanker(5), lambda _, place, __: 1 / (6 + place), limit=10, offset=4)
    check(WeightedRanker(*weights), lambda n, _, value: weights[n] * (1 - 2 * math.atan(value) / math.pi), limit=20)
    check(WeightedRanker(*weights, norm_score=False), lambda n, _, value: weights[n] * value, sign=1, limit=20)
    function = Function("f", FunctionType.RERANK, [], params={"reranker": "rrf", "k": 100})
    check(function, lambda _, place, __: 1 / (101 + place), limit=20)
    for ranker, text in [(WeightedRanker(0.5), "expected=2"), (WeightedRanker(0.5, 1.5), "in range"), (RRFRanker(0), "k should")]:
        with pytest.raises(MilvusException, match=text):
            client.hybrid_search(book, requests, ranker, limit=3)


@pytest.mark.skipif(not HAS_COMPACTION, reason="this client has no search iterator")
@pytest.mark.skipif(not is_datacoord(), reason="2.3.5 has the older iterator only")
def test_search_iterator(client, book):
    write_book(client, book, [(0, 100), (100, 200)])
    query = vectors([42], DIM)
    ranked = sorted((sum((a - b) ** 2 for a, b in zip(query[0], row["vector"])), row["id"]) for row in rows_of(range(200)))

    def pages(**options):
        found = client.search_iterator(book, query, anns_field="vector", search_params={"metric_type": "L2"},
                                       output_fields=["color"], **options)
        assert type(found).__name__ == "SearchIteratorV2", "the client found no such iterator in the server"
        while page := found.next():
            yield [hit for hit in page]
        found.close()

    for size in (1, 7, 200):
        seen = []
        for page in pages(batch_size=size):
            assert len(page) >= min(size, 200 - len(seen))
            seen += page
        assert [(hit["distance"], hit["id"]) for hit in seen] == ranked
        assert all(hit["entity"]["color"] == f"red{hit['id']}" for hit in seen)
    assert sum(map(len, pages(batch_size=7, limit=20))) == 20
    even = [hit["id"] for page in pages(batch_size=30, filter="id % 2 == 0") for hit in page]
    assert even == [key for _, key in ranked if key % 2 == 0]


@pytest.mark.skipif(not HAS_COMPACTION, reason="this client sends no group")
@pytest.mark.skipif(not is_datacoord(), reason="2.3.5 ignores it")
def test_search_by_groups(client, book):
    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("genre", DataType.VARCHAR, max_length=20)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection(book, schema=schema, index_params=index, consistency_level="Strong")
    rows = rows_of(range(100))
    client.insert(book, [{**row, "genre": f"genre{row['id'] % 4}"} for row in rows])
    hits = client.search(book, vectors([42], DIM), limit=10, output_fields=["genre"], group_by_field="genre",
                         consistency_level="Strong")[0]
    assert sorted(hit["entity"]["genre"] for hit in hits) == [f"genre{n}" for n in range(4)]
    distances = {row["id"]: sum((a - b) ** 2 for a, b in zip(row["vector"], vectors([42], DIM)[0])) for row in rows}
    nearest = [sorted((distances[key], key) for key in range(genre, 100, 4)) for genre in range(4)]
    assert [(hit["distance"], hit["id"]) for hit in hits] == sorted(group[0] for group in nearest)
    for strict in (False, True):
        hits = client.search(book, vectors([42], DIM), limit=2, output_fields=["genre"], group_by_field="genre", offset=1,
                             group_size=3, strict_group_size=strict, consistency_level="Strong")[0]
        expected = [hit for group in sorted(nearest)[1:3] for hit in group[:3]]
        assert [(hit["distance"], hit["id"]) for hit in hits] == expected
    with pytest.raises(MilvusException, match="max group size"):
        client.search(book, vectors([42], DIM), limit=2, group_by_field="genre", group_size=11)


def test_schema_and_index_parameters(client, book):
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("title", DataType.VARCHAR, max_length=50)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="IVF_FLAT", index_name="near", metric_type="L2", params={"nlist": 16})
    client.create_collection(book, schema=schema, index_params=index, consistency_level="Strong")
    assert client.list_indexes(book) == ["near"]
    described = client.describe_index(book, "near")
    assert (described["index_type"], described["metric_type"]) == ("IVF_FLAT", "L2")
    assert client.get_load_state(book)["state"].name == "Loaded"
    client.insert(book, {"id": 1, "title": "one", "vector": [0.5] * DIM})
    assert client.get(book, 1, output_fields=["title"])[0]["title"] == "one"
    described = client.describe_collection(book)
    assert [(field["name"], field["type"]) for field in described["fields"]] == [
        ("id", DataType.INT64), ("title", DataType.VARCHAR), ("vector", DataType.FLOAT_VECTOR)]
    assert described["fields"][1]["params"]["max_length"] == 50 and not described["enable_dynamic_field"]


def test_collections_aliases_partitions(client, book):
    write_book(client, book, [(0, 10)])
    assert client.has_collection(book) and book in client.list_collections()
    client.create_alias(book, book + "_alias")
    assert client.list_aliases(book)["aliases"] == [book + "_alias"]
    assert client.describe_alias(book + "_alias")["collection_name"] == book
    assert keys_of(client, book + "_alias") == list(range(10))
    client.drop_alias(book + "_alias")
    client.create_partition(book, "novel")
    assert client.has_partition(book, "novel")
    assert sorted(client.list_partitions(book)) == ["_default", "novel"]
    client.insert(book, rows_of([77]), partition_name="novel")
    flush(client, book)
    assert int(client.get_partition_stats(book, "novel")["row_count"]) == 1
    client.rename_collection(book, book + "_renamed")
    assert not client.has_collection(book)
    assert keys_of(client, book + "_renamed") == [*range(10), 77]
    client.drop_collection(book + "_renamed")
    assert not client.has_collection(book + "_renamed")


@pytest.mark.skipif(VERSION < (2, 6), reason="this client can't remove properties")
def test_properties(client, book):
    client.create_collection(book, dimension=DIM)
    client.alter_collection_properties(book, {"collection.ttl.seconds": 1800})
    assert str(client.describe_collection(book)["properties"]["collection.ttl.seconds"]) == "1800"
    if is_datacoord():
        client.drop_collection_properties(book, ["collection.ttl.seconds"])
        assert "collection.ttl.seconds" not in client.describe_collection(book)["properties"]


@pytest.mark.skipif(VERSION < (2, 6), reason="this client has no optimize")
def test_optimize(client, book, datacoord):
    write_book(client, book, [(0, 300), (300, 600)])
    client.delete(book, ids=[0])
    flush(client, book)
    result = client.optimize(book, timeout=30)
    assert result.status == "success", result
    assert len(segments(book)) == 1 and keys_of(client, book) == list(range(1, 600))


LARGEST_MB = (2**63 - 1) // 2**20


@pytest.mark.skipif(VERSION < (2, 6), reason="this client has no target_size")
@pytest.mark.parametrize("flushes", [1, 4])
def test_optimize_as_vector_db_bench_does(client, book, datacoord, flushes):
    """Between loading and searching it waits until all segments are sorted and indexed, compacts, waits again, and
    demands that a request of the largest size has every segment as a source."""
    schema = client.create_schema()
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("id", DataType.INT64)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    index = client.prepare_index_params()
    index.add_index("vector", index_name="vector_idx", index_type="HNSW", metric_type="L2",
                    params={"M": 8, "efConstruction": 50})
    index.add_index("id", index_name="id_sort_idx", index_type="STL_SORT")
    client.create_collection(book, schema=schema, num_shards=1, consistency_level="Session")
    client.create_index(book, index)
    client.load_collection(book, replica_number=1)
    for flush_number in range(flushes):
        keys = range(flush_number * 1200, (flush_number + 1) * 1200)
        client.insert(book, [{"pk": key, "id": key, "vector": vector} for key, vector in zip(keys, vectors(keys, DIM))])
        client.flush(book)

    def ready():
        return all(info.is_sorted for info in client.list_persistent_segments(book)) and \
            client.describe_index(book, "vector_idx")["pending_index_rows"] == 0

    wait_until("the segments are sorted and indexed", ready)
    completed(client, book)
    wait_until("the compacted segments are sorted and indexed", ready)
    sources = {info.segment_id for info in client.list_persistent_segments(book)
               if info.state_name == "Flushed" and info.level_name not in ("L0", "L2")}
    plans = completed(client, book, target_size=LARGEST_MB)
    assert sources and sources <= {source for plan in plans for source in plan.sources}
    wait_until("the merged segment is sorted and indexed", ready)
    client.refresh_load(book)
    assert len(segments(book)) == 1 and keys_of(client, book, "id >= 0") == list(range(flushes * 1200))
    # The same rows are not written again and again.
    assert completed(client, book, target_size=LARGEST_MB) == []


@pytest.mark.skipif(VERSION < (2, 6), reason="this client reads fewer members")
def test_descriptions(client, book, datacoord):
    write_book(client, book, [(0, 100)])
    described = client.describe_collection(book)
    assert (described["num_shards"], described["num_partitions"], described["enable_dynamic_field"]) == (1, 1, True)
    assert described["update_timestamp"] >= described["created_timestamp"] > 0
    assert described["functions"] == described["aliases"] == [] and described["consistency_level"] == 0
    raw_description = raw().DescribeCollection(pb.DescribeCollectionRequest(collection_name=book))
    assert (raw_description.db_name, raw_description.db_id) == ("default", 1)
    assert raw_description.created_utc_timestamp == described["created_timestamp"] >> 18
    client.alter_collection_properties(book, {"collection.ttl.seconds": 1800})
    assert client.describe_collection(book)["update_timestamp"] > described["update_timestamp"]
    index = client.describe_index(book, "vector")
    assert (index["total_rows"], index["indexed_rows"], index["pending_index_rows"]) == (100, 100, 0)
    assert (index["state"], index["field_name"]) == ("Finished", "vector")
    info, = client.list_persistent_segments(book)
    assert (info.level_name, info.is_sorted, info.storage_version) == ("L1", True, 0)
    loaded, = client.list_loaded_segments(book)
    assert loaded.is_sorted and loaded.level_name == "L1"
    assert client.describe_database("default") == {"name": "default"}
    databases = raw().ListDatabases(pb.ListDatabasesRequest())
    assert dict(zip(databases.db_names, databases.db_ids))["default"] == 1


@pytest.mark.skipif(VERSION < (2, 6), reason="this client has no resource groups")
def test_resource_groups(client, book, datacoord):
    group = "__default_resource_group"
    write_book(client, book, [(0, 10)])
    assert client.list_resource_groups() == [group]
    described = client.describe_resource_group(group)
    assert (described.name, described.capacity, described.num_available_node) == (group, 1_000_000, 1)
    assert dict(described.num_loaded_replica) == {book: 1}
    assert not described.num_outgoing_node and not described.num_incoming_node
    assert described.config.limits.node_num == 1_000_000 and len(described.nodes) == 1
    client.drop_resource_group("not_there")
    with pytest.raises(MilvusException, match="loaded"):
        client.drop_resource_group(group)
    with pytest.raises(MilvusException, match="not found"):
        client.describe_resource_group("not_there")
    with pytest.raises(MilvusException, match="not found"):
        client.transfer_replica(group, "not_there", book, 1)


@pytest.mark.skipif(VERSION < (3, 0), reason="this client sends no such members")
def test_members_of_a_search_that_are_not_served(client, book, datacoord):
    from pymilvus import Function, FunctionType, LexicalHighlighter

    write_book(client, book, [(0, 10)])
    decay = Function("f", FunctionType.RERANK, ["pages"],
                     params={"reranker": "decay", "function": "gauss", "origin": 0, "scale": 10})
    for member, options in [("function_score", {"ranker": decay}), ("highlighter", {"highlighter": LexicalHighlighter()})]:
        with pytest.raises(MilvusException, match=f"{member} in a search is not supported"):
            client.search(book, vectors([1], DIM), limit=1, **options)


WIDE = 128


def write_wide(client, name, batches, clustering=False):
    """Rows of 512 bytes and more that can't be compressed; `tenant` is spread over all of them."""
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("tenant", DataType.INT64, is_clustering_key=clustering)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=WIDE)
    client.create_collection(name, schema=schema, consistency_level="Strong", properties=MANUAL)
    for first, end in batches:
        noise = random.Random(first)
        client.insert(name, [{"id": key, "tenant": key * 7919 % 10007,
                              "vector": [noise.random() for _ in range(WIDE)]} for key in range(first, end)])
        client.flush(name)


def completed(client, name, **options):
    """Compacts and waits. -> plans"""
    job = client.compact(name, **options)
    wait_until("compaction is completed", lambda: client.get_compaction_state(job) == "Completed")
    return client.get_compaction_plans(job).plans


def rows_by_key(client, name):
    client.create_index(name, client.prepare_index_params("vector", index_type="FLAT", metric_type="L2"))
    client.load_collection(name)
    return keys_of(client, name)


@pytest.mark.skipif(VERSION < (2, 6), reason="this client has no target_size")
def test_segments_of_a_size(client, book, datacoord):
    write_wide(client, book, [(0, 6000), (6000, 6300), (6300, 6600)])
    before = segments(book)
    plan, = completed(client, book, target_size=1)
    assert sorted(plan.sources) == sorted(before)
    after = segments(book)
    if VERSION >= (3, 0):
        assert sorted(plan.targets) == sorted(after)
    assert plan.target in after and len(after) >= 3 and sum(after.values()) == 6600
    assert completed(client, book, target_size=1) == []
    assert rows_by_key(client, book) == list(range(6600))


@pytest.mark.skipif(VERSION < (2, 6), reason="this client has no clustering")
def test_clustering(client, book, datacoord):
    write_wide(client, book, [(0, 1000), (1000, 2000)], clustering=True)
    fields = {field["name"]: field for field in client.describe_collection(book)["fields"]}
    assert fields["tenant"].get("is_clustering_key") and not fields["id"].get("is_clustering_key")
    plan, = completed(client, book, is_clustering=True)
    after, = client.list_persistent_segments(book)
    assert (after.segment_id, after.num_rows, after.level) == (plan.target, 2000, 3)
    assert completed(client, book, is_clustering=True) == []
    assert rows_by_key(client, book) == list(range(2000))


@pytest.mark.skipif(VERSION < (2, 6), reason="this client has no clustering")
def test_clustering_without_a_key_is_refused(client, book, datacoord):
    write_wide(client, book, [(0, 10)])
    with pytest.raises(Exception, match="has no clustering key"):
        client.compact(book, is_clustering=True)


@pytest.mark.skipif(VERSION < (2, 6), reason="this client has no is_l0")
def test_deletes_of_level_0(client, book, datacoord):
    write_wide(client, book, [(0, 10)])
    assert completed(client, book, is_l0=True) == []


@pytest.mark.skipif(VERSION < (2, 6), reason="this client has no truncate_collection")
def test_truncate(client, book, datacoord):
    write_book(client, book, [(0, 100)])
    client.insert(book, rows_of([100]))
    client.truncate_collection(book)
    assert count(client, book) == 0 and segments(book) == {}


@pytest.mark.skipif(VERSION < (2, 6), reason="this client has no databases")
def test_default_database_is_listed(client):
    assert "default" in client.list_databases()


@pytest.mark.skipif(VERSION < (2, 6), reason="this client has no databases")
def test_collections_of_another_database(client, book):
    shelf = "shelf_" + book
    if shelf not in client.list_databases():
        client.create_database(shelf)
    other = MilvusClient(uri=f"http://{GRPC}", db_name=shelf)
    try:
        other.create_collection(book, dimension=DIM)
        other.insert(book, rows_of(range(10)))
        assert other.list_collections() == [book] and book not in client.list_collections()
        other.drop_collection(book)
        assert other.list_collections() == []
    finally:
        other.close()
        client.drop_database(shelf)
    assert shelf not in client.list_databases()


def test_server_version(client):
    if not hasattr(client, "get_server_version"):
        pytest.skip("this client has no get_server_version")
    assert "2.3.5" in client.get_server_version()
    detail = client.get_server_version(detail=True)
    assert not is_datacoord() or "datacoord" in str(detail)

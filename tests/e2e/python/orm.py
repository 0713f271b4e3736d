"""pymilvus' ORM classes, as in the documentation: Collection, connections, utility. Every version that has them."""

import json
import random

import pytest
from helpers import MANUAL, check_plans, is_datacoord, own_plans, refused, segments, vectors, wait_indexed
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections, utility
from pymilvus.exceptions import SchemaNotReadyException
from rows import DIM, all_types_row, all_types_schema

IVF_FLAT = {"index_type": "IVF_FLAT", "metric_type": "L2", "params": {"nlist": 16}}
FLAT = {"index_type": "FLAT", "metric_type": "L2", "params": {}}

pytestmark = pytest.mark.filterwarnings("ignore")


def book_schema(**options):
    return CollectionSchema(
        [
            FieldSchema("book_id", DataType.INT64, is_primary=True),
            FieldSchema("word_count", DataType.INT64),
            FieldSchema("book_intro", DataType.FLOAT_VECTOR, dim=DIM),
        ],
        description="Test book search",
        **options,
    )


def book_columns(keys):
    return [list(keys), [key * 10 for key in keys], vectors(keys, DIM)]


def create(name, schema, **options):
    return Collection(name, schema, consistency_level="Strong", properties=MANUAL, **options)


def write_book(name, batches=((0, 1000), (1000, 1800), (1800, 2400)), **options):
    """A collection of several flushed segments."""
    collection = create(name, book_schema(), **options)
    for first, end in batches:
        result = collection.insert(book_columns(range(first, end)))
        assert (result.insert_count, result.succ_count, result.err_count) == (end - first, end - first, 0)
        assert list(result.primary_keys) == list(range(first, end))
        collection.flush()
    return collection


def index_and_load(collection, field="book_intro", params=FLAT):
    collection.create_index(field, params)
    utility.wait_for_index_building_complete(collection.name)
    wait_indexed(collection.name)
    collection.load()


def count(collection, **options):
    return collection.query("", output_fields=["count(*)"], consistency_level="Strong", **options)[0]["count(*)"]


def keys_of(collection, key="book_id", expr=None, **options):
    expr = f"{key} >= 0" if expr is None else expr
    rows = collection.query(expr, output_fields=[key], consistency_level="Strong", **options)
    return sorted(row[key] for row in rows)


def compact(collection, every_segment=True):
    """Compacts and waits the documented way, and checks the plans. -> plans"""
    before = segments(collection.name)
    collection.compact()
    assert isinstance(collection.compaction_id, int) and collection.compaction_id > 0
    assert collection.get_compaction_state().state.name in ("Executing", "Completed")
    collection.wait_for_compaction_completed(timeout=30)
    state = collection.get_compaction_state()
    plans = collection.get_compaction_plans()
    assert state.state.name == plans.state.name == "Completed"
    assert state.compaction_id == plans.compaction_id == collection.compaction_id
    own = own_plans(plans.plans, before)
    if len(own) == len(plans.plans):
        assert (state.in_executing, state.in_timeout, state.completed) == (0, 0, len(own))
    if every_segment:
        check_plans(own, before, segments(collection.name))
    return own


# --- compaction -------------------------------------------------------------------------------------------------


def test_compaction_keeps_every_row_that_was_not_deleted(book):
    collection = write_book(book)
    assert collection.num_entities == 2400

    gone = [*range(0, 100), *range(1000, 1100), 1800, 2399]
    result = collection.delete(f"book_id in {gone}")
    assert result.delete_count == len(gone)
    collection.flush()
    index_and_load(collection, params=IVF_FLAT)
    assert count(collection) == 2400 - len(gone)
    assert collection.num_entities == 2400

    before = segments(book)
    assert len(before) == 3 and sum(before.values()) == 2400
    plans = compact(collection)
    after = segments(book)
    assert len(plans) == len(after) == 1
    assert sum(after.values()) == 2400 - len(gone) == collection.num_entities

    assert count(collection) == 2400 - len(gone)
    assert keys_of(collection) == sorted(set(range(2400)) - set(gone))
    row = collection.query("book_id == 1234", output_fields=["*"], consistency_level="Strong")[0]
    assert (row["book_id"], row["word_count"]) == (1234, 12340)
    assert list(row["book_intro"]) == vectors([1234], DIM)[0]

    collection.release()
    collection.load()
    assert count(collection) == 2400 - len(gone)


def test_compaction_of_one_segment_with_deletes_rewrites_it(book):
    collection = write_book(book, [(0, 1200)])
    collection.delete("book_id in [3, 5, 7]")
    collection.flush()
    index_and_load(collection)
    compact(collection)
    assert keys_of(collection) == sorted(set(range(1200)) - {3, 5, 7})


def test_compaction_with_nothing_to_do_completes_at_once(book):
    collection = Collection(book, book_schema())
    collection.create_index("book_intro", FLAT)
    assert compact(collection) == []


def test_each_compaction_has_an_id_of_its_own_and_stays_readable(book):
    collection = write_book(book, [(0, 300), (300, 600)])
    index_and_load(collection)
    first_plans = compact(collection)
    first = collection.compaction_id
    compact(collection, every_segment=False)
    assert collection.compaction_id != first
    collection.compaction_id = first
    again = collection.get_compaction_plans().plans
    assert [(plan.sources, plan.target) for plan in again] == [(plan.sources, plan.target) for plan in first_plans]


def test_compaction_when_every_row_is_deleted(book):
    collection = write_book(book, [(0, 200), (200, 400)])
    index_and_load(collection)
    collection.delete(f"book_id in {list(range(400))}")
    collection.flush()
    compact(collection, every_segment=False)
    assert segments(book) == {} and collection.num_entities == 0
    assert count(collection) == 0 and keys_of(collection) == []


def test_rows_written_and_deleted_after_a_compaction(book):
    collection = write_book(book, [(0, 500), (500, 1000)])
    index_and_load(collection)
    compact(collection)
    collection.delete("book_id in [1, 501]")
    collection.insert(book_columns(range(1000, 1100)))
    assert count(collection) == 1098
    collection.flush()
    wait_indexed(book)
    compact(collection)
    assert keys_of(collection) == sorted(set(range(1100)) - {1, 501})


def test_compaction_without_an_index(book, datacoord):
    collection = write_book(book, [(0, 100), (100, 200)])
    compact(collection)


def test_compaction_does_not_cross_partitions(book):
    collection = create(book, book_schema())
    novel = collection.create_partition("novel", description="fiction")
    for first in (0, 100):
        collection.insert(book_columns(range(first, first + 100)))
        novel.insert(book_columns(range(1000 + first, 1100 + first)))
        collection.flush()
    index_and_load(collection)
    assert len(segments(book)) == 4
    assert len(compact(collection)) == 2
    assert keys_of(collection, partition_names=["novel"]) == list(range(1000, 1200))
    assert keys_of(collection, partition_names=["_default"]) == list(range(200))
    assert novel.num_entities == 200


def test_compaction_of_several_shards(book):
    collection = write_book(book, [(0, 500), (500, 1000)], shards_num=2)
    index_and_load(collection)
    assert len(segments(book)) == 4
    assert len(compact(collection)) == 2
    assert keys_of(collection) == list(range(1000))


# --- every type -------------------------------------------------------------------------------------------------

def plain(row):
    """A row as Python values that compare with ==; the JSON of old clients arrives as text or bytes."""
    out = {name: list(value) if hasattr(value, "__iter__") and not isinstance(value, (str, bytes, dict)) else value
           for name, value in row.items()}
    if isinstance(out.get("meta"), (str, bytes)):
        out["meta"] = json.loads(out["meta"])
    out.pop("$meta", None)
    return out


def check_rows(collection, expected, expr, fields):
    got = collection.query(expr, output_fields=fields, consistency_level="Strong")
    got = {row["id"]: plain(row) for row in got}
    assert sorted(got) == sorted(expected)
    for key, row in expected.items():
        assert got[key] == row, f"row {key}"


def test_every_type_survives_flush_and_compaction(book):
    collection = create(book, all_types_schema())
    rows = {key: all_types_row(key) for key in range(600)}
    for first in (0, 200, 400):
        keys = range(first, first + 200)
        assert collection.insert([rows[key] for key in keys]).insert_count == 200
        collection.flush()
    index_and_load(collection, "vector")
    fields = [field.name for field in collection.schema.fields] + ["color", "pages", "tags"]
    check_rows(collection, rows, "id >= 0", fields)

    gone = list(range(0, 600, 9))
    collection.delete(f"id in {gone}")
    replaced = {key: {**all_types_row(key), "title": "upserted", "vector": [0.5] * DIM} for key in (1, 2, 301)}
    result = collection.upsert([replaced[key] for key in sorted(replaced)])
    assert (result.upsert_count, result.insert_count, result.delete_count) == (3, 3, 3)
    collection.flush()
    expected = {**{key: row for key, row in rows.items() if key not in gone}, **replaced}
    check_rows(collection, expected, "id >= 0", fields)

    wait_indexed(book)
    compact(collection)
    collection.release()
    collection.load()
    check_rows(collection, expected, "id >= 0", fields)
    assert count(collection) == len(expected)


def test_expressions_over_every_type(book):
    collection = create(book, all_types_schema())
    rows = [all_types_row(key) for key in range(300)]
    collection.insert(rows[:200])
    collection.flush()
    collection.insert(rows[200:])
    index_and_load(collection, "vector")

    def check(expr, predicate):
        assert keys_of(collection, "id", expr) == [row["id"] for row in rows if predicate(row)], expr

    check("id in [1, 2, 250, 999]", lambda row: row["id"] in (1, 2, 250))
    check("id not in [1, 2] and id < 10", lambda row: row["id"] not in (1, 2) and row["id"] < 10)
    check("10 < id <= 20", lambda row: 10 < row["id"] <= 20)
    check("id % 7 == 3", lambda row: row["id"] % 7 == 3)
    check("flag == true", lambda row: row["flag"])
    check("not (flag == true) && id >= 290", lambda row: not row["flag"] and row["id"] >= 290)
    check("tiny == -128 || small > 0", lambda row: row["tiny"] == -128 or row["small"] > 0)
    check("middle > 0", lambda row: row["middle"] > 0)
    check("big < 0", lambda row: row["big"] < 0)
    check("ratio >= 50.5", lambda row: row["ratio"] >= 50.5)
    check("exact < -1.5", lambda row: row["exact"] < -1.5)
    check('title == "plain"', lambda row: row["title"] == "plain")
    check('title like "pl%"', lambda row: row["title"].startswith("pl"))
    check('title in ["", "plain"]', lambda row: row["title"] in ("", "plain"))
    check('meta["n"] > 280', lambda row: row["meta"]["n"] > 280)
    check('meta["nested"]["list"][0] == 1', lambda row: True)
    check('json_contains(meta["nested"]["list"], "two")', lambda row: True)
    check("exists meta[\"absent\"]", lambda row: False)
    check("pages > 25000", lambda row: row.get("pages", 0) > 25000)
    check('color == "red100"', lambda row: row.get("color") == "red100")
    check("smalls[2] == 17", lambda row: row["smalls"][2] == 17)
    check("array_contains(bigs, 42)", lambda row: 42 in row["bigs"])
    check("array_length(flags) == 2", lambda row: len(row["flags"]) == 2)
    check('array_contains_any(words, ["w5", "w6"])', lambda row: row["id"] in (5, 6))


def test_limit_and_offset_page_through_all_rows(book):
    collection = write_book(book, [(0, 150), (150, 300)])
    index_and_load(collection)
    seen = []
    for offset in range(0, 300, 70):
        page = collection.query("book_id >= 0", output_fields=["book_id"], offset=offset, limit=70,
                                consistency_level="Strong")
        seen += [row["book_id"] for row in page]
    assert seen == list(range(300))
    assert len(keys_of(collection, limit=5)) == 5


# --- keys -------------------------------------------------------------------------------------------------------


def test_varchar_primary_key(book):
    schema = CollectionSchema([
        FieldSchema("name", DataType.VARCHAR, is_primary=True, max_length=64),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIM),
    ])
    collection = create(book, schema)
    keys = [f"k-{number:04d}" for number in range(400)] + ["日本", "with 'quote'", 'with "double"', "back\\slash"]
    for part in (keys[:200], keys[200:]):
        result = collection.insert([part, vectors(range(len(part)), DIM)])
        assert list(result.primary_keys) == part
        collection.flush()
    gone = ["k-0000", "k-0199", "k-0200", "日本"]
    assert collection.delete(f"name in {json.dumps(gone, ensure_ascii=False)}").delete_count == len(gone)
    collection.flush()
    index_and_load(collection, "vector")
    compact(collection)
    assert keys_of(collection, "name", 'name >= ""') == sorted(set(keys) - set(gone))


def test_auto_id(book):
    schema = CollectionSchema([
        FieldSchema("id", DataType.INT64, is_primary=True, auto_id=True),
        FieldSchema("n", DataType.INT64),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIM),
    ])
    collection = create(book, schema)
    keys = []
    for first in (0, 250):
        result = collection.insert([list(range(first, first + 250)), vectors(range(250), DIM)])
        keys += result.primary_keys
        collection.flush()
    assert len(set(keys)) == 500 and min(keys) > 0
    collection.delete(f"id in {keys[10:20]}")
    collection.flush()
    index_and_load(collection, "vector")
    compact(collection)
    rows = collection.query("id >= 0", output_fields=["id", "n"], consistency_level="Strong")
    assert {row["id"]: row["n"] for row in rows} == {
        key: n for n, key in enumerate(keys) if not 10 <= n < 20}


def test_partition_key(book):
    schema = CollectionSchema([
        FieldSchema("id", DataType.INT64, is_primary=True),
        FieldSchema("tenant", DataType.VARCHAR, max_length=32, is_partition_key=True),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIM),
    ])
    collection = create(book, schema, num_partitions=4)
    assert len(collection.partitions) == 4
    for first in (0, 200):
        keys = range(first, first + 200)
        collection.insert([list(keys), [f"tenant{key % 10}" for key in keys], vectors(keys, DIM)])
        collection.flush()
    collection.delete(f"id in {list(range(20))}")
    collection.flush()
    index_and_load(collection, "vector")
    compact(collection)
    assert keys_of(collection, "id", 'tenant == "tenant3"') == [key for key in range(20, 400) if key % 10 == 3]
    assert keys_of(collection, "id") == list(range(20, 400))


def test_binary_vector(book):
    schema = CollectionSchema([
        FieldSchema("id", DataType.INT64, is_primary=True),
        FieldSchema("bits", DataType.BINARY_VECTOR, dim=128),
    ])
    collection = create(book, schema)
    random.seed(1)
    bits = {key: random.randbytes(16) for key in range(300)}
    for first in (0, 150):
        keys = range(first, first + 150)
        collection.insert([list(keys), [bits[key] for key in keys]])
        collection.flush()
    index_and_load(collection, "bits", {"index_type": "BIN_FLAT", "metric_type": "HAMMING", "params": {}})
    compact(collection)
    rows = collection.query("id >= 0", output_fields=["id", "bits"], consistency_level="Strong")
    assert {row["id"]: b"".join(row["bits"]) if isinstance(row["bits"], list) else row["bits"]
            for row in rows} == bits


def test_duplicate_keys_are_kept_and_deleted_together(book):
    collection = create(book, book_schema())
    collection.insert(book_columns([1, 1, 2, *range(10, 50)]))
    collection.flush()
    collection.insert(book_columns([2, 3, *range(50, 90)]))
    collection.delete("book_id == 1")
    collection.flush()
    index_and_load(collection)
    compact(collection)
    assert collection.num_entities == 83
    assert set(keys_of(collection)) == {2, 3, *range(10, 90)}


# --- collections, partitions, aliases ---------------------------------------------------------------------------


def test_describe_shows_the_schema_as_it_was_given(book):
    Collection(book, all_types_schema(), consistency_level="Strong", shards_num=2,
               properties={"collection.ttl.seconds": 86400})
    collection = Collection(book)
    schema = collection.schema
    assert [field.name for field in schema.fields] == [field.name for field in all_types_schema().fields]
    for got, given in zip(schema.fields, all_types_schema().fields):
        assert (got.dtype, got.params, got.is_primary) == (given.dtype, given.params, given.is_primary), got.name
    assert schema.enable_dynamic_field and schema.primary_field.name == "id" and not schema.auto_id
    described = collection.describe()
    assert described["collection_name"] == book and described["num_shards"] == 2
    assert int(described["properties"]["collection.ttl.seconds"]) == 86400
    assert collection.is_empty and collection.description == ""


def test_collections_are_listed_found_renamed_and_dropped(book):
    assert not utility.has_collection(book)
    Collection(book, book_schema())
    assert utility.has_collection(book) and book in utility.list_collections()
    assert Collection(book).description == "Test book search"
    utility.rename_collection(book, book + "_renamed")
    assert not utility.has_collection(book) and utility.has_collection(book + "_renamed")
    utility.drop_collection(book + "_renamed")
    assert not utility.has_collection(book + "_renamed")
    utility.drop_collection(book)


def test_a_renamed_collection_compacts_under_its_new_name(book):
    collection = write_book(book, [(0, 100), (100, 200)])
    index_and_load(collection)
    utility.rename_collection(book, book + "_renamed")
    renamed = Collection(book + "_renamed")
    compact(renamed)
    assert keys_of(renamed) == list(range(200))


def test_aliases(book):
    collection = write_book(book, [(0, 100), (100, 200)])
    alias = book + "_alias"
    utility.create_alias(book, alias)
    assert utility.list_aliases(book) == [alias]
    assert alias in collection.aliases
    assert Collection(alias).num_entities == 200
    index_and_load(collection)
    before = segments(book)
    check_plans(compact(Collection(alias), every_segment=False), before, segments(book))
    assert keys_of(Collection(alias)) == list(range(200))

    other = Collection(book + "_renamed", book_schema())
    utility.alter_alias(other.name, alias)
    assert utility.list_aliases(book) == [] and utility.list_aliases(other.name) == [alias]
    assert Collection(alias).num_entities == 0
    utility.drop_alias(alias)
    assert not utility.has_collection(alias)


def test_partitions(book):
    collection = create(book, book_schema())
    novel = collection.create_partition("novel")
    assert collection.has_partition("novel") and utility.has_partition(book, "novel")
    assert {partition.name for partition in collection.partitions} == {"_default", "novel"}
    collection.insert(book_columns(range(10)), partition_name="novel")
    collection.insert(book_columns(range(10, 15)))
    collection.flush()
    assert (novel.num_entities, collection.num_entities) == (10, 15)
    index_and_load(collection)
    assert collection.delete("book_id in [0, 12]", partition_name="novel").delete_count == 2
    assert keys_of(collection) == list(range(1, 15)), "the delete was for one partition"
    assert [row["book_id"] for row in novel.query("book_id < 3", consistency_level="Strong")] == [1, 2]
    collection.release()
    collection.drop_partition("novel")
    assert not collection.has_partition("novel")
    collection.load()
    assert keys_of(collection) == list(range(10, 15))


def test_properties_can_be_changed(book):
    collection = Collection(book, book_schema())
    collection.set_properties({"collection.ttl.seconds": 1800, "collection.autocompaction.enabled": False})
    properties = Collection(book).describe()["properties"]
    assert int(properties["collection.ttl.seconds"]) == 1800


def test_query_segment_info_lists_the_loaded_segments(book):
    collection = write_book(book, [(0, 100), (100, 200)])
    assert utility.get_query_segment_info(book) == [] or len(utility.get_query_segment_info(book)) == 0
    index_and_load(collection)
    infos = utility.get_query_segment_info(book)
    assert {info.segmentID: info.num_rows for info in infos} == segments(book)
    compact(collection)
    assert sum(segments(book).values()) == 200


def test_indexes(book):
    collection = write_book(book, [(0, 100)])
    assert collection.indexes == [] and not collection.has_index()
    collection.create_index("book_intro", IVF_FLAT, index_name="intro")
    assert collection.has_index(index_name="intro")
    index = collection.index(index_name="intro")
    assert index.field_name == "book_intro" and index.params["index_type"] == "IVF_FLAT"
    assert index.params["metric_type"] == "L2" and index.params["params"] == {"nlist": 16}
    assert utility.index_building_progress(book, "intro")["total_rows"] == 100
    collection.load()
    assert str(utility.load_state(book)) == "Loaded"
    assert utility.loading_progress(book)["loading_progress"] == "100%"
    collection.release()
    assert str(utility.load_state(book)) == "NotLoad"
    collection.drop_index(index_name="intro")
    assert not collection.has_index(index_name="intro")


def test_search_finds_the_nearest_before_and_after_compaction(book):
    collection = write_book(book, [(0, 100), (100, 200)])
    collection.delete("book_id in [42]")
    collection.flush()
    index_and_load(collection)
    nearest = exact_nearest(vectors([42], DIM)[0], set(range(200)) - {42}, 3)
    for _ in range(2):
        hits = collection.search(vectors([42], DIM), "book_intro", {"metric_type": "L2"}, limit=3,
                                 output_fields=["word_count"], consistency_level="Strong")[0]
        assert list(hits.distances) == [distance for distance, _ in nearest]
        assert 42 not in hits.ids and hits[0].entity.get("word_count") == hits.ids[0] * 10
        compact(collection, every_segment=False)


def test_a_search_iterator_goes_on_where_the_last_page_ended(book):
    collection = write_book(book, [(0, 100), (100, 200)])
    index_and_load(collection)
    pages = collection.search_iterator(vectors([42], DIM), "book_intro", {"metric_type": "L2"}, batch_size=20, limit=120,
                                       consistency_level="Strong")
    seen = []
    while len(page := pages.next()) > 0:
        seen += page.ids()
    pages.close()
    assert seen == [key for _, key in exact_nearest(vectors([42], DIM)[0], range(200), 120)]


def test_rows_within_a_range(book):
    collection = write_book(book, [(0, 200)])
    index_and_load(collection)
    ranked = exact_nearest(vectors([42], DIM)[0], range(200), 200)
    near, far = ranked[10][0], ranked[30][0]
    hits = collection.search(vectors([42, 43], DIM), "book_intro", limit=200, consistency_level="Strong",
                             param={"metric_type": "L2", "params": {"radius": far, "range_filter": near}})
    assert [hit.id for hit in hits[0]] == [key for _, key in ranked[10:30]]
    assert len(hits) == 2 and all(near <= hit.distance < far for hit in hits[1])


def exact_nearest(query, keys, limit):
    """[(squared distance, key)] by brute force."""
    ranked = [(sum((a - b) ** 2 for a, b in zip(query, vector)), key) for key, vector in zip(keys, vectors(keys, DIM))]
    return sorted(ranked)[:limit]


# --- connections ------------------------------------------------------------------------------------------------


def test_server_version():
    version = utility.get_server_version()
    assert "2.3.5" in version
    assert not is_datacoord() or version.startswith("2.3.5-datacoord")


def test_a_second_connection_sees_the_same_collections(book):
    Collection(book, book_schema())
    address = connections.get_connection_addr("default")
    uri = {key: address[key] for key in ("address",) if key in address}
    connections.connect("second", **uri)
    assert book in utility.list_collections(using="second")
    assert Collection(book, using="second").num_entities == 0
    connections.disconnect("second")


def test_missing_collection():
    with pytest.raises(SchemaNotReadyException):
        Collection("no_such_book")
    with refused(100):
        utility.index_building_progress("no_such_book")

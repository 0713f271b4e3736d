"""Queries: expressions, output fields, windows, and refusals."""

from calls import BOOK, FLAT, KEY, VECTOR, books, field, longs, pairs, schema, vectors
from pymilvus.grpc_gen import schema_pb2
from scenarios import scenario

NAME = "query_books"


def shelf(run):
    """Ten rows, loaded; the first five are flushed."""
    run.CreateCollection(collection_name=NAME, schema=schema(NAME, *BOOK), shards_num=1)
    run.CreatePartition(collection_name=NAME, partition_name="p")
    run.Insert(collection_name=NAME, **books(range(1, 6)))
    run.flushed(NAME)
    run.Insert(collection_name=NAME, partition_name="p", **books(range(6, 11)))
    run.CreateIndex(collection_name=NAME, field_name="vector", extra_params=FLAT)
    run.LoadCollection(collection_name=NAME, replica_number=1)
    run.loaded(NAME)


def ask(run, expression, note="", **more):
    run.Query(_note=note, collection_name=NAME, expr=expression, consistency_level="Strong", **more)


@scenario
def expressions(run):
    shelf(run)
    for expression in [
        "id > 3", "id in [1, 2]", "id not in [1, 2]", "id == 1 or id == 2", "not (id > 2)", "1 < id < 4", "4 > id > 1",
        "id % 2 == 0", "id + 1 == 3", "pages / 2 == 10", "pages * 2 > 150", "id - 1 == 0", "id ** 2 == 4", "-id == -3",
        "title == 't1'", 'title == "t1"', "title > 't8'", "title like 't1%'", "title like '%1'", "title like '%1%'",
        "title in ['t1', 't2']", "title != 't1' && id < 4", "id < 2 || id > 9", "!(id > 1)", "id in [1] and pages == 10",
        # Refused:
        "id >", "> 3", "id", "title", "id = 3", "id === 3", "id like 'a'", "title > 3", "id > 'a'", "title like 3",
        "nothing > 3", "vector > 3", "vector[0] > 3", "id in 'a'", "id in ['a']", "id in [1, 'a']", "title in [1]",
        "title in ['a', 1]", "id & 1 == 1", "id > 3 and", "(id > 3", "id > 3)", "id > pages", "id + pages > 5",
        "id + 'a' == 3", "title + 'a' == 'b'", "true", "false", "1 == 1", "1", "'a'", "id in [", "id between 1 and 3",
        "id is null", "exists id", "exists title", "json_contains(title, 1)", "array_contains(title, 1)",
        "array_length(id) == 1", "id[0] == 1", "title['a'] == 1", "id == 1.5", "id > 1.5", "id == true",
        "id > 9223372036854775807", "id > 9223372036854775808", "id > 99999999999999999999", "id == 0x10", "id == 010",
        "id == 1e3", "title == 't1\\", "title == 't\\'1'", "id > 3; id < 4", "\"id\" > 3", "$meta['a'] == 1", "a.b == 1",
        "id in []", "title in []", "id not in []", "count(*) > 1", "中文 == 1", "id > 3 # no", "()", "(((id > 9)))",
    ]:
        ask(run, expression, output_fields=["id"])


@scenario
def outputs_and_windows(run):
    shelf(run)
    for fields in ([], ["id"], ["*"], ["%"], ["title", "vector"], ["id", "id"], ["nothing"], [""], [" id "], ["$meta"],
                   ["count(*)"], ["count(*)", "id"], ["COUNT(*)"], ["count(id)"], ["count()"], ["id", "*"], ["%", "id"],
                   ["vector"], ["RowID"], ["Timestamp"]):
        ask(run, "id < 3", output_fields=fields)
    for window in ({"limit": 3}, {"limit": 0}, {"limit": -1}, {"limit": "a"}, {"limit": 16384}, {"limit": 16385},
                   {"limit": 67890}, {"limit": 3, "offset": 2}, {"limit": 3, "offset": 20}, {"limit": 3, "offset": -1},
                   {"limit": 3, "offset": "a"}, {"limit": 16384, "offset": 1}, {"offset": 2}, {"offset": -1},
                   {"limit": 1.5}, {"limit": ""}, {"limit": 2**63}, {"limit": 3, "offset": 2**63}):
        ask(run, "id > 0", output_fields=["id"], query_params=pairs(**window))
    for window in ({"limit": 3}, {"offset": 3}, {"limit": 3, "offset": 2}, {"limit": -1}):
        ask(run, "id > 0", output_fields=["count(*)"], query_params=pairs(**window))
    for expression in ("", " "):
        ask(run, expression, output_fields=["id"])
        ask(run, expression, output_fields=["id"], query_params=pairs(limit=2))
        ask(run, expression, output_fields=["count(*)"])
    for value in ("true", "True", "false", "1", "x", ""):
        ask(run, "id > 0", output_fields=["id"], query_params=pairs(ignore_growing=value))
    for value in ("true", "x"):
        ask(run, "id > 0", output_fields=["id"], query_params=pairs(reduce_stop_for_best=value, limit=5))
    for names in (["p"], ["_default"], ["p", "p"], ["p", "_default"], ["not_there"], ["p", "not_there"], [""]):
        ask(run, "id > 0", output_fields=["id"], partition_names=names)
    for value in (1, 2, 0):
        run.Query(_note="guarantee", collection_name=NAME, expr="id > 8", output_fields=["id"], guarantee_timestamp=value)
    for level in ("Strong", "Session", "Bounded", "Eventually", "Customized"):
        run.Query(collection_name=NAME, expr="id in [1]", output_fields=["id"], consistency_level=level)
    run.Query(collection_name=NAME, expr="id in [1]", output_fields=["id"], consistency_level=77)
    run.Query(collection_name=NAME, expr="id in [1]", output_fields=["id"], use_default_consistency=True)


@scenario
def dynamic_and_json(run):
    name = "query_json"
    fields = (KEY, VECTOR, field("meta", "JSON"), field("words", "Array", element_type="VarChar", max_length=8,
                                                        max_capacity=4))
    run.CreateCollection(collection_name=name, schema=schema(name, *fields, enable_dynamic_field=True), shards_num=1)

    def texts(kind, values):
        return schema_pb2.ScalarField(json_data={"data": values}) if kind == "JSON" else schema_pb2.ScalarField(
            array_data={"element_type": "VarChar", "data": [{"string_data": {"data": value}} for value in values]})

    columns = [
        longs("id", [1, 2, 3]), vectors("vector", 3),
        schema_pb2.FieldData(type="JSON", field_name="meta", scalars=texts("JSON", [
            b'{"a": 1, "b": {"c": "x"}, "l": [1, 2]}', b'{"a": 2.5, "b": null, "l": ["a"]}', b'{"a": "t"}'])),
        schema_pb2.FieldData(type="Array", field_name="words", scalars=texts("Array", [["a", "b"], [], ["c"]])),
        schema_pb2.FieldData(type="JSON", field_name="$meta", is_dynamic=True, scalars=texts("JSON", [
            b'{"color": "red", "n": 1}', b'{"color": "blue"}', b"{}"])),
    ]
    run.Insert(collection_name=name, fields_data=columns, num_rows=3)
    run.CreateIndex(collection_name=name, field_name="vector", extra_params=FLAT)
    run.LoadCollection(collection_name=name, replica_number=1)
    run.loaded(name)
    for expression in [
        "meta['a'] == 1", 'meta["a"] > 1', "meta['b']['c'] == 'x'", "meta['a'] in [1, 't']", "meta['none'] == 1",
        "exists meta['a']", "exists meta['b']['c']", "exists meta", "meta == 1", "meta['a']", "meta[0] == 1",
        "json_contains(meta['l'], 1)", "json_contains_all(meta['l'], [1, 2])", "json_contains_any(meta['l'], [1, 'a'])",
        "json_contains(meta, 1)", "json_contains(meta['l'])", "json_contains_all(meta['l'], 1)", "meta['l'][0] == 1",
        "json_length(meta['l']) == 2", "color == 'red'", "n == 1", "n > 0", "exists color", "exists n", "$meta['n'] == 1",
        "color like 'r%'", "color in ['red', 1]", "nothing == 1", "words[0] == 'a'", "words[5] == 'a'", "words[-1] == 'a'",
        "array_contains(words, 'a')", "array_contains_all(words, ['a', 'b'])", "array_contains_any(words, ['c', 'a'])",
        "array_length(words) == 2", "array_length(words) > 1", "array_length(words) + 1 == 2", "array_contains(words, 1)",
        "words == ['a', 'b']", "words == []", "words", "words['a'] == 1", "words in ['a']", "meta['a'] + 1 == 2",
        "meta['a'] like 't%'", "meta['a'] == true", "meta['a'] + meta['b'] > 1", "n + 1 == 2", "n == n",
    ]:
        run.Query(collection_name=name, expr=expression, output_fields=["id"], consistency_level="Strong")
    for fields in (["meta"], ["$meta"], ["color"], ["color", "n"], ["*"], ["words"], ["meta['a']"], ["$meta['n']"], ["a b"]):
        run.Query(collection_name=name, expr="id < 3", output_fields=fields, consistency_level="Strong")

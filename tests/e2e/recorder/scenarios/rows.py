"""Insert, upsert, delete, and their refusals."""

from calls import BOOK, FLAT, KEY, PAGES, TITLE, VECTOR, books, field, longs, pairs, schema, texts, vectors
from pymilvus.grpc_gen import schema_pb2
from scenarios import scenario


def made(run, name, *fields, **more):
    run.CreateCollection(collection_name=name, schema=schema(name, *fields, **more), shards_num=1)


def without(columns, name):
    return {**columns, "fields_data": [column for column in columns["fields_data"] if column.field_name != name]}


def instead(columns, *others):
    names = {column.field_name for column in others}
    kept = [column for column in columns["fields_data"] if column.field_name not in names]
    return {**columns, "fields_data": [*kept, *others]}


def plus(columns, *others):
    return {**columns, "fields_data": [*columns["fields_data"], *others]}


def scalars(name, kind, **data):
    return schema_pb2.FieldData(type=kind, field_name=name, scalars=schema_pb2.ScalarField(**data))


ROWS = books([1, 2])

# Numbers as text, as vectors or as floats are accepted by the real server; it ends when it writes them.
WRONG = {
    "no columns": {"fields_data": [], "num_rows": 2},
    "no rows": {"fields_data": [], "num_rows": 0},
    "rows counted wrong": {**ROWS, "num_rows": 3},
    "rows counted as 0": {**ROWS, "num_rows": 0},
    "no key column": without(ROWS, "id"),
    "no title column": without(ROWS, "title"),
    "no vector column": without(ROWS, "vector"),
    "a column too much": plus(ROWS, longs("more", [1, 2])),
    "a column twice": plus(ROWS, longs("pages", [1, 2])),
    "short key column": instead(ROWS, longs("id", [1])),
    "short title column": instead(ROWS, texts("title", ["a"])),
    "short vector column": instead(ROWS, vectors("vector", 1)),
    "long vector column": instead(ROWS, vectors("vector", 3)),
    "vectors of another dimension": instead(ROWS, vectors("vector", 2, 8)),
    "half a vector": instead(ROWS, schema_pb2.FieldData(
        type="FloatVector", field_name="vector",
        vectors=schema_pb2.VectorField(dim=4, float_vector=schema_pb2.FloatArray(data=[1, 2, 3])))),
    "vectors with NaN": instead(ROWS, schema_pb2.FieldData(
        type="FloatVector", field_name="vector",
        vectors=schema_pb2.VectorField(dim=4, float_vector=schema_pb2.FloatArray(data=[float("nan")] * 8)))),
    "vectors with infinity": instead(ROWS, schema_pb2.FieldData(
        type="FloatVector", field_name="vector",
        vectors=schema_pb2.VectorField(dim=4, float_vector=schema_pb2.FloatArray(data=[float("inf")] * 8)))),
    "title too long": instead(ROWS, texts("title", ["a", "b" * 17])),
    "title as numbers": instead(ROWS, longs("title", [1, 2])),
    "a column without a name": plus(without(ROWS, "pages"), longs("", [1, 2])),
    "a column without data": instead(ROWS, schema_pb2.FieldData(type="Int64", field_name="pages")),
}


@scenario
def wrong_inserts(run):
    name = "row_wrong"
    made(run, name, *BOOK)
    for what, columns in WRONG.items():
        run.Insert(_note=what, collection_name=name, **columns)
        run.Upsert(_note=what, collection_name=name, **columns)
    run.GetCollectionStatistics(collection_name=name)


@scenario
def inserts(run):
    name = "row_right"
    made(run, name, *BOOK)
    run.CreatePartition(collection_name=name, partition_name="p")
    run.Insert(collection_name=name, **books([1, 2, 3]))
    run.Insert(_note="a key again", collection_name=name, **books([3, 3]))
    run.Insert(collection_name=name, partition_name="p", **books([4]))
    run.Insert(_note="partition of another collection", collection_name=name, partition_name="q", **books([4]))
    run.Upsert(collection_name=name, **books([3, 5]))
    run.Upsert(_note="a key twice", collection_name=name, **books([6, 6]))
    run.Delete(collection_name=name, expr="id in [1]")
    run.Delete(_note="no such keys", collection_name=name, expr="id in [100, 101]")
    run.Delete(_note="keys again and again", collection_name=name, expr="id in [2, 2, 2]")
    run.Delete(collection_name=name, expr="id == 2")
    run.Delete(collection_name=name, expr="id in []")
    run.Delete(collection_name=name, partition_name="p", expr="id in [4]")


@scenario
def automatic_keys(run):
    for name, key in (("row_auto", field("id", "Int64", key=True, autoID=True)),
                      ("row_text", field("id", "VarChar", key=True, autoID=True, max_length=32))):
        made(run, name, key, PAGES, VECTOR)
        columns = {"fields_data": [longs("pages", [1, 2]), vectors("vector", 2)], "num_rows": 2}
        run.Insert(collection_name=name, **columns)
        run.Insert(_note="with keys", collection_name=name, **plus(columns, longs("id", [1, 2])))
        run.Insert(_note="with text keys", collection_name=name, **plus(columns, texts("id", ["1", "2"])))
        run.Upsert(collection_name=name, **plus(columns, longs("id", [1, 2])))
        run.Upsert(_note="without keys", collection_name=name, **columns)


@scenario
def text_keys(run):
    made(run, "row_keys", field("id", "VarChar", key=True, max_length=8), VECTOR)
    columns = {"fields_data": [texts("id", ["a", "b"]), vectors("vector", 2)], "num_rows": 2}
    run.Insert(collection_name="row_keys", **columns)
    run.Insert(_note="too long", collection_name="row_keys", **instead(columns, texts("id", ["a", "b" * 9])))
    run.Insert(_note="empty", collection_name="row_keys", **instead(columns, texts("id", ["", "c"])))
    run.Delete(collection_name="row_keys", expr='id in ["a"]')
    run.Delete(collection_name="row_keys", expr="id in [1]")


@scenario
def all_types(run):
    """Values out of their ranges, and of the wrong kind, per type."""
    name = "row_types"
    made(run, name, KEY, VECTOR, field("tiny", "Int8"), field("small", "Int16"), field("meta", "JSON"),
         field("words", "Array", element_type="VarChar", max_length=4, max_capacity=2),
         field("numbers", "Array", element_type="Int8", max_capacity=2))
    text_array = {"element_type": "VarChar", "data": [{"string_data": {"data": ["a"]}}]}
    number_array = {"element_type": "Int8", "data": [{"int_data": {"data": [1]}}]}

    def row(tiny=1, small=1, meta=b"{}", words=text_array, numbers=number_array):
        return {"num_rows": 1, "fields_data": [
            longs("id", [1]), vectors("vector", 1), scalars("tiny", "Int8", int_data={"data": [tiny]}),
            scalars("small", "Int16", int_data={"data": [small]}), scalars("meta", "JSON", json_data={"data": [meta]}),
            scalars("words", "Array", array_data=words), scalars("numbers", "Array", array_data=numbers)]}

    def words(*values):
        return {"element_type": "VarChar", "data": [{"string_data": {"data": values}}]}

    def numbers(*values):
        return {"element_type": "Int8", "data": [{"int_data": {"data": values}}]}

    run.Insert(_note="right", collection_name=name, **row())
    for value in (127, 128, -128, -129):
        run.Insert(_note=f"Int8 {value}", collection_name=name, **row(tiny=value))
    for value in (32767, 32768, -32769):
        run.Insert(_note=f"Int16 {value}", collection_name=name, **row(small=value))
    for value in (b"", b"{", b"[]", b"1", b'"a"', b"null", b"{} {}", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\xff"):
        run.Insert(_note=f"JSON {value!r}", collection_name=name, **row(meta=value))
    for values in (("a", "b", "c"), ("toolong",), ()):
        run.Insert(_note=f"words {values!r}", collection_name=name, **row(words=words(*values)))
    for values in ((1, 2, 3), (128,), ()):
        run.Insert(_note=f"numbers {values!r}", collection_name=name, **row(numbers=numbers(*values)))
    run.Insert(_note="numbers as words", collection_name=name, **row(words=numbers(1)))
    run.Insert(_note="words as numbers", collection_name=name, **row(numbers=words("a")))


@scenario
def dynamic_fields(run):
    made(run, "row_dynamic", KEY, VECTOR, enable_dynamic_field=True)
    base = {"fields_data": [longs("id", [1]), vectors("vector", 1)], "num_rows": 1}

    def dynamic(text, name="$meta", is_dynamic=True):
        column = scalars(name, "JSON", json_data={"data": [text]})
        column.is_dynamic = is_dynamic
        return plus(base, column)

    run.Insert(_note="none", collection_name="row_dynamic", **base)
    for text in (b'{"a": 1}', b"[]", b"1", b"{", b'{"$meta": 1}', b'{"id": 5}', b'{"": 1}'):
        run.Insert(_note=f"{text!r}", collection_name="row_dynamic", **dynamic(text))
    run.Insert(_note="without a name", collection_name="row_dynamic", **dynamic(b'{"a": 1}', ""))
    run.Insert(_note="another name", collection_name="row_dynamic", **dynamic(b'{"a": 1}', "more"))
    run.Insert(_note="not marked", collection_name="row_dynamic", **dynamic(b'{"a": 1}', "$meta", False))
    made(run, "row_static", KEY, VECTOR)
    run.Insert(_note="no dynamic field", collection_name="row_static", **dynamic(b'{"a": 1}'))


# The real server ends when the column of a default value is missing, or has no data of any kind.
@scenario
def default_values(run):
    name = "row_defaults"
    made(run, name, KEY, VECTOR, field("n", "Int64", default_value={"long_data": 5}),
         field("small", "Int8", default_value={"int_data": -5}),
         field("flag", "Bool", default_value={"bool_data": True}),
         field("ratio", "Float", default_value={"float_data": 0.5}),
         field("exact", "Double", default_value={"double_data": 0.25}),
         field("title", "VarChar", max_length=4, default_value={"string_data": "none"}))

    def rows(first, **data):
        empty = {"n": ("Int64", "long_data"), "small": ("Int8", "int_data"), "flag": ("Bool", "bool_data"),
                 "ratio": ("Float", "float_data"), "exact": ("Double", "double_data"),
                 "title": ("VarChar", "string_data")}
        columns = [scalars(name, kind, **{member: {"data": data.get(name, [])}})
                   for name, (kind, member) in empty.items()]
        return {"num_rows": 2, "fields_data": [longs("id", [first, first + 1]), vectors("vector", 2), *columns]}

    run.Insert(_note="empty columns", collection_name=name, **rows(1))
    run.Insert(_note="some columns", collection_name=name, **rows(3, n=[7, 8], title=["a", ""]))
    run.Insert(_note="one value for two rows", collection_name=name, **rows(5, n=[7]))
    run.Insert(_note="a text too long", collection_name=name, **rows(5, title=["a", "abcde"]))
    run.Upsert(_note="empty columns", collection_name=name, **rows(1, n=[9, 10]))
    run.quiet.CreateIndex(collection_name=name, field_name="vector", extra_params=FLAT)
    run.quiet.LoadCollection(collection_name=name, replica_number=1)
    run.loaded(name)
    for expr in ("id > 0", "n == 5", "title == 'none'", "flag == true"):
        run.Query(collection_name=name, expr=expr,
                  output_fields=["n", "small", "flag", "ratio", "exact", "title"],
                  query_params=pairs(limit=100))
    made(run, "row_default_key", field("id", "Int64", key=True, default_value={"long_data": 5}), VECTOR)
    run.Insert(_note="a key with a default", collection_name="row_default_key", num_rows=1,
               fields_data=[longs("id", [1]), vectors("vector", 1)])
    run.Upsert(_note="a key with a default", collection_name="row_default_key", num_rows=1,
               fields_data=[longs("id", [1]), vectors("vector", 1)])
    made(run, "row_default_part", KEY, VECTOR,
         field("n", "Int64", is_partition_key=True, default_value={"long_data": 5}))
    run.Insert(_note="an empty partition key", collection_name="row_default_part", num_rows=2,
               fields_data=[longs("id", [1, 2]), vectors("vector", 2), scalars("n", "Int64", long_data={"data": []})])


@scenario
def partition_keys(run):
    name = "row_pk"
    made(run, name, KEY, field("title", "VarChar", max_length=16, is_partition_key=True), PAGES, VECTOR)
    run.Insert(collection_name=name, **books([1, 2]))
    run.Insert(collection_name=name, partition_name="_default_0", **books([1, 2]))
    run.Insert(collection_name=name, partition_name="not_there", **books([1, 2]))
    run.Upsert(collection_name=name, partition_name="_default_0", **books([1, 2]))
    run.Delete(collection_name=name, partition_name="_default_0", expr="id in [1]")
    run.Delete(collection_name=name, partition_name="not_there", expr="id in [1]")
    run.Delete(collection_name=name, expr="id in [1]")
    run.CreateIndex(collection_name=name, field_name="vector", extra_params=FLAT)
    run.LoadPartitions(collection_name=name, partition_names=["_default_0"], replica_number=1)
    run.LoadCollection(collection_name=name, replica_number=1)
    run.loaded(name)
    run.Query(collection_name=name, partition_names=["_default_0"], expr="id > 0")
    run.Query(collection_name=name, partition_names=["not_there"], expr="id > 0")
    run.ReleasePartitions(collection_name=name, partition_names=["_default_0"])
    run.LoadPartitions(_note="loaded", collection_name=name, partition_names=["_default_0"], replica_number=1)
    run.GetLoadState(collection_name=name, partition_names=["_default_0"])
    run.GetLoadingProgress(collection_name=name, partition_names=["_default_0"])
    run.GetPartitionStatistics(collection_name=name, partition_name="_default_0")


BAD_DELETES = ["", " ", "id", "id in", "id in 1", "id in [", "id in [1", "id in ['a']", "id in [1.5]", "id in [true]",
               "nothing in [1]", "id == 'a'", "5 == 5", "true", "id in [1] garbage", "pages", "title like 'a%' and",
               "id + pages > 5", "vector in [1]", "id in [99999999999999999999]", "not id in [1]"]


@scenario
def bad_deletes(run):
    name = "row_deletes"
    made(run, name, *BOOK)
    run.CreateIndex(collection_name=name, field_name="vector", extra_params=FLAT)
    run.LoadCollection(collection_name=name, replica_number=1)
    run.Insert(collection_name=name, **books(range(1, 11)))
    run.loaded(name)
    for expression in BAD_DELETES:
        run.Delete(collection_name=name, expr=expression)
    run.Delete(collection_name=name, expr="id > 9", consistency_level="Strong")
    run.Delete(collection_name=name, expr="pages < 20", consistency_level="Strong")
    run.Delete(collection_name=name, expr="id not in [1, 2, 3]", consistency_level="Strong")
    run.Delete(_note="not there", collection_name=name, partition_name="p", expr="id > 5")

"""Calls on the wire: makes requests from plain values, and answers that can be compared.

A scenario is a function of a `Run`. Each call that it makes through the run is kept, under a label made of the call itself:
`HasCollection(collection_name='12-s')`. Calls through `run.quiet` are not kept: they wait, or look things up. After a
scenario the run drops what the scenario has made.
"""

import json
import re
import time

import grpc
from google.protobuf.json_format import MessageToDict
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

CALL_SECONDS = 20
WAIT_SECONDS = 60
SHOWN = 48
"""Characters of a value in a label."""

METHODS = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"].methods_by_name
MESSAGES = {method.input_type.name: getattr(milvus_pb2, method.input_type.name, None) or
            getattr(common_pb2, method.input_type.name, None) for method in METHODS.values()}

# --- masks: the few things that no two servers answer alike ---------------------------------------------------------

MASKED = {
    # Times and positions in a log.
    "timestamp", "created_timestamp", "created_timestamps", "created_utc_timestamp", "created_utc_timestamps",
    "create_ts", "coll_seal_times", "coll_flush_ts", "flush_ts", "flush_all_ts", "start_positions", "inMemory_percentages", "created_at",
    # Names that hold an id or a host.
    "virtual_channel_names", "physical_channel_names", "dm_channel_name", "leader_addr", "identifier",
    # The build.
    "version", "server_info", "component_name",
    # How large rows are on disk or in memory.
    "mem_size", "size",
    # Ids, which are small numbers on some servers.
    "collectionID", "collection_ids", "collection_id", "partitionID", "partitionIDs", "partition_ids", "segmentID",
    "segIDs", "indexID", "index_id", "compactionID", "replicaID", "replica_id", "nodeID", "nodeIds", "node_ids",
    "leader_id", "node_id",
}
"""Fields of answers that are only compared in whether they are there, and how many they are."""

ANY_ID = re.compile(r"\d{15,}|(?<=\[segment=)\d+(?=\])|(?<=\[replica=)\d+(?=\])|(?<=\[collection=)\d+(?=\])"
                    r"|(?<=\[partition=)\d+(?=\])|(?<=\[partition=\[)\d+(?=\])|by-dev-rootcoord-dml_\d+_\d+v\d")
"""An id, a time or a channel inside a text."""

DESCRIBED = re.compile(r"(can't find collection )?collection not found\[.*\]")
"""DescribeCollection of Milvus names what is not there by its name, or by the id that it had, as its cache has it."""

ORDERLESS = {
    "ShowCollectionsResponse": "collection_names",
    "ShowPartitionsResponse": "partition_names",
    "ListDatabasesResponse": "db_names",
    "ListAliasesResponse": "aliases",
    "ListCredUsersResponse": "usernames",
}
"""Answers with parallel lists in no order: the list by which they are put into one."""


OBJECT_TYPES = re.compile(r"(?<=supported the object types: \[)[^]]*")


def masked(value, name=""):
    if isinstance(value, dict) and name not in MASKED:
        return {key: masked(item, key) for key, item in value.items()}
    if isinstance(value, list):
        items = [masked(item, name) for item in value]
        # Key-value pairs come out of a map, in no order.
        pairs_only = all(isinstance(item, dict) and item.keys() <= {"key", "value"} for item in items)
        return sorted(items, key=lambda item: item.get("key", "")) if pairs_only else items
    if name in MASKED:
        return "*"
    if isinstance(value, str):
        # Milvus takes these out of a map, too.
        value = OBJECT_TYPES.sub(lambda found: " ".join(sorted(found[0].split())), value)
        return ANY_ID.sub("*", value)
    return value


def ordered(answer, kind):
    by = ORDERLESS.get(kind)
    if by not in answer:
        return answer
    order = sorted(range(len(answer[by])), key=lambda place: answer[by][place])
    parallel = {key: [items[place] for place in order] for key, items in answer.items()
                if isinstance(items, list) and len(items) == len(order)}
    return {**answer, **parallel}


def comparable(message):
    """An answer as plain values: absent is the same as zero, as on the wire."""
    plain = MessageToDict(message, preserving_proto_field_name=True)
    kind = message.DESCRIPTOR.name
    if kind == "Status":
        plain = {"status": plain}
    elif kind == "GetMetricsResponse" and plain.get("response"):
        # A report about machines: which roles it has is all that can be compared.
        nodes = json.loads(plain["response"]).get("nodes_info", [])
        plain["response"] = sorted({node.get("infos", {}).get("type", "") for node in nodes})
    plain = ordered(plain, kind)
    if kind in ("DescribeIndexResponse", "GetIndexStatisticsResponse") and "index_descriptions" in plain:
        # Milvus takes the indexes out of a map.
        plain["index_descriptions"].sort(key=lambda index: index.get("index_name", ""))
    if kind == "QueryResults" and "fields_data" in plain:
        # Columns come in any order; their names are the sum of the requested ones.
        plain["fields_data"].sort(key=lambda column: column.get("field_name", ""))
        plain["output_fields"] = sorted(plain.get("output_fields", []))
    if kind == "DescribeCollectionResponse":
        status = plain["status"]
        status.update({key: DESCRIBED.sub(r"\1collection not found[*]", status[key])
                       for key in ("reason", "detail") if key in status})
    if isinstance(plain.get("status"), dict) and plain["status"].get("detail") == plain["status"].get("reason"):
        plain["status"].pop("detail", None)
    return masked(plain)


# --- requests -------------------------------------------------------------------------------------------------------


def pairs(**values):
    return [common_pb2.KeyValuePair(key=key, value=str(value)) for key, value in values.items()]


def shown(value):
    """A value in a label: short, without ids, the same on every server."""
    if isinstance(value, (list, tuple)):
        inner = [shown(item) for item in value]
        return "[" + ", ".join(inner[:4] + ([f"…{len(inner)}"] if len(inner) > 4 else [])) + "]"
    if isinstance(value, common_pb2.KeyValuePair):
        return f"{value.key}={shown(value.value)[1:-1]}"
    if isinstance(value, str):
        text = repr(ANY_ID.sub("*", value))
        return text if len(text) <= SHOWN else f"{text[:SHOWN // 2]}…{len(value)}'"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (bool, float)):
        return str(value)
    if isinstance(value, int):
        return ANY_ID.sub("*", str(value))
    return type(value).__name__


class Calls:
    """One way to make calls: `calls.HasCollection(collection_name="a")` -> the answer, or a gRPC error."""

    def __init__(self, run, keep, metadata=()):
        self._run, self._keep, self._metadata = run, keep, metadata

    def __getattr__(self, method):
        if method not in METHODS:
            raise AttributeError(method)

        def call(_note="", **fields):
            return self._run.call(method, fields, self._keep, self._metadata, _note)

        return call


class Run(Calls):
    """One scenario on one server."""

    def __init__(self, stub):
        super().__init__(self, True)
        self.stub = stub
        self.answers = {}
        self.quiet = Calls(self, False)
        self.made = []

    def inside(self, database):
        """Calls with the header that names a database."""
        return Calls(self, True, (("dbname", database),))

    def call(self, method, fields, keep, metadata, note):
        request = MESSAGES[METHODS[method].input_type.name](**fields)
        try:
            answer = getattr(self.stub, method)(request, timeout=CALL_SECONDS, metadata=metadata)
            plain = comparable(answer) if keep else None
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                raise ConnectionError(f"the server is gone: {self.label(method, fields, metadata, note)}") from error
            answer, plain = error, {"grpc": error.code().name}
        self.note_made(method, fields, metadata, answer)
        if keep:
            self.answers[self.label(method, fields, metadata, note)] = plain
        return answer

    def label(self, method, fields, metadata, note):
        known = {key: value for key, value in fields.items() if key not in ("schema", "fields_data", "hash_keys")}
        inside = "".join(f" in {value!r}" for _, value in metadata)
        told = ", ".join(f"{key}={'*' if key in MASKED and value else shown(value)}" for key, value in known.items())
        label = f"{method}({told}){inside}"
        label += f" {note}" if note else ""
        count = 2
        unique = label
        while unique in self.answers:
            unique, count = f"{label} #{count}", count + 1
        return unique

    # --- cleaning up after a scenario

    def note_made(self, method, fields, metadata, answer):
        if isinstance(answer, grpc.RpcError):
            return
        database = fields.get("db_name") or next((value for _, value in metadata), "")
        if method == "CreateDatabase":
            self.made.append(("DropDatabase", {"db_name": fields.get("db_name", "")}, ()))
        elif method == "CreateCollection":
            self.made.append(("DropCollection", {"collection_name": fields.get("collection_name", "")}, database))
        elif method == "RenameCollection":
            into = fields.get("newDBName") or database
            self.made.append(("DropCollection", {"collection_name": fields.get("newName", "")}, into))
        elif method in ("CreateAlias", "AlterAlias"):
            self.made.append(("DropAlias", {"alias": fields.get("alias", "")}, database))
        elif method == "CreateCredential":
            self.made.append(("DeleteCredential", {"username": fields.get("username", "")}, ()))
        elif method == "CreateRole":
            self.made.append(("DropRole", {"role_name": fields["entity"]["name"]}, ()))

    def clean(self):
        """Drops the things that the scenario has made, the newest first; one that is gone already is no fault."""
        for method, fields, database in reversed(self.made):
            metadata = (("dbname", database),) if database else ()
            self.call(method, fields, False, metadata, "")

    # --- steps of many scenarios

    def wait(self, what, holds):
        deadline = time.monotonic() + WAIT_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not after {WAIT_SECONDS} s: {what}")
            time.sleep(0.05)

    def flushed(self, name, **more):
        """Flushes a collection and waits for its segments."""
        answer = self.quiet.Flush(collection_names=[name], **more)
        segments = list(answer.coll_segIDs[name].data)
        until = answer.coll_flush_ts[name] if name in answer.coll_flush_ts else 0
        self.wait(f"{name} is flushed", lambda: self.quiet.GetFlushState(
            segmentIDs=segments, flush_ts=until, collection_name=name, **more).flushed)

    def loaded(self, name, **more):
        """Waits for a load that has been asked for."""
        self.wait(f"{name} is loaded", lambda: self.quiet.GetLoadingProgress(
            collection_name=name, **more).progress == 100)

    def id_of(self, name):
        return self.quiet.DescribeCollection(collection_name=name).collectionID


def connect(endpoint):
    channel = grpc.insecure_channel(endpoint, options=[("grpc.max_send_message_length", -1),
                                                       ("grpc.max_receive_message_length", -1)])
    return milvus_pb2_grpc.MilvusServiceStub(channel)


# --- schemas and columns --------------------------------------------------------------------------------------------

TYPE = schema_pb2.DataType


def field(name, kind, key=False, **more):
    """A field of a schema; names that no field of the message has are type parameters."""
    known = schema_pb2.FieldSchema.DESCRIPTOR.fields_by_name
    own = {name: value for name, value in more.items() if name in known and name != "type_params"}
    params = {name: value for name, value in more.items() if name not in known}
    return schema_pb2.FieldSchema(name=name, data_type=TYPE.Value(kind), is_primary_key=key,
                                  type_params=pairs(**params), **own)


def schema(name, *fields, **more):
    """The bytes of a schema."""
    return schema_pb2.CollectionSchema(name=name, fields=fields, **more).SerializeToString()


KEY = field("id", "Int64", key=True)
VECTOR = field("vector", "FloatVector", dim=4)
TITLE = field("title", "VarChar", max_length=16)
PAGES = field("pages", "Int64")
BOOK = (KEY, TITLE, PAGES, VECTOR)


def longs(name, values):
    data = schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=values))
    return schema_pb2.FieldData(type=TYPE.Int64, field_name=name, scalars=data)


def texts(name, values):
    data = schema_pb2.ScalarField(string_data=schema_pb2.StringArray(data=values))
    return schema_pb2.FieldData(type=TYPE.VarChar, field_name=name, scalars=data)


def vectors(name, count, dim=4):
    data = [(place * 7 + row * 31) % 100 / 8 for row in range(count) for place in range(dim)]
    field_data = schema_pb2.VectorField(dim=dim, float_vector=schema_pb2.FloatArray(data=data))
    return schema_pb2.FieldData(type=TYPE.FloatVector, field_name=name, vectors=field_data)


def books(keys):
    """The columns of rows of `BOOK`, and their number, as an insert wants them."""
    keys = list(keys)
    return {
        "fields_data": [longs("id", keys), texts("title", [f"t{key}" for key in keys]),
                        longs("pages", [key * 10 for key in keys]), vectors("vector", len(keys))],
        "num_rows": len(keys),
    }


FLAT = pairs(index_type="FLAT", metric_type="L2", params="{}")
MANUAL = pairs(**{"collection.autocompaction.enabled": "false"})

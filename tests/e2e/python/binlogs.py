"""The files a server leaves behind, decoded strictly by a decoder that shares no code with it.

Writes every field type, flushes, deletes, flushes, compacts, and compares what the files hold with what was sent.
Needs the server's files (E2E_FILES); the rules checked are those of docs/formats.md.
"""

import json
import random
import struct
from pathlib import Path

import binlog_decode as binlog
import pytest
from helpers import FILES, MANUAL, own_plans, raw, segments, vectors, wait_indexed, wait_until
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema
from pymilvus.grpc_gen import milvus_pb2 as pb
from rows import DIM, all_types_row, all_types_schema

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.skipif(not FILES, reason="no E2E_FILES")]

PARQUET_TYPES = {
    binlog.BOOL: ("BOOLEAN", "None"),
    binlog.INT8: ("INT32", "Int(bitWidth=8, isSigned=true)"),
    binlog.INT16: ("INT32", "Int(bitWidth=16, isSigned=true)"),
    binlog.INT32: ("INT32", "Int(bitWidth=32, isSigned=true)"),
    binlog.INT64: ("INT64", "Int(bitWidth=64, isSigned=true)"),
    binlog.FLOAT: ("FLOAT", "None"),
    binlog.DOUBLE: ("DOUBLE", "None"),
    binlog.STRING: ("BYTE_ARRAY", "String"),
    binlog.VARCHAR: ("BYTE_ARRAY", "String"),
    binlog.ARRAY: ("BYTE_ARRAY", "None"),
    binlog.JSON: ("BYTE_ARRAY", "None"),
    binlog.BINARY_VECTOR: ("FIXED_LEN_BYTE_ARRAY", "None"),
    binlog.FLOAT_VECTOR: ("FIXED_LEN_BYTE_ARRAY", "None"),
}
FIXED_SIZES = {binlog.BOOL: 1, binlog.INT8: 1, binlog.INT16: 2, binlog.INT32: 4, binlog.INT64: 8,
               binlog.FLOAT: 4, binlog.DOUBLE: 8}
ALLOWED_ENCODINGS = {"PLAIN", "PLAIN_DICTIONARY", "RLE", "RLE_DICTIONARY", "BIT_PACKED", "DELTA_BINARY_PACKED"}
DATA_PAGE, DICTIONARY_PAGE = 0, 2


# --- Parquet ----------------------------------------------------------------------------------------------------


class Thrift:
    """Reads just enough of Thrift's compact protocol to walk over page headers."""

    def __init__(self, data, position):
        self.data, self.position = data, position

    def varint(self):
        value = shift = 0
        while True:
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def zigzag(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def struct(self):
        """-> {field id: integer}; other kinds of values are passed over."""
        found, field = {}, 0
        while True:
            head = self.data[self.position]
            self.position += 1
            if head == 0:
                return found
            field = field + (head >> 4) if head >> 4 else self.zigzag()
            kind = head & 15
            if kind in (4, 5, 6):
                found[field] = self.zigzag()
            elif kind in (1, 2):
                pass
            elif kind == 3:
                self.position += 1
            elif kind == 7:
                self.position += 8
            elif kind == 8:
                length = self.varint()
                self.position += length
            elif kind == 12:
                self.struct()
            else:
                raise AssertionError(f"thrift type {kind} in a page header")


def page_types(payload, column):
    """Types of the pages of a column, in order."""
    position = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset is not None:
        position = min(position, column.dictionary_page_offset)
    end, types = position + column.total_compressed_size, []
    while position < end:
        reader = Thrift(payload, position)
        header = reader.struct()
        types.append(header[1])
        position = reader.position + header[3]
    assert position == end
    return types


def check_parquet(payload, data_type, rows):
    file = binlog.payload_table(payload)
    metadata, column = file.metadata, file.schema.column(0)
    assert (metadata.num_columns, metadata.num_row_groups, metadata.num_rows) == (1, 1, rows)
    assert (column.path, column.max_definition_level, column.max_repetition_level) == ("val", 0, 0), "required `val`"
    logical = str(column.logical_type).replace("isSigned=True", "isSigned=true")
    assert (column.physical_type, logical) == PARQUET_TYPES[data_type]
    chunk = metadata.row_group(0).column(0)
    assert chunk.compression == "ZSTD"
    assert set(chunk.encodings) <= ALLOWED_ENCODINGS, chunk.encodings
    pages = page_types(payload, chunk)
    assert set(pages) <= {DATA_PAGE, DICTIONARY_PAGE} and pages.count(DICTIONARY_PAGE) <= 1, f"page types {pages}"
    assert pages[-1] == DATA_PAGE


# --- one file of each kind --------------------------------------------------------------------------------------


def path_of(kind, *ids):
    return Path(FILES, kind, *map(str, ids))


def log_ids(folder):
    return sorted(int(path.name) for path in folder.iterdir()) if folder.exists() else []


def memory_size(data_type, values):
    """§9.4 of the format: bytes of the column in memory; not worked out for arrays."""
    if data_type in FIXED_SIZES:
        return FIXED_SIZES[data_type] * len(values)
    if data_type in (binlog.VARCHAR, binlog.JSON):
        return sum(len(value.encode() if isinstance(value, str) else value) + 16 for value in values)
    if data_type == binlog.ARRAY:
        return None
    return sum(map(len, values)) + 4


def check_container(data, kind_of_event, data_type, ids):
    log = binlog.parse_container(data)
    assert (log.collection, log.partition, log.segment, log.field) == ids
    assert log.data_type == data_type
    assert list(log.extra) == ["original_size"] and isinstance(log.extra["original_size"], str)
    assert b" " not in log.extra_bytes
    event, = log.events
    assert event.code == kind_of_event
    assert (event.start_ts, event.end_ts) == (log.start_ts, log.end_ts)
    assert 0 < log.start_ts <= log.end_ts
    assert event.next_position == len(data)
    return log, event


def read_column(ids, data_type):
    """-> (values, log) of all files of one field of one segment, checked."""
    values, logs = [], []
    for log_id in log_ids(path_of("insert_log", *ids)):
        assert log_id > 1
        data = path_of("insert_log", *ids, log_id).read_bytes()
        log, event = check_container(data, 1, data_type, ids)
        part = binlog.decode_payload(event.payload, data_type)
        check_parquet(event.payload, data_type, len(part))
        expected = memory_size(data_type, part)
        assert expected is None or int(log.extra["original_size"]) == expected, f"original_size of field {ids[3]}"
        values += part
        logs.append((log, len(part)))
    return values, logs


def read_deletes(ids, key_type):
    """-> [(key, timestamp)] of the delta logs of one segment."""
    deletes = []
    for log_id in log_ids(path_of("delta_log", *ids)):
        data = path_of("delta_log", *ids, log_id).read_bytes()
        log, event = check_container(data, 2, binlog.STRING, (*ids, -1))
        texts = binlog.decode_payload(event.payload, binlog.STRING)
        check_parquet(event.payload, binlog.STRING, len(texts))
        assert int(log.extra["original_size"]) == sum(len(text.encode()) for text in texts)
        _, entries = binlog.decode_delta_log(data)
        for text, (key, timestamp, kind) in zip(texts, entries):
            assert kind == key_type and list(json.loads(text)) == ["pk", "ts", "pkType"]
            deletes.append((key, timestamp))
        assert (min(ts for _, ts, _ in entries), max(ts for _, ts, _ in entries)) == (log.start_ts, log.end_ts)
    return deletes


def check_stats(ids, keys, key_type):
    """Some stats file must admit each key; min and max must be exact."""
    stats = []
    for log_id in log_ids(path_of("stats_log", *ids)):
        data = path_of("stats_log", *ids, log_id).read_bytes()
        assert isinstance(json.loads(data), list) == (log_id == 1)
        stats += binlog.decode_stats_log(data)
    assert stats
    for one in stats:
        assert (one["fieldID"], one["pkType"], one["min"], one["max"]) == (ids[3], key_type, 0, 0)
    order = (lambda key: key.encode()) if key_type == binlog.VARCHAR else int
    assert min((one["minPk"] for one in stats), key=order) == min(keys, key=order)
    assert max((one["maxPk"] for one in stats), key=order) == max(keys, key=order)
    bits, _ = binlog.bloom_size(len(keys))
    assert max(one["bf"]["m"] for one in stats) >= bits
    for key in keys:
        data = binlog.pk_bytes(key)
        assert any(order(one["minPk"]) <= order(key) <= order(one["maxPk"]) and one["bloom"].has(data)
                   for one in stats), f"key {key!r} is not in the statistics"


# --- a segment --------------------------------------------------------------------------------------------------


class Layout:
    """Ids and types of a collection's fields, as DescribeCollection gives them."""

    def __init__(self, name):
        described = raw().DescribeCollection(pb.DescribeCollectionRequest(collection_name=name))
        self.collection = described.collectionID
        self.fields = {field.fieldID: (field.name, field.data_type) for field in described.schema.fields}
        self.key, = (field.fieldID for field in described.schema.fields if field.is_primary_key)
        self.key_type = self.fields[self.key][1]
        if described.schema.enable_dynamic_field:
            self.fields[max(self.fields) + 1] = ("$meta", binlog.JSON)
        infos = raw().GetPersistentSegmentInfo(pb.GetPersistentSegmentInfoRequest(collectionName=name)).infos
        self.partition, = {info.partitionID for info in infos}

    def read_segment(self, segment):
        """-> (rows by key, deletes), every file of the segment checked on the way."""
        place = (self.collection, self.partition, segment)
        types = {binlog.ROW_ID_FIELD: binlog.INT64, binlog.TIMESTAMP_FIELD: binlog.INT64,
                 **{field: kind for field, (_, kind) in self.fields.items()}}
        assert log_ids(path_of("insert_log", *place)) == sorted(types)
        columns, shape = {}, {}
        for field, kind in types.items():
            columns[field], logs = read_column((*place, field), kind)
            shape[field] = [(rows, log.start_ts, log.end_ts) for log, rows in logs]
        assert all(each == shape[0] for each in shape.values()), "batches of a segment are alike in all fields"
        self.check_order(columns, shape[0])
        check_stats((*place, self.key), columns[self.key], self.key_type)
        rows = {}
        for place_in_file, key in enumerate(columns[self.key]):
            rows[key] = self.plain_row(columns, place_in_file)
        assert len(rows) == len(columns[self.key])
        return rows, read_deletes(place, self.key_type)

    @staticmethod
    def check_order(columns, batches):
        row_ids, timestamps = columns[binlog.ROW_ID_FIELD], columns[binlog.TIMESTAMP_FIELD]
        first = 0
        for rows, start, end in batches:
            part = row_ids[first : first + rows]
            assert part == sorted(set(part)), "rows are sorted by row id"
            assert (min(timestamps[first : first + rows]), max(timestamps[first : first + rows])) == (start, end)
            first += rows

    def plain_row(self, columns, place):
        row = {}
        for field, (name, kind) in self.fields.items():
            value = columns[field][place]
            if name == "$meta":
                row.update(json.loads(value))
            elif kind == binlog.JSON:
                row[name] = json.loads(value)
            elif kind == binlog.ARRAY:
                row[name] = binlog.scalar_field(value)[1]
            elif kind == binlog.FLOAT_VECTOR:
                row[name] = list(struct.unpack(f"<{len(value) // 4}f", value))
            else:
                row[name] = value
        return row


def compact(collection):
    wait_indexed(collection.name)
    before = segments(collection.name)
    collection.compact()
    collection.wait_for_compaction_completed(timeout=30)
    plan, = own_plans(collection.get_compaction_plans().plans, before)
    assert set(plan.sources) == set(before)
    return plan.target


def check_story(book, schema, index, rows, key_name, gone, expression):
    """Two flushes, deletes, another flush, a compaction: after each the files hold exactly what they should."""
    collection = Collection(book, schema, properties=MANUAL)
    collection.create_index(*index)
    half = len(rows) // 2
    for part in (rows[:half], rows[half:]):
        collection.insert(part)
        collection.flush()
    layout, flushed = Layout(book), sorted(segments(book))
    expected = {row[key_name]: row for row in rows}
    found = {}
    for segment in flushed:
        part, deletes = layout.read_segment(segment)
        assert len(part) == half and not deletes
        found.update(part)
    assert found == expected

    collection.delete(expression)
    collection.flush()
    deleted = wait_until("the deletes are in delta logs", lambda: {
        key for segment in flushed for key, _ in layout.read_segment(segment)[1]} >= set(gone))
    assert deleted
    target = compact(collection)
    found, deletes = layout.read_segment(target)
    assert found == {key: row for key, row in expected.items() if key not in gone} and not deletes
    assert segments(book) == {target: len(found)}


def test_every_type_with_integer_keys(book):
    rows = [all_types_row(key) for key in range(-100, 300)]
    gone = list(range(-100, 300, 8))
    index = ("vector", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    check_story(book, all_types_schema(), index, rows, "id", gone, f"id in {gone}")


def test_string_keys_and_a_binary_vector(book):
    schema = CollectionSchema([
        FieldSchema("name", DataType.VARCHAR, is_primary=True, max_length=64),
        FieldSchema("bits", DataType.BINARY_VECTOR, dim=64),
    ])
    random.seed(2)
    names = [f"k<{number:03d}>&é" for number in range(300)]
    rows = [{"name": name, "bits": random.randbytes(8)} for name in names]
    gone = names[::9]
    index = ("bits", {"index_type": "BIN_FLAT", "metric_type": "HAMMING", "params": {}})
    check_story(book, schema, index, rows, "name", gone, f"name in {json.dumps(gone, ensure_ascii=False)}")


def test_the_whole_store_decodes(book):
    collection = Collection(book, all_types_schema(), properties=MANUAL)
    collection.insert([{**all_types_row(key), "vector": vectors([key], DIM)[0]} for key in range(100)])
    collection.flush()
    counts, decoded, keys = binlog.check_store(FILES)
    assert counts["insert_log"] > 0 and counts["stats_log"] > 0 and decoded > 0 and keys >= 100

"""Real Milvus 2.3.5 reads our files: insert logs, statistics and delta logs, flushed and compacted.

The same rows are written to both. Then the files of one segment of the real server are exchanged for ours, of which only
the ids in the header are changed. Its reader in C++ loads them (a query), its reader in Go compacts them.

E2E_STOCK is the program `milvus-server`; E2E_FILES our server's files; E2E_ROW_GROUPS is set if ours is to write several
row groups.
"""

import os
import struct
from pathlib import Path

import binlog_decode as binlog
import pytest
from helpers import FILES, MANUAL, raw, segments, wait_until
from pymilvus import Collection, connections, utility
from pymilvus.grpc_gen import milvus_pb2 as pb
from rows import all_types_row, all_types_schema
from stock_server import stock_server

pytestmark = pytest.mark.filterwarnings("ignore")

STOCK = "stock"
"""Alias of the connection to the real server; ours is the default one."""
LOAD_SECONDS = 60
"""A log that it can't read makes the real server try for ever."""
IDS_OFFSET = 21
"""Collection, partition, segment and field in the header of a log (docs/formats.md)."""
INDEX = {"index_type": "FLAT", "metric_type": "L2", "params": {}}
KEYS = range(-100, 200)
GONE = list(range(-100, 200, 7))


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """The real server, connected; the directory of its files."""
    with stock_server(os.environ["E2E_STOCK"], tmp_path_factory.mktemp("stock")) as (port, data):
        connections.connect(STOCK, host="127.0.0.1", port=port, timeout=5)
        yield data
        connections.disconnect(STOCK)


def stock_stub():
    return connections._fetch_handler(STOCK)._stub


# --- the same rows on both ---------------------------------------------------------------------------------------


def make(name, using):
    schema = all_types_schema()
    if utility.has_collection(name, using=using):
        utility.drop_collection(name, using=using)
    collection = Collection(name, schema, using=using, shards_num=1, properties=MANUAL)
    collection.create_index("vector", INDEX)
    return collection


def only_segment(collection, using):
    """Place of the only flushed segment: (collection, partition, segment)."""
    stub = raw() if using == "default" else stock_stub()
    infos = stub.GetPersistentSegmentInfo(pb.GetPersistentSegmentInfoRequest(collectionName=collection.name)).infos
    info, = infos
    return info.collectionID, info.partitionID, info.segmentID


def ours_flushed(name):
    """Two insert logs of each field would need two flushes: this is one segment as a flush leaves it, with deletes."""
    collection = make(name, "default")
    collection.insert([all_types_row(key) for key in KEYS])
    collection.flush()
    collection.delete(f"id in {GONE}")
    collection.flush()
    place = only_segment(collection, "default")
    wait_until("the deletes are in a delta log", lambda: files_of(Path(FILES), "delta_log", place))
    return place


def ours_compacted(name):
    """One segment merged from four, with deletes applied."""
    collection = make(name, "default")
    keys = list(KEYS)
    for part in range(4):
        collection.insert([all_types_row(key) for key in keys[part::4]])
        collection.flush()
    assert len(segments(name)) == 4
    collection.delete(f"id in {GONE}")
    collection.flush()
    collection.compact()
    collection.wait_for_compaction_completed(timeout=30)
    return only_segment(collection, "default")


# --- exchanging files --------------------------------------------------------------------------------------------


def files_of(root, kind, place):
    """{(field or None): [file]} of a segment, by log id."""
    found = {}
    top = Path(root, kind, *map(str, place))
    for file in sorted((file for file in top.rglob("*") if file.is_file()), key=lambda file: int(file.name)):
        field = None if kind == "delta_log" else int(file.parent.name)
        found.setdefault(field, []).append(file)
    return found


def root_of(data):
    """Where below its data directory the real server keeps its logs."""
    tops = [path.parent for path in data.rglob("insert_log") if path.is_dir()]
    assert len(tops) == 1, tops
    return tops[0]


def readdressed(file, place, field):
    """Our log with the ids of another segment."""
    data = bytearray(file.read_bytes())
    struct.pack_into("<4q", data, IDS_OFFSET, *place, field)
    return bytes(data)


def exchange_insert_logs(root, theirs, ours):
    """Every column; -> number of rows."""
    old, new = files_of(root, "insert_log", theirs), files_of(FILES, "insert_log", ours)
    assert sorted(old) == sorted(new)
    for field in old:
        (target,), (source,) = old[field], new[field]
        data = readdressed(source, theirs, field)
        log, values = binlog.decode_insert_log(data)
        assert (binlog.row_groups(data) > 1) == ("E2E_ROW_GROUPS" in os.environ)
        assert (log.collection, log.partition, log.segment, log.field) == (*theirs, field)
        assert len(values) == len(binlog.decode_insert_log(target.read_bytes())[1])
        target.write_bytes(data)
    return len(values)


def exchange_stats(root, theirs, ours):
    """Ours where both have a log of that shape: one object, or (log 1) a list of them."""
    (_, old), = files_of(root, "stats_log", theirs).items()
    (_, new), = files_of(FILES, "stats_log", ours).items()
    ours_by_shape = {file.name == "1": file.read_bytes() for file in new}
    # A compaction leaves a single one; a flush would have written the list of it.
    ours_by_shape.setdefault(True, b"[" + ours_by_shape[False] + b"]")
    for target in old:
        target.write_bytes(ours_by_shape[target.name == "1"])


def exchange_delta_log(root, theirs, ours):
    (target,), (source,) = files_of(root, "delta_log", theirs)[None], files_of(FILES, "delta_log", ours)[None]
    data = readdressed(source, theirs, -1)
    assert sorted(key for key, _, _ in binlog.decode_delta_log(data)[1]) == GONE
    target.write_bytes(data)


def keys_in_order(place):
    """The primary keys of our segment, as its file has them."""
    (file,) = files_of(FILES, "insert_log", place)[100]
    return binlog.decode_insert_log(file.read_bytes())[1]


# --- the checks --------------------------------------------------------------------------------------------------


def check_rows(collection, expected):
    found = collection.query("id > -1000", output_fields=["*"], consistency_level="Strong")
    found = {row["id"]: row for row in found}
    assert sorted(found) == sorted(expected)
    for key in expected:
        row, want = found[key], all_types_row(key)
        # Dynamic fields come back flat, or under the name of their field.
        row.update(row.pop("$meta", {}))
        assert {name: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
                for name, value in want.items() if name not in ("vector", "ratios", "exacts")}.items() <= row.items()
        for name in ("vector", "ratios", "exacts"):
            assert list(row[name]) == pytest.approx(want[name], rel=1e-6)


def compact_stock(collection):
    """Compacts with the real server's reader in Go, and waits for its output."""
    before = only_segment(collection, STOCK)
    wait_until("its index is finished", lambda: utility.index_building_progress(
        collection.name, using=STOCK)["pending_index_rows"] == 0)

    def compacted():
        collection.compact()
        collection.wait_for_compaction_completed(timeout=60)
        return only_segment(collection, STOCK) != before

    wait_until("the segment is replaced", compacted)
    (keys,) = files_of(ROOT["path"], "insert_log", only_segment(collection, STOCK))[100]
    return sorted(binlog.decode_insert_log(keys.read_bytes())[1])


ROOT = {}
"""Where the real server's logs are, once it has some."""


@pytest.mark.parametrize("write_ours", [ours_flushed, ours_compacted])
def test_the_real_server_reads_and_compacts_our_logs(stock, write_ours):
    name = write_ours.__name__
    ours = write_ours(name)
    keys = keys_in_order(ours)
    alive = [key for key in keys if key not in GONE]

    collection = make(name, STOCK)
    collection.insert([all_types_row(key) for key in keys])
    collection.flush()
    root = ROOT["path"] = root_of(stock)
    theirs = only_segment(collection, STOCK)
    # Its own deletes, if ours are compacted away: they have to find the segment by our statistics.
    gone = GONE if write_ours is ours_flushed else alive[::9]
    exchange_stats(root, theirs, ours)
    assert exchange_insert_logs(root, theirs, ours) == len(keys)
    if write_ours is ours_flushed:
        collection.delete(f"id in {gone}")
        collection.flush()
        wait_until("the real server has a delta log", lambda: files_of(root, "delta_log", theirs))
        exchange_delta_log(root, theirs, ours)
        collection.load(timeout=LOAD_SECONDS)
    else:
        collection.load(timeout=LOAD_SECONDS)
        check_rows(collection, keys)
        collection.delete(f"id in {gone}")
        collection.flush()
        wait_until("the real server has a delta log", lambda: files_of(root, "delta_log", theirs))
    left = [key for key in keys if key not in gone]
    check_rows(collection, left)
    assert compact_stock(collection) == sorted(left)
    collection.release()

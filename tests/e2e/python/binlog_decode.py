"""Independent decoder for the storage-v1 files of Milvus 2.3.x, which are also datacoord's.

Written from docs/formats.md; it shares no code with Milvus or with the server. It decodes

  insert_log/{collection}/{partition}/{segment}/{field}/{log}   column files
  delta_log/{collection}/{partition}/{segment}/{log}            delete files
  stats_log/{collection}/{partition}/{segment}/{pkfield}/{log}  bloom filters

Only the Parquet payload is delegated (to pyarrow); the rest is plain Python.
"""

import base64
import io
import json
import math
import os
import struct

# --------------------------------------------------------------------------
# constants
# --------------------------------------------------------------------------

MAGIC = 0x00FFFABC

EVENTS = {
    0: "Descriptor",
    1: "Insert",
    2: "Delete",
    3: "CreateCollection",
    4: "DropCollection",
    5: "CreatePartition",
    6: "DropPartition",
    7: "IndexFile",
}
POST_HEADER_LENGTHS = bytes([52, 16, 16, 16, 16, 16, 16, 16])

BOOL, INT8, INT16, INT32, INT64 = 1, 2, 3, 4, 5
FLOAT, DOUBLE = 10, 11
STRING, VARCHAR, ARRAY, JSON = 20, 21, 22, 23
BINARY_VECTOR, FLOAT_VECTOR, FLOAT16_VECTOR = 100, 101, 102

TYPE_NAMES = {
    0: "None", 1: "Bool", 2: "Int8", 3: "Int16", 4: "Int32", 5: "Int64",
    10: "Float", 11: "Double", 20: "String", 21: "VarChar", 22: "Array",
    23: "JSON", 100: "BinaryVector", 101: "FloatVector", 102: "Float16Vector",
    103: "BFloat16Vector",
}

ROW_ID_FIELD, TIMESTAMP_FIELD, FIRST_USER_FIELD = 0, 1, 100

class FormatError(Exception):
    pass


# --------------------------------------------------------------------------
# protobuf, the few wire rules that are needed
# --------------------------------------------------------------------------

def _varint(buf, pos):
    shift = out = 0
    while True:
        b = buf[pos]
        pos += 1
        out |= (b & 0x7F) << shift
        if b < 0x80:
            return out, pos
        shift += 7
        if shift > 63:
            raise FormatError("varint too long")


def pb_fields(buf):
    """yield (field number, wire type, value) of one message."""
    pos = 0
    while pos < len(buf):
        tag, pos = _varint(buf, pos)
        num, wt = tag >> 3, tag & 7
        if wt == 0:
            val, pos = _varint(buf, pos)
        elif wt == 1:
            val, pos = buf[pos:pos + 8], pos + 8
        elif wt == 2:
            n, pos = _varint(buf, pos)
            val, pos = buf[pos:pos + n], pos + n
            if len(val) != n:
                raise FormatError("truncated protobuf")
        elif wt == 5:
            val, pos = buf[pos:pos + 4], pos + 4
        else:
            raise FormatError("protobuf wire type %d" % wt)
        yield num, wt, val


def i64(v):
    return v - (1 << 64) if v >= 1 << 63 else v


def i32(v):
    v &= 0xFFFFFFFF
    return v - (1 << 32) if v >= 1 << 31 else v


def scalar_field(buf):
    """schema.ScalarField -> (kind, list of values); an Array cell."""
    kind, vals = None, []
    for num, wt, val in pb_fields(buf):
        if wt != 2:
            raise FormatError("ScalarField wire type")
        kind = {1: "bool", 2: "int", 3: "long", 4: "float", 5: "double",
                6: "string", 7: "bytes", 8: "array", 9: "json"}[num]
        vals = []
        for n2, w2, v2 in pb_fields(val):
            if n2 != 1:
                continue
            if kind in ("string", "bytes", "json", "array"):
                vals.append(v2.decode("utf-8") if kind == "string" else bytes(v2))
            elif w2 == 2:
                if kind == "float":
                    vals += struct.unpack("<%df" % (len(v2) // 4), v2)
                elif kind == "double":
                    vals += struct.unpack("<%dd" % (len(v2) // 8), v2)
                else:
                    p = 0
                    while p < len(v2):
                        v, p = _varint(v2, p)
                        vals.append(bool(v) if kind == "bool" else
                                    i32(v) if kind == "int" else i64(v))
            elif w2 == 0:
                vals.append(bool(v2) if kind == "bool" else
                            i32(v2) if kind == "int" else i64(v2))
            elif w2 == 5:
                vals += struct.unpack("<f", v2)
            elif w2 == 1:
                vals += struct.unpack("<d", v2)
    return kind, vals


# --------------------------------------------------------------------------
# the binlog container
# --------------------------------------------------------------------------

HEADER = struct.Struct("<QbII")      # timestamp, type, event length, next position
DESC_FIX = struct.Struct("<qqqqQQi")  # ids, start ts, end ts, payload data type
EVENT_FIX = struct.Struct("<QQ")     # start ts, end ts


class Event:
    def __init__(self, offset, ts, code, length, next_pos, start, end, payload):
        self.offset, self.timestamp, self.code = offset, ts, code
        self.length, self.next_position = length, next_pos
        self.start_ts, self.end_ts, self.payload = start, end, payload


class Binlog:
    def __init__(self):
        self.events = []


def parse_container(buf):
    """bytes of an insert or delta log -> Binlog (checks every invariant)."""
    b = Binlog()
    if struct.unpack_from("<i", buf, 0)[0] != MAGIC:
        raise FormatError("magic number")
    ts, code, length, nxt = HEADER.unpack_from(buf, 4)
    if code != 0:
        raise FormatError("first event is not a descriptor")
    b.header_ts = ts
    pos = 4 + HEADER.size
    (b.collection, b.partition, b.segment, b.field,
     b.start_ts, b.end_ts, b.data_type) = DESC_FIX.unpack_from(buf, pos)
    pos += DESC_FIX.size
    b.post_header = bytes(buf[pos:pos + 8])
    if b.post_header != POST_HEADER_LENGTHS:
        raise FormatError("post-header lengths %r" % b.post_header)
    pos += 8
    xlen, = struct.unpack_from("<i", buf, pos)
    pos += 4
    b.extra_bytes = bytes(buf[pos:pos + xlen])
    b.extra = json.loads(b.extra_bytes)
    pos += xlen
    if length != pos - 4 or nxt != pos:
        raise FormatError("descriptor length %d next %d at %d" % (length, nxt, pos))
    while pos < len(buf):
        start = pos
        ts, code, length, nxt = HEADER.unpack_from(buf, pos)
        if nxt != start + length:
            raise FormatError("next position")
        pos += HEADER.size
        if code not in EVENTS or code == 0:
            raise FormatError("event type %d" % code)
        st, et = EVENT_FIX.unpack_from(buf, pos)
        pos += EVENT_FIX.size
        payload = bytes(buf[pos:start + length])
        if len(payload) != length - HEADER.size - EVENT_FIX.size:
            raise FormatError("truncated event")
        b.events.append(Event(start, ts, code, length, nxt, st, et, payload))
        pos = start + length
    return b


def payload_table(payload):
    import pyarrow.parquet as pq
    return pq.ParquetFile(io.BytesIO(payload))


def decode_payload(payload, data_type):
    """Parquet payload -> list of Python values (bytes for Array/JSON/vectors)."""
    f = payload_table(payload)
    schema = f.schema_arrow
    if len(schema) != 1 or schema.field(0).name != "val":
        raise FormatError("payload columns %r" % schema.names)
    col = f.read(use_threads=False).column(0)
    if col.null_count:
        raise FormatError("null in payload")
    want = {BOOL: "bool", INT8: "int8", INT16: "int16", INT32: "int32",
            INT64: "int64", FLOAT: "float", DOUBLE: "double",
            STRING: "string", VARCHAR: "string", ARRAY: "binary",
            JSON: "binary"}.get(data_type)
    got = str(schema.field(0).type)
    if want is None:
        if data_type not in (BINARY_VECTOR, FLOAT_VECTOR, FLOAT16_VECTOR):
            raise FormatError("data type %d" % data_type)
        if not got.startswith("fixed_size_binary["):
            raise FormatError("vector stored as " + got)
    elif got != want:
        raise FormatError("%s stored as %s" % (TYPE_NAMES[data_type], got))
    return col.to_pylist()


def decode_insert_log(buf):
    """-> (Binlog, values).  One file holds one column of some rows."""
    b = parse_container(buf)
    vals = []
    for e in b.events:
        if e.code != 1:
            raise FormatError("event %s in an insert log" % EVENTS[e.code])
        vals += decode_payload(e.payload, b.data_type)
    return b, vals


def row_groups(buf):
    """Row groups of a log's payloads."""
    return sum(payload_table(event.payload).num_row_groups for event in parse_container(buf).events)


def decode_delta_log(buf):
    """-> (Binlog, [(pk, ts, pk type)])."""
    b = parse_container(buf)
    if b.data_type != STRING or len(b.events) != 1 or b.events[0].code != 2:
        raise FormatError("not a delta log")
    rows = []
    for s in decode_payload(b.events[0].payload, STRING):
        try:
            d = json.loads(s)
            if not isinstance(d, dict):
                raise ValueError
            rows.append((d["pk"], d["ts"], d["pkType"]))
        except ValueError:  # oldest form "pk,ts", int64 keys only
            pk, ts = s.split(",")
            rows.append((int(pk), int(ts), INT64))
    return b, rows


# --------------------------------------------------------------------------
# bloom filter of the stats log
# --------------------------------------------------------------------------

_M64 = (1 << 64) - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F


def _rotl(x, r):
    return ((x << r) | (x >> (64 - r))) & _M64


def _fmix(k):
    k ^= k >> 33
    k = k * 0xFF51AFD7ED558CCD & _M64
    k ^= k >> 33
    k = k * 0xC4CEB9FE1A85EC53 & _M64
    return k ^ (k >> 33)


def murmur3_128(data, seed=0):
    """MurmurHash3 x64 128-bit, as two 64-bit words."""
    h1 = h2 = seed
    n = len(data)
    full = n // 16
    for i in range(full):
        k1, k2 = struct.unpack_from("<QQ", data, 16 * i)
        k1 = _rotl(k1 * _C1 & _M64, 31) * _C2 & _M64
        h1 ^= k1
        h1 = (_rotl(h1, 27) + h2) & _M64
        h1 = (h1 * 5 + 0x52DCE729) & _M64
        k2 = _rotl(k2 * _C2 & _M64, 33) * _C1 & _M64
        h2 ^= k2
        h2 = (_rotl(h2, 31) + h1) & _M64
        h2 = (h2 * 5 + 0x38495AB5) & _M64
    tail = data[16 * full:]
    if len(tail) > 8:
        k2 = int.from_bytes(tail[8:], "little")
        h2 ^= _rotl(k2 * _C2 & _M64, 33) * _C1 & _M64
    if tail:
        k1 = int.from_bytes(tail[:8], "little")
        h1 ^= _rotl(k1 * _C1 & _M64, 31) * _C2 & _M64
    h1 ^= n
    h2 ^= n
    h1 = (h1 + h2) & _M64
    h2 = (h2 + h1) & _M64
    h1, h2 = _fmix(h1), _fmix(h2)
    h1 = (h1 + h2) & _M64
    h2 = (h2 + h1) & _M64
    return h1, h2


def bloom_positions(key, m, k):
    a, b = murmur3_128(key)
    c, d = murmur3_128(key + b"\x01")
    h = (a, b, c, d)
    for i in range(k):
        x = (h[i % 2] + i * h[2 + ((i + i % 2) % 4) // 2]) & _M64
        yield x % m


def bloom_size(n, p=0.05):
    """capacity, false-positive rate -> (bits, hashes)."""
    m = math.ceil(-n * math.log(p) / math.log(2) ** 2)
    k = math.ceil(math.log(2) * m / n)
    return m, k


class Bloom:
    def __init__(self, m, k, words=None):
        self.m, self.k = m, k
        self.words = words or [0] * ((m + 63) // 64)

    @classmethod
    def from_json(cls, d):
        raw = base64.urlsafe_b64decode(d["b"])
        n, = struct.unpack_from(">Q", raw, 0)
        if n != d["m"] or len(raw) != 8 + 8 * ((n + 63) // 64):
            raise FormatError("bit set size")
        return cls(d["m"], d["k"],
                   list(struct.unpack(">%dQ" % ((len(raw) - 8) // 8), raw[8:])))

    def to_json(self):
        raw = struct.pack(">Q", self.m) + struct.pack(
            ">%dQ" % len(self.words), *self.words)
        return {"m": self.m, "k": self.k,
                "b": base64.urlsafe_b64encode(raw).decode()}

    def add(self, key):
        for p in bloom_positions(key, self.m, self.k):
            self.words[p >> 6] |= 1 << (p & 63)

    def has(self, key):
        return all(self.words[p >> 6] >> (p & 63) & 1
                   for p in bloom_positions(key, self.m, self.k))


def pk_bytes(pk):
    return struct.pack("<q", pk) if isinstance(pk, int) else pk.encode("utf-8")


def decode_stats_log(buf):
    """-> list of dicts (a single stats log gives a list of one)."""
    d = json.loads(buf)
    out = []
    for s in d if isinstance(d, list) else [d]:
        extra = set(s) - {"fieldID", "max", "min", "bf", "pkType", "maxPk", "minPk"}
        if extra:
            raise FormatError("stats keys %r" % extra)
        s = dict(s)
        s["bloom"] = Bloom.from_json(s["bf"])
        out.append(s)
    return out


# --------------------------------------------------------------------------
# a store (directory tree) and its paths
# --------------------------------------------------------------------------

def split_path(path):
    """'.../insert_log/c/p/s/f/l' -> (kind, c, p, s, field or None, log)."""
    parts = path.replace(os.sep, "/").split("/")
    for kind, n in (("insert_log", 5), ("stats_log", 5), ("delta_log", 4)):
        if kind in parts:
            i = parts.index(kind)
            ids = [int(x) for x in parts[i + 1:]]
            if len(ids) != n:
                raise FormatError("path " + path)
            if n == 4:
                return (kind,) + tuple(ids[:3]) + (None, ids[3])
            return (kind,) + tuple(ids)
    raise FormatError("path " + path)


def walk_store(root):
    for kind in ("insert_log", "delta_log", "stats_log"):
        for d, _, files in os.walk(os.path.join(root, kind)):
            for f in sorted(files):
                yield os.path.relpath(os.path.join(d, f), root)


def check_store(root):
    """decode every file, check paths against contents and stats against keys."""
    n = {"insert_log": 0, "delta_log": 0, "stats_log": 0}
    pks, stats, shape = {}, {}, {}
    for rel in walk_store(root):
        kind, c, p, s, f, log = split_path(rel)
        with open(os.path.join(root, rel), "rb") as fh:
            buf = fh.read()
        n[kind] += 1
        if kind == "insert_log":
            b, vals = decode_insert_log(buf)
            if (b.collection, b.partition, b.segment, b.field) != (c, p, s, f):
                raise FormatError("ids of " + rel)
            if len(b.events) != 1:
                raise FormatError("%d events in %s" % (len(b.events), rel))
            if (b.start_ts, b.end_ts) != (b.events[0].start_ts, b.events[0].end_ts):
                raise FormatError("time range of " + rel)
            if f == TIMESTAMP_FIELD and (min(vals), max(vals)) != (b.start_ts, b.end_ts):
                raise FormatError("timestamps of " + rel)
            shape.setdefault((c, p, s), {}).setdefault(f, []).append((log, len(vals)))
            if f not in (ROW_ID_FIELD, TIMESTAMP_FIELD) and b.data_type in (INT64, VARCHAR):
                pks.setdefault((c, p, s, f), []).extend(vals)
        elif kind == "delta_log":
            b, rows = decode_delta_log(buf)
            if (b.collection, b.partition, b.segment, b.field) != (c, p, s, -1):
                raise FormatError("ids of " + rel)
            tss = [r[1] for r in rows]
            if (min(tss), max(tss)) != (b.start_ts, b.end_ts):
                raise FormatError("time range of " + rel)
        else:
            for st in decode_stats_log(buf):
                if st["fieldID"] != f:
                    raise FormatError("field of " + rel)
                stats.setdefault((c, p, s, f), []).append(st)
    for key, fields in shape.items():
        sizes = {tuple(x[1] for x in sorted(v)) for v in fields.values()}
        if len(sizes) != 1:
            raise FormatError("ragged segment %r: %r" % (key, sizes))
    keys = 0
    for key, sts in stats.items():
        for pk in pks.get(key, []):
            kb = pk_bytes(pk)
            if not any(st["minPk"] <= pk <= st["maxPk"] and st["bloom"].has(kb)
                       for st in sts):
                raise FormatError("pk %r missing from the stats of %r" % (pk, key))
            keys += 1
    return n, len(shape), keys

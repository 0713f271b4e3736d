#!/usr/bin/env python3
"""Inserts through pymilvus as its users do. Then encodes the same requests without sending them: the client's own share.

    tools/pymilvus_insert.py HOST:PORT

Prints one JSON line a figure. One thread, one request at a time; 768 floats and an integer key a row, columns of numpy
arrays. tools/bench.py runs it in an environment with pymilvus 2.3.7.
"""

import json
import sys
import time

import numpy
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections, utility
from pymilvus.client.prepare import Prepare
from pymilvus.orm.prepare import Prepare as OrmPrepare

DIM = 768
# Rows of a request, and requests.
SIZES = [("29MB", 9_600, 4), ("300kB", 98, 200)]


def report(figure, value, unit):
    print(json.dumps({"figure": figure, "value": round(value, 3), "unit": unit}), flush=True)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    connections.connect(uri=f"http://{sys.argv[1]}")
    fields = [FieldSchema("id", DataType.INT64, is_primary=True), FieldSchema("vec", DataType.FLOAT_VECTOR, dim=DIM)]
    schema = CollectionSchema(fields)
    described = [field.to_dict() for field in fields]
    random = numpy.random.default_rng(1)
    for label, rows, requests in SIZES:
        name = f"bench_pymilvus_{label}"
        if utility.has_collection(name):
            utility.drop_collection(name)
        collection = Collection(name, schema)
        vectors = random.random((rows, DIM), dtype=numpy.float32)
        batches = [[numpy.arange(n * rows, (n + 1) * rows), vectors] for n in range(requests)]
        size = 0
        begun = time.perf_counter()
        for batch in batches:
            # The work of Collection.insert before it sends.
            entities = OrmPrepare.prepare_insert_data(batch, schema)
            size += len(Prepare.batch_insert_param(name, entities, "", described).SerializeToString())
        encoding = time.perf_counter() - begun
        begun, computing = time.perf_counter(), time.process_time()
        for batch in batches:
            collection.insert(batch)
        inserting, computing = time.perf_counter() - begun, time.process_time() - computing
        report(f"pymilvus_encodes_{label}", size / 1e6 / encoding, "MB/s")
        report(f"pymilvus_inserts_{label}", size / 1e6 / inserting, "MB/s")
        report(f"pymilvus_waits_{label}", max(0.0, 100 * (1 - computing / inserting)), "%")
        utility.drop_collection(name)


if __name__ == "__main__":
    main()

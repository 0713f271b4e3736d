#!/usr/bin/env python3
"""Searches per second and recall, with an index and without one, through pymilvus.

    tools/search.py --endpoint HOST:PORT [--rows 100000] [--dim 128] [--seconds 5]
    tools/search.py --endpoint HOST:PORT --segments 1000,100,10

With `--segments` the same rows are flushed as so many segments each time, searched, compacted and searched again: the
server must not compact by itself (dataCoord.compaction.enableAutoCompaction). Segments of 1,024 rows and more have a graph.

Works against datacoord and against Milvus 2.3.5 alike, so that both can be measured one after the other with the same
vectors: clusters, not uniform noise. Recall is that of the ten nearest against an exact search in numpy. Needs
pymilvus 2.3 and numpy. Prints one line of a Markdown table for each index.
"""

import argparse
import threading
import time

import numpy as np
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections, utility

NAME = "measured_searches"
TOP = 10
INDEXES = [
    ("FLAT", {}, {}),
    ("HNSW", {"M": 16, "efConstruction": 200}, {"ef": 64}),
    ("HNSW", {"M": 16, "efConstruction": 200}, {"ef": 128}),
]


def clustered(random, centres, rows, dim):
    return (centres[random.integers(0, len(centres), rows)] + random.normal(size=(rows, dim))).astype(np.float32)


def exact(queries, vectors, keep):
    """The nearest rows of each query among those that `keep` keeps."""
    kept = np.flatnonzero(keep)
    squares = (vectors[kept] ** 2).sum(1)
    found = []
    for query in queries:
        ranks = squares - 2 * (vectors[kept] @ query)
        found.append(set(kept[np.argpartition(ranks, TOP)[:TOP]].tolist()))
    return found


def measure(collection, queries, params, expr, clients, seconds):
    """Calls per second, and the latency in milliseconds that one call in a hundred exceeds."""
    latencies, lock, end = [], threading.Lock(), time.monotonic() + seconds

    def client(number):
        own, at = [], number
        while time.monotonic() < end:
            query = [queries[at % len(queries)].tolist()]
            began = time.monotonic()
            collection.search(query, "vector", {"metric_type": "L2", "params": params}, TOP, expr=expr)
            own.append(time.monotonic() - began)
            at += clients
        with lock:
            latencies.extend(own)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(latencies) / seconds, np.percentile(latencies, 99) * 1000


def cells(collection, queries, nearest, search, expr, seconds):
    """Recall, and rate and latency with one client and with eight, as cells of a table."""
    params = {"metric_type": "L2", "params": search}
    answers = [collection.search([query.tolist()], "vector", params, TOP, expr=expr)[0] for query in queries]
    right = sum(len(set(hits.ids) & expected) for hits, expected in zip(answers, nearest))
    measured = [f"{right / len(queries) / TOP:.3f}"]
    for clients in (1, 8):
        rate, worst = measure(collection, queries, search, expr, clients, seconds)
        measured.append(f"{rate:.0f}, {worst:.1f}")
    return measured


def wait_for_index():
    while True:
        progress = utility.index_building_progress(NAME)
        if progress["indexed_rows"] >= progress["total_rows"]:
            return
        time.sleep(0.05)


def create(dim):
    if utility.has_collection(NAME):
        utility.drop_collection(NAME)
    fields = [
        FieldSchema("id", DataType.INT64, is_primary=True),
        FieldSchema("hundred", DataType.INT64),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=dim),
    ]
    return Collection(NAME, CollectionSchema(fields), shards_num=1)


def insert(collection, vectors, keys):
    for first in range(0, len(keys), 5000):
        part = keys[first:first + 5000]
        collection.insert([part.tolist(), (part % 100).tolist(), vectors[part].tolist()])


def curve(counts, queries, vectors, seconds):
    """Searches over the same rows in more or fewer segments, before and after their compaction."""
    _, params, search = INDEXES[1]
    nearest = exact(queries, vectors, np.ones(len(vectors), bool))
    print("| segments | rows of each | recall | 1 client: per s, p99 ms | 8 clients: per s, p99 ms |")
    print("|---|---|---|---|---|")
    for count in counts:
        collection = create(vectors.shape[1])
        for keys in np.array_split(np.arange(len(vectors)), count):
            insert(collection, vectors, keys)
            collection.flush()
        collection.create_index("vector", {"index_type": "HNSW", "metric_type": "L2", "params": params})
        wait_for_index()
        collection.load()
        for compacted in (False, True):
            if compacted:
                collection.compact()
                collection.wait_for_compaction_completed()
                wait_for_index()
            row = cells(collection, queries, nearest, search, "", seconds)
            segments = len(utility.get_query_segment_info(NAME))
            print(f"| {segments} | {len(vectors) // segments} | " + " | ".join(row) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--segments", help="comma-separated numbers of segments")
    args = parser.parse_args()
    random = np.random.default_rng(1)
    centres = random.normal(size=(200, args.dim)) * 2
    vectors = clustered(random, centres, args.rows, args.dim)
    queries = clustered(random, centres, 200, args.dim)

    connections.connect("default", uri=f"http://{args.endpoint}")
    print(utility.get_server_version())
    if args.segments:
        curve([int(count) for count in args.segments.split(",")], queries, vectors, args.seconds)
        utility.drop_collection(NAME)
        return
    collection = create(args.dim)
    insert(collection, vectors, np.arange(args.rows))
    collection.flush()
    collection.compact()
    collection.wait_for_compaction_completed()

    filters = [("", 100), ("hundred < 50", 50), ("hundred < 10", 10), ("hundred == 1", 1)]
    keep = {"": np.ones(args.rows, bool), "hundred < 50": np.arange(args.rows) % 100 < 50,
            "hundred < 10": np.arange(args.rows) % 100 < 10, "hundred == 1": np.arange(args.rows) % 100 == 1}
    nearest = {expr: exact(queries, vectors, keep[expr]) for expr, _ in filters}
    print("| index | search | rows that pass | built in s | recall | 1 client: per s, p99 ms | 8 clients: per s, p99 ms |")
    print("|---|---|---|---|---|---|---|")
    built, before = 0.0, None
    for kind, params, search in INDEXES:
        if before != (kind, params):
            if before is not None:
                collection.release()
                collection.drop_index()
            began = time.monotonic()
            collection.create_index("vector", {"index_type": kind, "metric_type": "L2", "params": params})
            wait_for_index()
            built, before = time.monotonic() - began, (kind, params)
            collection.load()
        for expr, share in filters:
            row = [kind, str(search or ""), f"{share} %", f"{built:.1f}"]
            row += cells(collection, queries, nearest[expr], search, expr, args.seconds)
            print("| " + " | ".join(row) + " |", flush=True)
    utility.drop_collection(NAME)


if __name__ == "__main__":
    main()

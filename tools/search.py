#!/usr/bin/env python3
"""Searches per second and recall, with an index and without one, through pymilvus.

    tools/search.py --endpoint HOST:PORT [--rows 100000] [--dim 128] [--seconds 5]

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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=5)
    args = parser.parse_args()
    random = np.random.default_rng(1)
    centres = random.normal(size=(200, args.dim)) * 2
    vectors = clustered(random, centres, args.rows, args.dim)
    queries = clustered(random, centres, 200, args.dim)

    connections.connect("default", uri=f"http://{args.endpoint}")
    print(utility.get_server_version())
    if utility.has_collection(NAME):
        utility.drop_collection(NAME)
    fields = [
        FieldSchema("id", DataType.INT64, is_primary=True),
        FieldSchema("hundred", DataType.INT64),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=args.dim),
    ]
    collection = Collection(NAME, CollectionSchema(fields), shards_num=1)
    for first in range(0, args.rows, 5000):
        keys = np.arange(first, min(first + 5000, args.rows))
        collection.insert([keys.tolist(), (keys % 100).tolist(), vectors[keys].tolist()])
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
            while True:
                progress = utility.index_building_progress(NAME)
                if progress["indexed_rows"] >= progress["total_rows"]:
                    break
                time.sleep(0.05)
            built, before = time.monotonic() - began, (kind, params)
            collection.load()
        for expr, share in filters:
            answers = [collection.search([query.tolist()], "vector", {"metric_type": "L2", "params": search}, TOP, expr=expr)[0]
                       for query in queries]
            right = sum(len(set(hits.ids) & expected) for hits, expected in zip(answers, nearest[expr]))
            cells = [kind, str(search or ""), f"{share} %", f"{built:.1f}", f"{right / len(queries) / TOP:.3f}"]
            for clients in (1, 8):
                rate, worst = measure(collection, queries, search, expr, clients, args.seconds)
                cells.append(f"{rate:.0f}, {worst:.1f}")
            print("| " + " | ".join(cells) + " |", flush=True)
    utility.drop_collection(NAME)


if __name__ == "__main__":
    main()

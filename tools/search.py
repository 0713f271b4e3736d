#!/usr/bin/env python3
"""Searches per second and recall, with an index and without one, through pymilvus.

    tools/search.py --endpoint HOST:PORT [--rows 100000] [--dim 128] [--seconds 5] [--index FLAT]
    tools/search.py --endpoint HOST:PORT --segments 1000,100,10
    tools/search.py --endpoint HOST:PORT --merges 5

With `--segments` the same rows are flushed as so many segments each time, searched, compacted and searched again: the
server must not compact by itself (dataCoord.compaction.enableAutoCompaction). Segments of 1,024 rows and more have a graph.

With `--merges` one client searches, alone and then while another collection is merged: each time anew four segments of 128 MB,
a tenth deleted. Only searches that began and ended within a merge count.

Works against datacoord and against Milvus 2.3.5 alike, so that both can be measured one after the other with the same
vectors: clusters, not uniform noise. Recall is that of the ten nearest against an exact search in numpy. Needs
pymilvus 2.3 and numpy. Prints one line of a Markdown table for each index.
"""

import argparse
import multiprocessing
import threading
import time

import numpy as np
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections, utility
from pymilvus.client.types import State

NAME = "measured_searches"
MERGED = "merged_meanwhile"
MERGED_DIM, MERGED_SEGMENTS, MERGED_ROWS = 768, 4, 43_000
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


def wait_for_index(name=NAME):
    while True:
        progress = utility.index_building_progress(name)
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


def search_until(stopped, moments, endpoint, queries, search):
    """Searches in a process of its own until it is stopped: a client in ours would wait for the interpreter while the main
    thread asks for the state of merges. Sends something after the first call, and in the end the moments at which each call
    began and ended."""
    connections.connect("default", uri=f"http://{endpoint}")
    collection, calls = Collection(NAME), []
    while not stopped.is_set():
        query = [queries[len(calls) % len(queries)].tolist()]
        began = time.monotonic()
        collection.search(query, "vector", {"metric_type": "L2", "params": search}, TOP)
        calls.append((began, time.monotonic()))
        if len(calls) == 1:
            moments.send("it searches")
    moments.send(calls)


def within(calls, began, ended):
    """Latencies in milliseconds of the calls of this time."""
    return [(end - begin) * 1000 for begin, end in calls if began <= begin and end <= ended]


def merge(random):
    """Merges fresh segments in the collection `MERGED`. -> when the merge began and ended"""
    if utility.has_collection(MERGED):
        utility.drop_collection(MERGED)
    fields = [FieldSchema("id", DataType.INT64, is_primary=True), FieldSchema("vector", DataType.FLOAT_VECTOR, dim=MERGED_DIM)]
    # No merge but the one that is measured.
    collection = Collection(MERGED, CollectionSchema(fields), shards_num=1,
                            properties={"collection.autocompaction.enabled": "false"})
    # Milvus merges only segments that have their index.
    collection.create_index("vector", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    vectors = random.normal(size=(1_000, MERGED_DIM)).astype(np.float32).tolist()
    for segment in range(MERGED_SEGMENTS):
        keys = range(segment * MERGED_ROWS, (segment + 1) * MERGED_ROWS)
        for first in range(0, MERGED_ROWS, 1_000):
            collection.insert([list(keys[first:first + 1_000]), vectors])
        collection.flush()
    deleted = list(range(0, MERGED_SEGMENTS * MERGED_ROWS, 10))
    collection.delete(f"id in {deleted}")
    collection.flush()
    wait_for_index(MERGED)
    began = time.monotonic()
    collection.compact()
    # The client's own waiting asks twice a second, and a merge may be shorter.
    while collection.get_compaction_state().state != State.Completed:
        time.sleep(0.01)
    return began, time.monotonic()


def beside_merges(rounds, endpoint, queries, vectors, seconds, random):
    """Latencies of searches alone, and while merges run."""
    _, params, search = INDEXES[1]
    collection = create(vectors.shape[1])
    insert(collection, vectors, np.arange(len(vectors)))
    collection.flush()
    collection.create_index("vector", {"index_type": "HNSW", "metric_type": "L2", "params": params})
    wait_for_index()
    collection.load()
    context = multiprocessing.get_context("spawn")
    stopped, (moments, theirs) = context.Event(), context.Pipe(duplex=False)
    searcher = context.Process(target=search_until, args=(stopped, theirs, endpoint, queries, search), daemon=True)
    searcher.start()
    # Its end is closed here, so that waiting for a searcher that has failed is an error.
    theirs.close()
    moments.recv()
    idle = time.monotonic()
    time.sleep(seconds)
    idle = idle, time.monotonic()
    merges = [merge(random) for _ in range(rounds)]
    stopped.set()
    calls = moments.recv()
    alone, meanwhile = within(calls, *idle), [one for times in merges for one in within(calls, *times)]
    took = [ended - began for began, ended in merges]
    print("| searches | calls | median ms | p99 ms |")
    print("|---|---|---|---|")
    for what, latencies in (("alone", alone), (f"while a merge of {np.median(took):.1f} s runs", meanwhile)):
        median, worst = np.percentile(latencies, [50, 99])
        print(f"| {what} | {len(latencies)} | {median:.1f} | {worst:.1f} |")
    utility.drop_collection(MERGED)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--index", choices=sorted({kind for kind, _, _ in INDEXES}), help="this one alone")
    parser.add_argument("--segments", help="comma-separated numbers of segments")
    parser.add_argument("--merges", type=int, help="measure beside so many merges")
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
    if args.merges:
        beside_merges(args.merges, args.endpoint, queries, vectors, args.seconds, random)
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
    for kind, params, search in (index for index in INDEXES if args.index in (None, index[0])):
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

"""Indexes as a user meets them: insert, flush, index, load, compact, search; recall against an exact search."""

import numpy as np
import pytest
from helpers import GRPC, MANUAL, SECONDS, TOKEN, drop_collection, wait_until
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections, utility

NAME = "with_an_index"
DIM = 64
ROWS = 6000
GRAPH = {"index_type": "HNSW", "metric_type": "L2", "params": {"M": 16, "efConstruction": 200}}


@pytest.fixture(autouse=True)
def connection():
    connections.connect("default", uri=f"http://{GRPC}", token=TOKEN)
    drop_collection(NAME)
    yield
    drop_collection(NAME)
    connections.disconnect("default")


def clustered(rows, seed):
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(40, DIM)) * 4
    return (centres[random.integers(0, 40, rows)] + random.normal(size=(rows, DIM))).astype(np.float32)


def distances(metric, queries, stored):
    products = queries @ stored.T
    if metric == "IP":
        return -products
    if metric == "COSINE":
        return -products / np.linalg.norm(queries, axis=1)[:, None] / np.linalg.norm(stored, axis=1)[None, :]
    return (queries**2).sum(1)[:, None] + (stored**2).sum(1)[None, :] - 2 * products


def recall(collection, metric, vectors, live, queries, params, expr=""):
    """Of the ten nearest, and that scores are those of the metric."""
    ranks = distances(metric, queries, vectors[live])
    nearest = live[np.argsort(ranks, axis=1)[:, :10]]
    answers = collection.search(queries.tolist(), "vector", {"metric_type": metric, "params": params}, 10, expr=expr)
    right = 0
    for query, (expected, hits) in enumerate(zip(nearest, answers)):
        assert len(hits.ids) == len(set(hits.ids)) == min(10, len(live))
        assert set(hits.ids) <= set(live.tolist())
        right += len(set(hits.ids) & set(expected.tolist()))
        sign = 1 if metric == "L2" else -1
        for key, score in zip(hits.ids, hits.distances):
            exact = sign * distances(metric, queries[query : query + 1], vectors[key : key + 1])[0, 0]
            assert score == pytest.approx(exact, rel=1e-3, abs=1e-3)
    return right / (len(queries) * 10)


def fill(collection, vectors, first, last):
    collection.insert([list(range(first, last)), [key % 100 for key in range(first, last)], vectors[first:last].tolist()])
    collection.flush(timeout=SECONDS)


def created():
    fields = [
        FieldSchema("id", DataType.INT64, is_primary=True),
        FieldSchema("hundred", DataType.INT64),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIM),
    ]
    return Collection(NAME, CollectionSchema(fields), shards_num=1, properties=MANUAL)


def is_indexed():
    progress = utility.index_building_progress(NAME)
    return progress["indexed_rows"] == progress["total_rows"] > 0


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
def test_a_users_whole_script(metric):
    vectors, queries = clustered(ROWS, 2), clustered(40, 3)
    collection = created()
    for first in range(0, ROWS, 2000):
        fill(collection, vectors, first, first + 2000)
    collection.create_index("vector", {**GRAPH, "metric_type": metric})
    wait_until("indexed", is_indexed)
    collection.load()
    live = np.arange(ROWS)
    assert recall(collection, metric, vectors, live, queries, {"ef": 64}) >= 0.95
    collection.delete(f"id in {list(range(0, 500))}")
    live = live[500:]
    assert recall(collection, metric, vectors, live, queries, {"ef": 64}) >= 0.95
    collection.flush(timeout=SECONDS)
    collection.compact()
    collection.wait_for_compaction_completed(timeout=SECONDS)
    assert recall(collection, metric, vectors, live, queries, {"ef": 64}) >= 0.95, "right after the compaction"
    wait_until("indexed", is_indexed)
    assert recall(collection, metric, vectors, live, queries, {"ef": 64}) >= 0.95
    for expr, keep in [("hundred < 50", live % 100 < 50), ("hundred == 7", live % 100 == 7)]:
        assert recall(collection, metric, vectors, live[keep], queries, {"ef": 64}, expr) >= 0.95, expr
    if metric == "L2":
        index = collection.index()
        assert index.params["index_type"] == "HNSW"


@pytest.mark.parametrize(
    "index",
    [
        {"index_type": "AUTOINDEX", "metric_type": "L2", "params": {}},
        {"index_type": "FLAT", "metric_type": "L2", "params": {}},
        {"index_type": "IVF_FLAT", "metric_type": "L2", "params": {"nlist": 64}},
        {"index_type": "IVF_SQ8", "metric_type": "L2", "params": {"nlist": 64}},
        {"index_type": "IVF_PQ", "metric_type": "L2", "params": {"nlist": 64, "m": 8, "nbits": 8}},
        {"index_type": "SCANN", "metric_type": "L2", "params": {"nlist": 64}},
        {"index_type": "DISKANN", "metric_type": "L2", "params": {}},
    ],
    ids=lambda index: index["index_type"],
)
def test_kinds_as_users_write_them(index):
    vectors, queries = clustered(ROWS, 2), clustered(40, 3)
    collection = created()
    fill(collection, vectors, 0, ROWS)
    collection.create_index("vector", index)
    wait_until("indexed", is_indexed)
    collection.load()
    params = {"nprobe": 16} if "nlist" in index["params"] else {"search_list": 100} if index["index_type"] == "DISKANN" else {}
    assert recall(collection, "L2", vectors, np.arange(ROWS), queries, params) >= 0.95
    assert collection.index().params["index_type"] == index["index_type"]


def test_a_definition_that_is_dropped_is_no_index():
    collection = created()
    fill(collection, clustered(2000, 2), 0, 2000)
    collection.create_index("vector", GRAPH)
    wait_until("indexed", is_indexed)
    collection.drop_index()
    assert not collection.has_index()
    collection.create_index("vector", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    assert is_indexed()

"""Indexes in mapped files (`queryNode.mmapDirPath`), over a kill and an orderly restart. The suite starts its server itself."""

import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers import MANUAL, SECONDS, wait_until
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, connections, utility

NAME = "with_mapped_indexes"
DIM, ROWS, SEGMENT = 32, 6000, 1500
GRAPH = {"index_type": "HNSW", "metric_type": "L2", "params": {"M": 16, "efConstruction": 100}}
DELETED = list(range(0, 300))


class Served:
    """A server over a folder, which outlives its processes."""

    def __init__(self, folder):
        self.folder, self.maps = folder, folder / "maps"
        self.process = None

    def start(self):
        config, ready = self.folder / "milvus.yaml", self.folder / "ready.json"
        config.write_text(f"queryNode: {{mmapDirPath: {self.maps}}}\n")
        ready.unlink(missing_ok=True)
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [os.environ["E2E_BINARY"], "serve", "--config", config, "--data-dir", self.folder / "data",
                 "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--ready-file", ready],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        wait_until("the server serves", lambda: ready.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, (self.folder / "log").read_text()
        connections.connect("default", uri=f"http://{json.loads(ready.read_text())['grpc']}")

    def end(self, how):
        connections.disconnect("default")
        self.process.send_signal(how)
        assert self.process.wait(SECONDS) == (0 if how == signal.SIGTERM else -how)

    def mapped(self):
        """Bytes of the files that are mapped from the folder. None of them may have a name."""
        assert list(self.maps.iterdir()) == []
        lines = Path(f"/proc/{self.process.pid}/maps").read_text().splitlines()
        ours = [line.split(maxsplit=5) for line in lines if str(self.maps) in line]
        assert all(line[5].endswith("(deleted)") for line in ours), ours
        return sum(int(end, 16) - int(start, 16) for start, end in (line[0].split("-") for line in ours))


@pytest.fixture
def server(tmp_path):
    server = Served(tmp_path)
    server.start()
    yield server
    if server.process.poll() is None:
        connections.disconnect("default")
        server.process.kill()
        server.process.wait()


def vectors():
    random = np.random.default_rng(5)
    centres = random.normal(size=(30, DIM)) * 4
    return (centres[random.integers(0, 30, ROWS)] + random.normal(size=(ROWS, DIM))).astype(np.float32)


def fill():
    fields = [FieldSchema("id", DataType.INT64, is_primary=True), FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIM)]
    collection = Collection(NAME, CollectionSchema(fields), shards_num=1, properties=MANUAL)
    stored = vectors()
    for first in range(0, ROWS, SEGMENT):
        collection.insert([list(range(first, first + SEGMENT)), stored[first:first + SEGMENT].tolist()])
        collection.flush(timeout=SECONDS)
    collection.create_index("vector", GRAPH)
    collection.delete(f"id in {DELETED}")
    collection.load()
    return collection


def is_indexed():
    progress = utility.index_building_progress(NAME)
    return progress["indexed_rows"] == progress["total_rows"] > 0


def recall(collection):
    """Of the ten nearest of 40 rows among those that are not deleted, with their distances."""
    stored, live = vectors(), np.arange(len(DELETED), ROWS)
    queries = stored[live[:: len(live) // 40][:40]] + 0.01
    answers = collection.search(queries.tolist(), "vector", {"metric_type": "L2", "params": {"ef": 64}}, 10)
    right = 0
    for query, hits in zip(queries, answers):
        ranks = ((stored - query) ** 2).sum(1)
        assert len(set(hits.ids)) == 10 and min(hits.ids) >= len(DELETED)
        assert hits.distances == pytest.approx(ranks[hits.ids], rel=1e-3, abs=1e-3)
        right += len(set(hits.ids) & set(live[np.argsort(ranks[live])[:10]].tolist()))
    return right / (10 * len(queries))


def test_a_kill_and_a_restart(server):
    collection = fill()
    wait_until("indexed", is_indexed)
    assert recall(collection) >= 0.95
    # Vectors and links of every row.
    assert server.mapped() >= ROWS * DIM * 4
    for how in (signal.SIGKILL, signal.SIGTERM):
        server.end(how)
        server.start()
        collection = Collection(NAME)
        assert server.mapped() == 0, "nothing has been searched yet"
        assert recall(collection) >= 0.95
        assert server.mapped() >= ROWS * DIM * 4
    collection.compact()
    collection.wait_for_compaction_completed(timeout=SECONDS)
    wait_until("indexed", is_indexed)
    assert recall(collection) >= 0.95
    assert len(utility.get_query_segment_info(NAME)) == 1
    assert server.mapped() >= (ROWS - len(DELETED)) * DIM * 4
    collection.release()
    wait_until("the release gives the files back", lambda: server.mapped() == 0)
    collection.load()
    assert recall(collection) >= 0.95
    server.end(signal.SIGTERM)

"""Data directories of older commits, each ended by a kill, open with all that they held.

`stored/COMMIT.tar.xz` is the directory that the server of that commit wrote. A new one is added when a stored format
changes, and none is ever taken out:

    python stored.py PROGRAM COMMIT     # with any pymilvus from 2.4 on; PROGRAM is that commit's own
"""

import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pytest
from pymilvus import DataType, MilvusClient

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from run import Server  # noqa: E402

STORED = HERE / "stored"
DIM, KEYS = 8, 700
MANUAL = {"collection.autocompaction.enabled": "false"}


def book(key, price=None):
    """A row of the collection `books`."""
    return {"id": key, "name": f"book {key}", "price": key / 8 if price is None else price, "tags": [key % 3, key % 5],
            "extra": {"key": key, "even": key % 2 == 0}, "vector": [(key * 31 + place * 7) % 1000 / 8 for place in range(DIM)]}


def city(number):
    """A row of the collection `cities`; `height` is no field of its schema."""
    return {"name": f"city {number:04}", "country": f"country {number % 7}", "vector": [number / 4, 1.0], "height": number}


# Every third key was deleted, half of them before a compaction; the first hundred others were written again.
BOOKS = {key: book(key) for key in range(3 * KEYS) if key % 3}
BOOKS.update({key: book(key, -1.0) for key in range(100) if key % 3})
CITIES = {f"city {number:04}": city(number) for number in range(300) if number % 10}


def make(program, archive):
    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, folder, "", 0)
        client = MilvusClient(uri=f"http://{server.where['E2E_GRPC']}")
        schema = client.create_schema(enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("name", DataType.VARCHAR, max_length=64)
        schema.add_field("price", DataType.DOUBLE)
        schema.add_field("tags", DataType.ARRAY, element_type=DataType.INT64, max_capacity=8)
        schema.add_field("extra", DataType.JSON)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
        client.create_collection("books", schema=schema, properties=MANUAL, num_shards=1)
        client.create_alias("books", "library")
        client.create_partition("books", "used")
        for start in (0, KEYS, 2 * KEYS):
            client.insert("books", [book(key) for key in range(start, start + KEYS)])
            client.flush("books")
        client.delete("books", filter=f"id in {[key for key in range(0, 3 * KEYS, 6)]}")
        client.flush("books")
        job = client.compact("books")
        while client.get_compaction_state(job) != "Completed":
            time.sleep(0.1)
        client.create_index("books", client.prepare_index_params(
            "vector", index_type="HNSW", metric_type="L2", M=8, efConstruction=64))
        client.load_collection("books")
        # These stay in the log alone.
        client.delete("books", filter=f"id in {[key for key in range(3, 3 * KEYS, 6)]}")
        client.upsert("books", [book(key, -1.0) for key in range(100) if key % 3])

        schema = client.create_schema(enable_dynamic_field=True)
        schema.add_field("name", DataType.VARCHAR, max_length=64, is_primary=True)
        schema.add_field("country", DataType.VARCHAR, max_length=64, is_partition_key=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        client.create_collection("cities", schema=schema, properties=MANUAL, num_shards=2, num_partitions=4)
        client.insert("cities", [city(number) for number in range(300)])
        client.flush("cities")
        client.delete("cities", ids=[f"city {number:04}" for number in range(0, 300, 10)])

        client.create_database("second")
        client.create_user("reader", "Passw0rd!")
        client.create_role("reading")
        client.grant_role("reader", "reading")
        other = MilvusClient(uri=f"http://{server.where['E2E_GRPC']}", db_name="second")
        other.create_collection("empty", dimension=4)
        server.process.kill()
        server.process.wait()
        with tarfile.open(archive, "w:xz", preset=9) as tar:
            tar.add(server.data, "data")


def contents(client):
    """What is stored, as clients see it."""
    books = client.query("books", filter="id >= 0", output_fields=["*"], consistency_level="Strong", limit=16384)
    cities = client.query("cities", filter='name >= ""', output_fields=["*"], consistency_level="Strong", limit=16384)
    return {row["id"]: dict(row) for row in books}, {row["name"]: dict(row) for row in cities}


def check(server):
    client = MilvusClient(uri=f"http://{server.where['E2E_GRPC']}")
    assert sorted(client.list_collections()) == ["books", "cities"]
    assert sorted(client.list_databases()) == ["default", "second"]
    assert client.list_aliases("books")["aliases"] == ["library"]
    assert sorted(client.list_partitions("books")) == ["_default", "used"]
    assert len(client.list_partitions("cities")) == 4
    assert client.describe_user("reader")["roles"] == ("reading",)
    index = client.describe_index("books", client.list_indexes("books")[0])
    assert (index["index_type"], index["metric_type"]) == ("HNSW", "L2")
    other = MilvusClient(uri=f"http://{server.where['E2E_GRPC']}", db_name="second")
    assert other.list_collections() == ["empty"]
    other.close()

    if not client.list_indexes("cities"):
        client.create_index("cities", client.prepare_index_params("vector", index_type="FLAT", metric_type="L2"))
    for name in ("books", "cities"):
        client.load_collection(name)
    assert contents(client) == (BOOKS, CITIES)
    for key in (1, 500, 1400, 3 * KEYS - 1):
        hits = client.search("books", [BOOKS[key]["vector"]], filter=f"id == {key}", limit=1)
        assert hits[0][0]["id"] == key
    return client


@pytest.mark.parametrize("archive", sorted(STORED.glob("*.tar.xz")), ids=lambda archive: archive.name.split(".")[0])
def test_data_of_an_older_commit_opens(archive, tmp_path):
    from program import PROGRAM, answer, text  # Not when an archive is made: it wants the environment of run.py.

    with tarfile.open(archive) as tar:
        # Python before 3.11.4 has no filters.
        tar.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    with Server(PROGRAM, tmp_path, "", 0) as server:
        client = check(server)
        jobs = answer("jobs", DATACOORD_ENDPOINT=server.where["E2E_GRPC"])
        assert {job["collection"]["collection_name"] for job in jobs["jobs"] if job["completed_plans"]} == {"books"}, jobs
        # All of it takes part in a compaction, beside rows of today.
        client.insert("books", [book(9999)])
        client.flush("books")
        text("compact", "books", "--quiet", DATACOORD_ENDPOINT=server.where["E2E_GRPC"])
        assert contents(client) == (BOOKS | {9999: book(9999)}, CITIES)
        client.delete("books", ids=[9999])
        client.close()
    (tmp_path / "ready.json").unlink()
    with Server(PROGRAM, tmp_path, "", 0) as server:
        check(server).close()


if __name__ == "__main__":
    STORED.mkdir(exist_ok=True)
    make(Path(sys.argv[1]).resolve(), STORED / f"{sys.argv[2]}.tar.xz")

"""The server over a real S3 server: its whole work, its start, and the faults of a network and of a bucket."""

import itertools
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy
import pytest
from places import KEY, SECRET, Place
from proxy import CUT, STALL, Proxy, refusal
from pymilvus import MilvusClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers import wait_until  # noqa: E402
from run import Failure, Server  # noqa: E402

BINARY = os.environ["E2E_BINARY"]
KIND = os.environ["E2E_S3"]
DIM = 8
MANUAL = {"collection.autocompaction.enabled": "false"}
BUCKET = "rows-of-tests"
counter = itertools.count(1)

pytestmark = pytest.mark.filterwarnings("ignore")
faults = pytest.mark.skipif(KIND != "moto", reason="the proxy makes faults whatever is behind it: they run over moto")


def settings(address, bucket=BUCKET, more=""):
    """The server's settings, with keys as Milvus has them."""
    return f"""
common: {{storageType: remote, gracefulStopTimeout: 2}}
minio:
  address: {address}
  accessKeyID: {KEY}
  secretAccessKey: {SECRET}
  bucketName: {bucket}
  rootPath: store
dataCoord.gc: {{interval: 3600, missingTolerance: 60, dropTolerance: 0}}
datacoord.storage: {{retryBackoff: 20, maxAttempts: 5}}
{more}
"""


class Coordinator(Server):
    """A datacoord over a bucket; may be started again over the same folder."""

    def __init__(self, folder, text):
        (Path(folder) / "ready.json").unlink(missing_ok=True)
        super().__init__(BINARY, folder, text, 0)
        self.client = MilvusClient(uri=f"http://{self.where['E2E_GRPC']}")

    def get(self, path):
        return urllib.request.urlopen(f"http://{self.where['E2E_HTTP']}{path}", timeout=30).read().decode()

    def metric(self, name, operation):
        found = re.search(rf'^{name}{{operation="{operation}"}} (\S+)$', self.get("/metrics"), re.MULTILINE)
        return float(found[1])

    def command(self, *arguments):
        environment = {**os.environ, "DATACOORD_ENDPOINT": self.where["E2E_GRPC"]}
        done = subprocess.run([BINARY, *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def keys(self, name):
        rows = self.client.query(name, filter="id >= 0", output_fields=["id"], consistency_level="Strong", limit=16384)
        return sorted(row["id"] for row in rows)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Place(KIND, tmp_path_factory.mktemp("place"))
    yield place
    place.stop()


@pytest.fixture
def proxy(place, request):
    """A proxy before the server, with a bucket for this test alone."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    proxy = Proxy(place.endpoint, f"b{next(counter)}-{name}")
    yield proxy
    proxy.close()


def collection(client, name, dim=DIM):
    client.create_collection(name, dimension=dim, metric_type="L2", consistency_level="Strong", properties=MANUAL)


def vector(key, dim=DIM):
    """A vector that can't be compressed; exact as float32."""
    return numpy.random.default_rng(key).random(dim, dtype=numpy.float32).tolist()


def write(client, name, keys, dim=DIM):
    rows = [{"id": key, "vector": vector(key, dim)} for key in keys]
    assert client.insert(name, rows)["insert_count"] == len(rows)


def compact(client, name):
    job = client.compact(name)
    wait_until("the compaction has ended", lambda: client.get_compaction_state(job) == "Completed")


def test_all_work_of_a_server(place, proxy, tmp_path):
    assert proxy.bucket not in place.buckets()
    text = settings(proxy.address, proxy.bucket)
    expected = [key for key in range(1200) if key % 10]
    with Coordinator(tmp_path, text) as server:
        assert proxy.bucket in place.buckets(), "it was made at the start"
        begun = len(proxy.seen())
        collection(server.client, "books")
        for first in (0, 400, 800):
            write(server.client, "books", range(first, first + 400))
            server.client.flush("books")
        server.client.delete("books", list(range(0, 1200, 10)))
        server.client.flush("books")
        compact(server.client, "books")
        assert server.keys("books") == expected
        nearest = server.client.search("books", [vector(7)], limit=1)
        assert nearest[0][0]["id"] == 7
        hot = proxy.seen()[begun:]
        assert not [request for request in hot if request.is_list], "no list while rows are written, merged and read"
        # The metrics count what was on the wire. A missing bucket is asked for again, which counts as retries; a change of
        # the mark is one put, and reads it first.
        on_wire = lambda *methods: len(proxy.seen(
            lambda r: r.method in methods and r.path.strip("/") != proxy.bucket))
        marks = lambda: len(proxy.seen(lambda r: r.method == "PUT" and r.path.endswith("/datacoord-owner")))
        counted = lambda operation: sum(server.metric(f"datacoord_storage_{what}_total", operation)
                                        for what in ("requests", "retries"))
        wait_until("each put is counted", lambda: counted("put") == on_wire("PUT", "POST"))
        wait_until("each get is counted", lambda: counted("get") == on_wire("GET", "HEAD") - marks())
        # Garbage collection has listed once, at the start.
        lists = len(proxy.seen(lambda request: request.is_list))
        assert (counted("delete"), counted("list")) == (on_wire("DELETE"), lists)

    with Coordinator(tmp_path, text) as server:
        assert server.keys("books") == expected, "after a restart"
        # The round at the start may have taken them already.
        server.command("gc")
        known = lambda: server.command("segments", "books", "--dropped", "--quiet").split()
        wait_until("the sources are collected", lambda: len(known()) == 1)
        live = server.command("segments", "books", "--quiet").split()
        assert len(live) == 1
        left = [name for name in place.objects(proxy.bucket) if name != "store/datacoord-owner"]
        assert left and all(f"/{live[0]}/" in name for name in left), left
        assert server.keys("books") == expected, "after garbage collection"
        assert "the object store" in server.get("/healthz") or server.get("/healthz").startswith("OK")
    # A copy of the bucket is a folder in Milvus' format.
    copy = tmp_path / "copy"
    place.download(proxy.bucket, "store/", copy)
    done = subprocess.run([BINARY, "binlog", "verify", copy], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_large_copies_are_uploads_in_parts(place, proxy, tmp_path):
    # Binlogs that are full already are copied as they are.
    full = "dataNode.segment.binlog.maxsize: 6291456"
    with Coordinator(tmp_path, settings(proxy.address, proxy.bucket, full)) as server:
        collection(server.client, "large", 1024)
        for keys in (range(1600), range(1600, 1700)):
            write(server.client, "large", keys, 1024)
            server.client.flush("large")
        compact(server.client, "large")
        assert proxy.seen(lambda request: request.begins_upload), proxy.seen()[-30:]
        assert server.keys("large") == list(range(1700))
    with Coordinator(tmp_path, settings(proxy.address, proxy.bucket)) as server:
        found = server.client.query("large", filter="id in [0, 1599, 1600, 1699]", output_fields=["vector"])
        assert {row["id"]: list(row["vector"]) for row in found} == {
            key: vector(key, 1024) for key in (0, 1599, 1600, 1699)}
    uploads = place.client.list_multipart_uploads(Bucket=proxy.bucket).get("Uploads", [])
    assert uploads == [], "no upload is left behind"


def test_a_missing_bucket_is_named_with_its_keys(place, proxy, tmp_path):
    with pytest.raises(Failure) as refused:
        Coordinator(tmp_path, settings(proxy.address, proxy.bucket, "minio.createBucket: false"))
    for phrase in (proxy.bucket, "minio.bucketName", "minio.createBucket", "ended with 1"):
        assert phrase in str(refused.value), refused.value
    assert proxy.bucket not in place.buckets()


def test_a_wrong_secret_is_refused_and_not_printed(place, proxy, tmp_path):
    if KIND == "moto":
        pytest.skip("moto checks no signatures")
    place.client.create_bucket(Bucket=proxy.bucket)
    text = settings(proxy.address, proxy.bucket).replace(SECRET, "another-secret-of-tests")
    with pytest.raises(Failure) as refused:
        Coordinator(tmp_path, text)
    assert proxy.bucket in str(refused.value) and "SignatureDoesNotMatch" in str(refused.value), refused.value
    assert "another-secret-of-tests" not in str(refused.value)


@faults
@pytest.mark.parametrize("key, value", [
    ("minio.useIAM", "true"),
    ("minio.cloudProvider", "gcp"),
    ("minio.address", "ftp://127.0.0.1:9000"),
    ("minio.address", "http://127.0.0.1:9000/a/path"),
])
def test_what_is_not_served_is_refused_by_name(key, value, tmp_path):
    text = settings("127.0.0.1:1")
    text = text.replace("127.0.0.1:1", value) if key == "minio.address" else text + f"{key}: {value}\n"
    with pytest.raises(Failure) as refused:
        Coordinator(tmp_path, text)
    assert key in str(refused.value) and "ended with 78" in str(refused.value), refused.value


@faults
def test_a_url_is_an_address(place, proxy, tmp_path):
    with Coordinator(tmp_path, settings(f"http://{proxy.address}", proxy.bucket)) as server:
        collection(server.client, "books")
    with pytest.raises(Failure) as refused:
        Coordinator(tmp_path / "data", settings(f"http://{proxy.address}", proxy.bucket, "minio.useSSL: true"))
    assert "minio.useSSL" in str(refused.value) and "minio.address" in str(refused.value)


@faults
def test_a_start_with_a_bucket_that_hangs_says_so_and_gives_up(proxy, tmp_path):
    proxy.fault = lambda request: STALL
    starting = {}

    def start():
        try:
            Coordinator(tmp_path, settings(proxy.address, proxy.bucket, "datacoord.storage.startTimeout: 6"))
        except Failure as failure:
            starting["failure"] = str(failure)

    began = time.monotonic()
    thread = threading.Thread(target=start)
    thread.start()
    proxy.wait_for(lambda request: True)
    log = tmp_path / "server.log"
    wait_until("the start says what it waits for", lambda: proxy.bucket in log.read_text())
    assert thread.is_alive(), "while it waits"
    wait_until("it says that it still waits", lambda: "has not answered yet" in log.read_text())
    thread.join(30)
    assert not thread.is_alive() and time.monotonic() - began < 30
    assert "ended with 1" in starting["failure"] and "datacoord.storage.startTimeout" in starting["failure"]


FAULTS = {
    "slow-down": refusal(503, "SlowDown"),
    "full": refusal(507, "XMinioStorageFull"),
    "stall": STALL,
    "cut": CUT,
}


@faults
@pytest.mark.parametrize("name", FAULTS)
def test_a_passing_fault_is_tried_again(name, proxy, tmp_path):
    """Every second request fails: each is tried again, and nothing is lost or doubled."""
    more = "minio.requestTimeoutMs: 300"
    with Coordinator(tmp_path, settings(proxy.address, proxy.bucket, more)) as server:
        collection(server.client, "books")
        turns = {}

        def every_second(request):
            turn = turns[(request.method, request.path)] = turns.get((request.method, request.path), 0) + 1
            return FAULTS[name] if turn % 2 else None

        proxy.fault = every_second
        for first in (0, 100, 200):
            write(server.client, "books", range(first, first + 100))
            server.client.flush("books")
        server.client.delete("books", [0, 100, 200])
        compact(server.client, "books")
        expected = [key for key in range(300) if key % 100]
        assert server.keys("books") == expected
        retries = sum(server.metric("datacoord_storage_retries_total", kind) for kind in ("get", "put"))
        assert retries > 10, "the faults were met"
        proxy.fault = lambda request: None
    with Coordinator(tmp_path, settings(proxy.address, proxy.bucket)) as server:
        assert server.keys("books") == expected


@faults
@pytest.mark.parametrize("name", ["slow-down", "full", "stall"])
def test_a_bucket_that_is_away_keeps_flushes_waiting(name, proxy, tmp_path):
    more = "minio.requestTimeoutMs: 200\n"
    with Coordinator(tmp_path, settings(proxy.address, proxy.bucket, more)) as server:
        collection(server.client, "books")
        proxy.fault = lambda request: FAULTS[name]
        write(server.client, "books", range(100))
        flushing = threading.Thread(target=lambda: server.client.flush("books", timeout=60))
        flushing.start()
        wait_until("the health says so", lambda: "degraded" in server.get("/healthz"))
        assert server.get("/healthz").startswith("OK") and server.get("/readyz")
        write(server.client, "books", range(100, 200))
        assert server.keys("books") == list(range(200)), "writes and reads go on"
        assert flushing.is_alive(), "the flush waits"
        proxy.fault = lambda request: None
        flushing.join(60)
        assert not flushing.is_alive()
        wait_until("it is well again", lambda: "degraded" not in server.get("/healthz"))
        assert server.command("segments", "books", "--quiet").split()
    with Coordinator(tmp_path, settings(proxy.address, proxy.bucket)) as server:
        assert server.keys("books") == list(range(200))


@faults
def test_a_stop_does_not_wait_for_the_bucket(proxy, tmp_path):
    text = settings(proxy.address, proxy.bucket)
    server = Coordinator(tmp_path, text)
    collection(server.client, "books")
    proxy.fault = lambda request: STALL
    before = len(proxy.seen(lambda request: request.method == "PUT"))
    write(server.client, "books", range(100))
    flushing = threading.Thread(target=lambda: pytest.raises(Exception, server.client.flush, "books", timeout=30))
    flushing.start()
    proxy.wait_for(lambda request: request.method == "PUT", more_than=before)
    began = time.monotonic()
    server.stop()
    # common.gracefulStopTimeout is 2 s here, and the work that has not ended gets two more.
    assert time.monotonic() - began < 6
    flushing.join(60)
    proxy.fault = lambda request: None
    with Coordinator(tmp_path, text) as server:
        assert server.keys("books") == list(range(100)), "the log had the rows"


def test_a_backup_of_a_bucket_is_restored_into_another(place, proxy, tmp_path):
    text = settings(proxy.address, proxy.bucket)
    expected = [key for key in range(300) if key % 10]
    with Coordinator(tmp_path, text) as server:
        collection(server.client, "books")
        write(server.client, "books", range(200))
        server.client.flush("books")
        write(server.client, "books", range(200, 300))
        server.client.delete("books", list(range(0, 300, 10)))
        made = server.command("backup", tmp_path / "backup")
        assert made.startswith("backup of "), made
        write(server.client, "books", range(300, 310))
        again = tmp_path / "again"
        again.mkdir()
        other = settings(proxy.address, proxy.bucket).replace("rootPath: store", "rootPath: restored")
        (again / "milvus.yaml").write_text(other)
        restore = [BINARY, "restore", tmp_path / "backup", "--config", again / "milvus.yaml",
                   "--data-dir", again / "data"]
        done = subprocess.run(restore, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        with Coordinator(again, other) as second:
            assert second.keys("books") == expected
            write(second.client, "books", [1000])
            second.client.flush("books")
        assert server.keys("books")[-1] == 309, "the original goes on beside it"
    # The place of a server is no place for another one.
    (again / "milvus.yaml").write_text(text)
    refused = subprocess.run([*restore[:-1], again / "data-2"], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "minio.rootPath" in refused.stderr, refused.stderr

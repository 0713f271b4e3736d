"""Health while the store fails, and when it is back: the same answer by every way to ask."""

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

import grpc
import pytest
from helpers import FILES, GRPC, HTTP, MANUAL, vectors
from pymilvus import MilvusClient

pytestmark = pytest.mark.filterwarnings("ignore")

SECONDS = 90
"""An outage is noticed after ten seconds and the attempts of one request; a flush pauses between its attempts."""
DIM = 8


def ask(path, **headers):
    """-> code, body"""
    request = urllib.request.Request(f"http://{HTTP}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, answer.read().decode()


def wait(what, holds):
    """Waits until `holds()` is true. -> what it returned"""
    deadline = time.monotonic() + SECONDS
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


def serving():
    """-> the answers of gRPC health, by service"""
    def check(service):
        call = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes,
                                   response_deserializer=bytes)
        name = service.encode()
        return call((b"\x0a" + bytes([len(name)]) + name) if name else b"", timeout=10)

    with grpc.insecure_channel(GRPC) as channel:
        return {check(service) for service in ("", "milvus.proto.milvus.MilvusService", "datacoord.v1.DataCoord")}


def healthcheck():
    # Through the file of addresses that the server keeps in its directory.
    program = Path(os.environ["E2E_PROGRAMS"]) / "datacoord"
    return subprocess.run([program, "healthcheck", "--data-dir", Path(FILES).parent], capture_output=True, text=True,
                          timeout=30)


def test_a_store_that_fails_and_comes_back(book):
    client = MilvusClient(uri=f"http://{GRPC}")
    client.create_collection(book, dimension=DIM, metric_type="L2", consistency_level="Strong", properties=MANUAL)

    def insert(first):
        keys = range(first, first + 100)
        rows = [{"id": key, "vector": vector} for key, vector in zip(keys, vectors(keys, DIM))]
        assert client.insert(book, rows)["insert_count"] == 100

    insert(0)
    client.flush(book)
    assert ask("/healthz") == (200, "OK") and ask("/readyz") == (200, "ready")
    assert healthcheck().stdout == "OK\n"
    well = {b"\x08\x01"}
    assert serving() == well

    folder, away = Path(FILES), Path(FILES).with_name("away")
    folder.rename(away)
    try:
        code, body = wait("the store is reported", lambda: degraded(ask("/healthz")))
        assert code == 200 and body.startswith("OK\nstore degraded: ")
        assert str(folder) in body and "writes are accepted, flushes and merges wait" in body
        code, body = ask("/readyz")
        assert code == 200 and body.startswith("ready\nstore degraded: ")
        code, body = ask("/readyz", Accept="application/json")
        answer = json.loads(body)
        assert (code, answer["ready"], answer["condition"]) == (200, True, "degraded")
        assert answer["parts"][0]["part"] == "store" and str(folder) in answer["parts"][0]["reason"]
        assert json.loads(ask("/healthz", **{"Content-Type": "application/json"})[1])["parts"] == answer["parts"]
        checked = healthcheck()
        assert checked.returncode == 0 and "store degraded" in checked.stdout
        assert serving() == well
        assert 'datacoord_health_ailments{condition="degraded",part="store"} 1' in ask("/metrics")[1]
        # Rows are logged, and can be read.
        insert(100)
        assert len(client.query(book, filter="id >= 100", output_fields=["id"], limit=1000)) == 100
    finally:
        folder.exists() or away.rename(folder)
    wait("the store is well again", lambda: ask("/healthz") == (200, "OK"))
    assert ask("/readyz") == (200, "ready")
    client.flush(book)
    assert len(client.query(book, filter="id >= 0", output_fields=["id"], limit=1000)) == 200
    client.close()


def degraded(answer):
    return answer if "store degraded" in answer[1] else None

"""TLS with stock clients: pymilvus, grpcurl and curl, as E2E_TLS says (one-way or mutual)."""

import json
import os
import subprocess

import grpc
import pytest
from helpers import GRPC, HTTP
from pymilvus import Collection, CollectionSchema, DataType, FieldSchema, MilvusException, connections, utility

MODE = os.environ["E2E_TLS"]
FILES = os.environ["E2E_TLS_FILES"]
CA, CERTIFICATE, KEY = (os.path.join(FILES, name) for name in ("ca.pem", "client.pem", "client.key"))
GRPCURL = os.environ.get("E2E_GRPCURL", "grpcurl")
HOST, PORT = GRPC.split(":")

OPTIONS = {
    "one-way": {"server_pem_path": CA, "server_name": "localhost"},
    "mutual": {"ca_pem_path": CA, "client_pem_path": CERTIFICATE, "client_key_path": KEY, "server_name": "localhost"},
}[MODE]

pytestmark = pytest.mark.filterwarnings("ignore")


def connect(alias, **options):
    connections.connect(alias, host=HOST, port=PORT, timeout=5, **options)


@pytest.fixture(scope="module", autouse=True)
def secured():
    connect("default", secure=True, **OPTIONS)
    yield
    connections.disconnect("default")


def test_rows_go_there_and_back_and_are_compacted():
    schema = CollectionSchema([
        FieldSchema("id", DataType.INT64, is_primary=True), FieldSchema("vector", DataType.FLOAT_VECTOR, dim=4)])
    books = Collection("over_tls", schema, consistency_level="Strong")
    try:
        for first in (0, 500):
            keys = list(range(first, first + 500))
            books.insert([keys, [[float(key)] * 4 for key in keys]])
            books.flush()
        books.compact()
        books.wait_for_compaction_completed()
        books.create_index("vector", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
        books.load()
        rows = books.query("id >= 0", output_fields=["id"])
        assert sorted(row["id"] for row in rows) == list(range(1000))
    finally:
        utility.drop_collection("over_tls")


def test_a_client_without_tls_is_refused():
    with pytest.raises(MilvusException):
        connect("plain")
    with pytest.raises(grpc.RpcError) as refused, grpc.insecure_channel(GRPC) as channel:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_an_unknown_authority_is_refused():
    with pytest.raises(MilvusException):
        connect("stranger", secure=True, **{**OPTIONS, "ca_pem_path": os.path.join(FILES, "stranger.pem"),
                                            "server_pem_path": os.path.join(FILES, "stranger.pem")})


@pytest.mark.skipif(MODE != "mutual", reason="one-way TLS asks for no certificate")
def test_a_client_without_a_certificate_is_refused():
    with pytest.raises(MilvusException):
        connect("nameless", secure=True, server_pem_path=CA, server_name="localhost")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_grpcurl():
    own = ["-cert", CERTIFICATE, "-key", KEY] if MODE == "mutual" else []
    answer = run(GRPCURL, "-cacert", CA, *own, "-max-time", "20", GRPC, "grpc.health.v1.Health/Check")
    assert answer.returncode == 0 and json.loads(answer.stdout) == {"status": "SERVING"}, answer
    assert run(GRPCURL, "-cacert", os.path.join(FILES, "stranger.pem"), *own, "-max-time", "5", GRPC, "list").returncode


def test_curl():
    def curl(path, *options):
        return run("curl", "--silent", "--show-error", "--max-time", "20", "--write-out", " %{http_code}", *options,
                   f"https://{HTTP}{path}").stdout

    assert curl("/healthz", "--cacert", CA) == "OK 200"
    needs = 403 if MODE == "mutual" else 200
    assert curl("/api/v1/health", "--cacert", CA).endswith(f" {needs}")
    own = ["--cert", CERTIFICATE, "--key", KEY] if MODE == "mutual" else []
    assert curl("/api/v1/health", "--cacert", CA, *own) == '{"status":"ok"} 200'
    assert curl("/healthz", "--cacert", os.path.join(FILES, "stranger.pem")) == " 000"
    plain = run("curl", "--silent", "--max-time", "20", f"http://{HTTP}/healthz").stdout
    assert "this port speaks TLS only" in plain, plain

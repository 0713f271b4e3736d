"""Spans at a collector of OpenTelemetry, which this test is."""

import socket
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from helpers import MANUAL
from program import PROGRAM, text
from pymilvus import MilvusClient

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
from run import Server, tls_settings  # noqa: E402

otlp = grpc.protos("otlp.proto")
DIM = 4

pytestmark = pytest.mark.filterwarnings("ignore")


class Collector(grpc.GenericRpcHandler):
    """Takes spans. `resources` are the attributes that came with them."""

    def __init__(self, certificates=None):
        self.spans, self.resources = [], []
        self.server = grpc.server(ThreadPoolExecutor(2), handlers=[self])
        if certificates is None:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        else:
            own = [((certificates / "server.key").read_bytes(), (certificates / "server.pem").read_bytes())]
            self.port = self.server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(own))
        self.server.start()

    def service(self, call):
        if call.method != "/opentelemetry.proto.collector.trace.v1.TraceService/Export":
            return None
        return grpc.unary_unary_rpc_method_handler(
            self.export, otlp.ExportTraceServiceRequest.FromString, otlp.ExportTraceServiceResponse.SerializeToString)

    def export(self, request, _context):
        for part in request.resource_spans:
            self.resources.append({each.key: each.value.string_value for each in part.resource.attributes})
            self.spans.extend(span for scope in part.scope_spans for span in scope.spans)
        return otlp.ExportTraceServiceResponse()


def settings(port, fraction, secure=False):
    return (f"trace:\n  exporter: otlp\n  sampleFraction: {fraction}\n"
            f"  otlp:\n    endpoint: 127.0.0.1:{port}\n    secure: {str(secure).lower()}\n")


def work(server):
    client = MilvusClient(uri=f"http://{server.where['E2E_GRPC']}")
    client.create_collection("traced", dimension=DIM, properties=MANUAL)
    for first in (0, 10):
        client.insert("traced", [{"id": key, "vector": [key / 8] * DIM} for key in range(first, first + 10)])
        client.flush("traced")
    text("compact", "traced", "--quiet", DATACOORD_ENDPOINT=server.where["E2E_GRPC"])
    client.close()


def health(server, traceparent):
    request = urllib.request.Request(f"http://{server.where['E2E_HTTP']}/healthz", headers={"traceparent": traceparent})
    with urllib.request.urlopen(request, timeout=10) as answered:
        assert answered.status == 200


def test_calls_and_plans_are_spans(tmp_path):
    collector = Collector()
    with Server(PROGRAM, tmp_path, settings(collector.port, 1), 0) as server:
        work(server)
        health(server, f"00-{'ab' * 16}-{'cd' * 8}-01")
    spans = {span.name: span for span in collector.spans}
    assert {"call milvus.proto.milvus.MilvusService/Insert", "call milvus.proto.milvus.MilvusService/Flush", "plan mix",
            "planning manual"} <= spans.keys()
    assert all(span.start_time_unix_nano < span.end_time_unix_nano for span in collector.spans)
    assert all(each["service.name"] == "datacoord" and each["service.version"] for each in collector.resources)
    named = {each.key: each.value.string_value for each in spans["plan mix"].attributes}
    assert named["kind"] == "mix" and int(named["plan_id"]) > 0
    asked = spans["request /healthz"]
    assert (asked.trace_id, asked.parent_span_id) == (b"\xab" * 16, b"\xcd" * 8)
    collector.server.stop(None)


def test_a_caller_chooses_whether_its_calls_are_spans(tmp_path):
    collector = Collector()
    with Server(PROGRAM, tmp_path, settings(collector.port, 0), 0) as server:
        work(server)
        health(server, f"00-{'ab' * 16}-{'cd' * 8}-00")
        health(server, f"00-{'ef' * 16}-{'cd' * 8}-01")
    assert [(span.name, span.trace_id) for span in collector.spans] == [("request /healthz", b"\xef" * 16)]
    collector.server.stop(None)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_collector_with_tls_needs_an_authority_that_the_machine_trusts(tmp_path, monkeypatch, trusted):
    tls_settings(tmp_path, 0)
    collector = Collector(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / ("ca.pem" if trusted else "stranger.pem")))
    with Server(PROGRAM, tmp_path, settings(collector.port, 1, secure=True), 0) as server:
        health(server, f"00-{'ab' * 16}-{'cd' * 8}-01")
    assert [span.name for span in collector.spans] == (["request /healthz"] if trusted else [])
    collector.server.stop(None)


def test_a_collector_that_is_away_holds_nothing_up(tmp_path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # Bound and not listening: nobody else gets the port.
        with Server(PROGRAM, tmp_path, settings(nobody.getsockname()[1], 1), 0) as server:
            work(server)
    assert "they are lost" in (tmp_path / "server.log").read_text()

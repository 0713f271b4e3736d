"""grpcurl: the three services that compact, found by reflection; health.

Stock Milvus has no reflection and serves only MilvusService here: there our protocol files tell grpcurl the messages.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from helpers import GRPC, is_datacoord, wait_until
from story import Plan, Story

PROGRAM = os.environ.get("E2E_GRPCURL", "grpcurl")
PROTO = Path(__file__).resolve().parents[3] / "proto" / "milvus"
SERVICES = ["milvus.proto.milvus.MilvusService", "milvus.proto.data.DataCoord"]

pytestmark = pytest.mark.filterwarnings("ignore")


def grpcurl(*arguments, check=True):
    done = subprocess.run([PROGRAM, "-plaintext", "-max-time", "20", *arguments], capture_output=True, text=True)
    assert done.returncode == 0 or not check, done.stderr
    return done


def call(method, request=None, check=True):
    """-> the answer as JSON (int64 as text), or the message of grpcurl when it failed."""
    source = [] if is_datacoord() else ["-import-path", str(PROTO), "-proto", "milvus.proto"]
    done = grpcurl(*source, "-emit-defaults", "-d", json.dumps(request or {}), GRPC, method, check=check)
    return json.loads(done.stdout) if check else done.stderr


def test_reflection_lists_and_describes(datacoord):
    services = grpcurl(GRPC, "list").stdout.split()
    for service in [*SERVICES, "datacoord.v1.DataCoord", "grpc.health.v1.Health"]:
        assert service in services
    methods = grpcurl(GRPC, "list", "datacoord.v1.DataCoord").stdout
    for method in ("ManualCompaction", "GetCompactionState", "GetCompactionPlans"):
        assert f"datacoord.v1.DataCoord.{method}" in methods
    assert "rpc ManualCompaction" in grpcurl(GRPC, "describe", "milvus.proto.data.DataCoord").stdout
    assert "job_id" in grpcurl(GRPC, "describe", "datacoord.v1.ManualCompactionResponse").stdout
    assert "collection_name" in grpcurl(GRPC, "describe", "milvus.proto.milvus.ManualCompactionRequest").stdout


def test_health(datacoord):
    assert call("grpc.health.v1.Health/Check")["status"] == "SERVING"


@pytest.mark.parametrize("service", SERVICES)
def test_compaction_as_milvus_does_it(book, service):
    if service != SERVICES[0] and not is_datacoord():
        pytest.skip("stock Milvus has this service on another port")
    story = Story(book)
    answer = call(f"{service}/ManualCompaction", {"collectionID": story.collection_id})
    assert answer["status"]["code"] == 0
    job = answer["compactionID"]
    wait_until("compaction is completed", lambda: call(
        f"{service}/GetCompactionState", {"compactionID": job})["state"] == "Completed")
    answer = call(f"{service}/GetCompactionStateWithPlans", {"compactionID": job})
    assert answer["state"] == "Completed"
    story.check([Plan(info["sources"], info["target"]) for info in answer["mergeInfos"]])


def test_compaction_with_our_own_service(book, datacoord):
    story = Story(book)
    service = "datacoord.v1.DataCoord"
    answer = call(f"{service}/ManualCompaction", {"collection": {"collection_name": book}})
    assert int(answer["jobId"]) > 0 and answer["plans"] == 1
    job = {"job_id": answer["jobId"]}
    state = wait_until("compaction is completed", lambda: completed(call(f"{service}/GetCompactionState", job)))
    assert int(state["completedPlans"]) == 1 and int(state["failedPlans"]) == 0 and state["trigger"] == "manual"
    plans = call(f"{service}/GetCompactionPlans", job)["plans"]
    assert [plan["state"] for plan in plans] == ["PLAN_STATE_COMPLETED"]
    story.check([Plan(plan["sources"], plan["targets"][0]) for plan in plans])


def completed(answer):
    return answer if answer["state"] == "JOB_STATE_COMPLETED" else None


def test_errors_of_our_own_service_are_grpc_codes(datacoord):
    service = "datacoord.v1.DataCoord"
    assert "NotFound" in call(f"{service}/GetCompactionState", {"job_id": 123456789}, check=False)
    assert "NotFound" in call(f"{service}/GetCompactionPlans", {"job_id": 123456789}, check=False)
    missing = {"collection": {"collection_name": "no_such_book"}}
    assert "NotFound" in call(f"{service}/ManualCompaction", missing, check=False)
    assert "InvalidArgument" in call(f"{service}/ManualCompaction", {}, check=False)

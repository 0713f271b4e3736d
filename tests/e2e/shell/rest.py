"""REST with curl: compaction as a Milvus operator calls it, rows and definitions, health and metrics."""

import json
import subprocess

import pytest
from helpers import HTTP, is_datacoord, wait_until
from story import Plan, Story

pytestmark = pytest.mark.filterwarnings("ignore")


def curl(*arguments):
    """Runs curl. -> (status, content type, body)"""
    command = ["curl", "--silent", "--show-error", "--max-time", "20",
               "--write-out", "\n%{http_code} %{content_type}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    body, _, trailer = done.stdout.rpartition("\n")
    status, _, content_type = trailer.partition(" ")
    return int(status), content_type, body


def call(verb, path, body=None, expect=200):
    """A call whose answer is JSON."""
    arguments = ["--request", verb, f"http://{HTTP}{path}"]
    if body is not None:
        arguments += ["--data", body if isinstance(body, str) else json.dumps(body)]
    status, content_type, answer = curl(*arguments)
    assert status == expect, (status, answer)
    assert content_type == "application/json; charset=utf-8"
    return json.loads(answer)


def compact(start, state, plans):
    """Compacts by three calls that the caller has put together. -> plans"""
    started = start()
    assert started["status"] == {} and isinstance(started["compactionID"], int) and started["compactionID"] > 0
    job = started["compactionID"]

    def completed():
        answer = state(job)
        assert answer["status"] == {} and answer["state"] in (1, 2)
        assert answer["state"] == 2 or answer["executingPlanNo"] > 0
        return answer if answer["state"] == 2 else None

    answer = wait_until("compaction is completed", completed)
    assert answer == {"status": {}, "state": 2, "completedPlanNo": 1}, "members that are zero are left out"
    answer = plans(job)
    assert answer["status"] == {} and answer["state"] == 2
    return [Plan(info["sources"], info["target"]) for info in answer["mergeInfos"]]


def test_compaction_with_json_bodies(book):
    story = Story(book)
    story.check(compact(
        lambda: call("POST", "/api/v1/compaction", {"collectionID": story.collection_id}),
        lambda job: call("GET", "/api/v1/compaction/state", {"compactionID": job}),
        lambda job: call("GET", "/api/v1/compaction/plans", {"compactionID": job}),
    ))


def test_compaction_with_query_parameters(book, datacoord):
    story = Story(book)
    story.check(compact(
        lambda: call("POST", f"/api/v1/compaction?collectionID={story.collection_id}"),
        lambda job: call("GET", f"/api/v1/compaction/state?compactionID={job}"),
        lambda job: call("GET", f"/api/v1/compaction/plans?compactionID={job}"),
    ))


def test_compaction_by_name(book, datacoord):
    story = Story(book)
    story.check(compact(
        lambda: call("POST", "/api/v1/compaction", {"collection_name": book}),
        lambda job: call("GET", "/api/v1/compaction/state", {"compactionID": job}),
        lambda job: call("GET", "/api/v1/compaction/plans", {"compactionID": job}),
    ))


def test_compaction_with_the_second_version_of_the_api(book, datacoord):
    story = Story(book)
    answer = call("POST", "/v2/vectordb/collections/compact", {"collectionName": book})
    assert answer["code"] == 0
    job = answer["data"]["compactionID"]

    def completed():
        answer = call("POST", "/v2/vectordb/collections/get_compaction_state", {"jobID": job})
        assert answer["code"] == 0 and answer["data"]["state"] in ("Executing", "Completed")
        return answer["data"] if answer["data"]["state"] == "Completed" else None

    data = wait_until("compaction is completed", completed)
    assert data["compactionID"] == job and data["completedPlanNumber"] == 1
    plans = call("GET", "/api/v1/compaction/plans", {"compactionID": job})["mergeInfos"]
    story.check([Plan(info["sources"], info["target"]) for info in plans])


def v2(route, **body):
    """The data of a call in the second version of the API."""
    answer = call("POST", f"/v2/vectordb/{route}", body)
    assert answer["code"] == 0, (route, answer)
    return answer["data"]


def test_a_script_from_the_first_row_to_the_last(datacoord):
    """As Milvus' documentation of REST has it: create, insert, compact, search, query, get, upsert, delete, drop."""
    name = "rest_shelf"
    if v2("collections/has", collectionName=name)["has"]:
        v2("collections/drop", collectionName=name)
    v2("collections/create", collectionName=name, dimension=4, metricType="L2")
    assert name in v2("collections/list")
    for part in range(2):
        rows = [{"id": key, "vector": [key, 0, 0, part], "color": f"c{key % 3}"}
                for key in range(part * 50, part * 50 + 50)]
        assert v2("entities/insert", collectionName=name, data=rows)["insertCount"] == 50
        v2("collections/flush", collectionName=name)
    job = v2("collections/compact", collectionName=name)["compactionID"]
    wait_until("compaction is completed",
               lambda: v2("collections/get_compaction_state", jobID=job)["state"] == "Completed")
    assert v2("collections/get_stats", collectionName=name) == {"rowCount": 100}
    assert v2("collections/get_load_state", collectionName=name)["loadState"] == "LoadStateLoaded"
    assert v2("indexes/describe", collectionName=name, indexName="vector")[0]["metricType"] == "L2"

    found = v2("entities/search", collectionName=name, data=[[7, 0, 0, 0]], limit=3, outputFields=["color"])
    assert found[0] == {"id": "7", "color": "c1", "distance": 0} and {row["id"] for row in found} == {"6", "7", "8"}
    rows = v2("entities/query", collectionName=name, filter='color == "c0" and id < 5', outputFields=["id"])
    assert rows == [{"id": "0"}, {"id": "3"}]
    status, _, answer = curl("--request", "POST", "--header", "Accept-Type-Allow-Int64: true", "--data",
                             json.dumps({"collectionName": name, "id": [99]}),
                             f"http://{HTTP}/v2/vectordb/entities/get")
    assert status == 200
    assert json.loads(answer)["data"] == [{"id": 99, "vector": [99, 0, 0, 1], "color": "c0"}]
    v2("entities/upsert", collectionName=name, data=[{"id": 99, "vector": [0, 0, 0, 0], "size": 5}])
    assert v2("entities/get", collectionName=name, id=99) == [{"id": "99", "vector": [0, 0, 0, 0], "size": 5}]
    assert v2("entities/delete", collectionName=name, filter="id in [1, 2]")["deleteCount"] == 2
    assert v2("entities/query", collectionName=name, outputFields=["count(*)"]) == [{"count(*)": "98"}]

    v2("collections/release", collectionName=name)
    answer = call("POST", "/v2/vectordb/entities/search", {"collectionName": name, "data": [[0, 0, 0, 0]]})
    assert answer["code"] == 101 and "not loaded" in answer["message"]
    v2("collections/drop", collectionName=name)
    answer = call("POST", "/v2/vectordb/entities/query", {"collectionName": name})
    assert answer["code"] == 100 and name in answer["message"]


@pytest.mark.parametrize("what", ["state", "plans"])
def test_unknown_id(what):
    answer = call("GET", f"/api/v1/compaction/{what}", {"compactionID": 123456789})
    if is_datacoord():
        assert answer["status"]["code"] != 0 and answer["status"]["error_code"] != 0 and answer["status"]["reason"]
    else:
        assert answer == {"status": {}, "state": 2}


@pytest.mark.parametrize("body", [None, "null", "{}", '{"collection_id": 1}', '{"collectionID": 0}'])
def test_compaction_of_nothing_in_particular_is_refused(body, datacoord):
    status = call("POST", "/api/v1/compaction", body)["status"]
    assert status["code"] in (100, 1100) and status["error_code"] != 0


@pytest.mark.parametrize("path", ["POST /api/v1/compaction", "GET /api/v1/compaction/state"])
@pytest.mark.parametrize("body", [
    "{broken", '{"collectionID": "7", "compactionID": "7"}', '{"collectionID": 1.5, "compactionID": 1.5}',
    '{"collectionID": [7], "compactionID": [7]}',
    '{"collectionID": 9223372036854775808, "compactionID": 9223372036854775808}'])
def test_bad_bodies(path, body):
    verb, _, path = path.partition(" ")
    answer = call(verb, path, body, expect=400)
    assert answer["error_code"] == 5 and "parse body failed" in answer["reason"]


@pytest.mark.parametrize("verb, path", [("GET", "/api/v1/compaction"), ("POST", "/api/v1/compaction/state"),
                                        ("GET", "/api/v1/no_such_thing")])
def test_other_verbs_and_paths_are_not_found(verb, path):
    status, content_type, _ = curl("--request", verb, f"http://{HTTP}{path}")
    assert status == 404 and content_type.startswith("text/plain")


def test_healthz():
    status, content_type, body = curl(f"http://{HTTP}/healthz")
    assert (status, body.strip()) == (200, "OK") and content_type.startswith("text/plain")
    status, _, body = curl("--header", "Content-Type: application/json", f"http://{HTTP}/healthz")
    assert status == 200 and json.loads(body)["state"] == "OK"
    status, _, _ = curl("--head", f"http://{HTTP}/healthz")
    assert status == 200


def test_metrics():
    status, content_type, body = curl(f"http://{HTTP}/metrics")
    assert status == 200 and content_type.startswith("text/plain")
    names = {line.split()[2] for line in body.splitlines() if line.startswith("# TYPE ")}
    samples = [line for line in body.splitlines() if line and not line.startswith("#")]
    assert names and samples and len(samples) == len({sample.rpartition(" ")[0] for sample in samples})
    assert any("compact" in name for name in names) and any("segment" in name for name in names)

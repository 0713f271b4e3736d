"""Every command for a running server, as people and as programs read it, with its exit codes."""

import subprocess

import pytest
from helpers import GRPC, raw, wait_until
from program import ENVIRONMENT, PROGRAM, Terminal, answer, fails, run, text
from pymilvus.grpc_gen import milvus_pb2 as pb

pytestmark = pytest.mark.filterwarnings("ignore")


def compacted(story):
    """Compacts the story as a client does. -> the id of the job"""
    job = raw().ManualCompaction(pb.ManualCompactionRequest(collectionID=story.collection_id)).compactionID
    wait_until("the job has ended", lambda: answer("job", job)["job"]["state"] == "JOB_STATE_COMPLETED")
    return job


def test_segments(story):
    listed = answer("segments", story.name)["segments"]
    assert [int(segment["segment_id"]) for segment in listed] == sorted(story.before)
    for segment in listed:
        assert (segment["rows"], segment["delta_rows"], segment["state"]) == (400, 40, "Flushed")
        assert int(segment["collection_id"]) == story.collection_id and segment["level"] == "L1"
    assert answer("segments", story.collection_id)["segments"] == listed
    assert answer("segments", story.name, "--database", "default")["segments"] == listed
    assert text("segments", story.name, "--quiet").split() == [segment["segment_id"] for segment in listed]
    table = text("segments", story.name).splitlines()
    assert table[0].split()[:4] == ["segment", "state", "level", "rows"] and len(table) == 5
    assert table[-1].startswith("3 segments: 1200 rows, 10.0 % of them deleted")
    compacted(story)
    assert len(answer("segments", story.name)["segments"]) == 1
    dropped = answer("segments", story.name, "--dropped")["segments"]
    assert sorted(segment["state"] for segment in dropped) == ["Dropped"] * 3 + ["Flushed"]


def test_explain_a_segment_and_a_collection(story):
    segment = sorted(story.before)[0]
    explanation = answer("explain", segment)["explanation"]
    assert int(explanation["segment"]["segment_id"]) == segment
    assert explanation["on_request"]["code"] == "planned"
    assert len(explanation["on_request"]["plan"]["sources"]) == 3
    people = text("explain", segment)
    assert people.startswith(f"segment {segment} Flushed L1: 400 rows, 40 deletes")
    assert "by itself:" in people and "on request:" in people and "(planned), 3 segments with 1200 rows" in people
    explained = answer("explain", story.name, "--limit", 2)
    assert explained["segments"] == 3 and len(explained["explanations"]) == 2
    assert sum(count["segments"] for count in explained["counts"]) == 3
    assert explained == answer("explain", story.collection_id, "--limit", 2)
    assert "and 1 more: raise --limit" in text("explain", story.name, "--limit", 2)


def test_plan_changes_nothing(story):
    draft = answer("plan", story.name)
    assert len(draft["plans"]) == 1 and draft["plans"][0]["input_rows"] == 1200
    assert sorted(map(int, draft["plans"][0]["sources"])) == sorted(story.before)
    two = ",".join(map(str, sorted(story.before)[:2]))
    assert len(answer("plan", story.name, "--segments", two)["plans"][0]["sources"]) == 2
    assert len(answer("plan", story.name, "--partition", "_default")["plans"]) == 1
    assert answer("plan", story.name, "--automatic")["plans"] == []
    assert "1 plan would be made" in text("plan", story.name)
    assert len(answer("segments", story.name)["segments"]) == 3


def test_jobs_job_and_lineage(story):
    job = compacted(story)
    # The index of the new segment is a job, too.
    jobs = answer("jobs", story.name, "--trigger", "manual")
    assert [int(each["job_id"]) for each in jobs["jobs"]] == [job]
    assert jobs["jobs"][0]["state"] == "JOB_STATE_COMPLETED" and jobs["jobs"][0]["trigger"] == "manual"
    assert jobs["jobs"][0]["collection"]["collection_name"] == story.name
    assert text("jobs", story.name, "--trigger", "manual", "--quiet").split() == [str(job)]
    assert answer("jobs", story.name, "--state", "failed")["jobs"] == []
    assert answer("jobs", story.name, "--trigger", "tick")["jobs"] == []
    assert str(job) in text("jobs", story.name, "--since", "1h", "-q").split()
    assert f" {job}  {story.name} " in text("jobs", story.name)
    one = answer("job", job)
    assert one["plans"][0]["state"] == "PLAN_STATE_COMPLETED" and one["job"]["job_id"] == str(job)
    people = text("job", job)
    assert people.startswith(f"job {job} of {story.name} (manual): completed") and "state:   completed after" in people
    target = one["plans"][0]["targets"][0]
    lineage = answer("lineage", target)
    assert lineage["is_complete"] and len(lineage["segments"]) == 4
    tree = text("lineage", target).splitlines()
    assert tree[0].startswith(f"{target} Flushed, 1080 rows, ") and len(tree) == 4
    assert tree[1].startswith("├─ ") and tree[3].startswith("└─ ") and tree[3].endswith(", by flush")


def test_jobs_are_listed_in_pages(story):
    # The first one compacts, the others find nothing to do: each is a job all the same.
    jobs = [compacted(story) for _ in range(3)]
    newest = [str(job) for job in sorted(jobs, reverse=True)]
    manual = ["jobs", story.name, "--trigger", "manual"]
    page = answer(*manual, "-n", 2)
    assert [job["job_id"] for job in page["jobs"]] == newest[:2] and page["next_page_token"]
    assert "there are more: raise --limit" in text(*manual, "-n", 2)
    assert text(*manual, "-q", "--limit", 1000).split() == newest


def test_pause_cancel_and_resume(story):
    paused = answer("pause", story.name, "--by", "the tests")
    assert [(entry["by"], entry["scope"]["collection"]["collection_name"]) for entry in paused["pauses"]] == [
        ("the tests", story.name)]
    try:
        job = raw().ManualCompaction(pb.ManualCompactionRequest(collectionID=story.collection_id)).compactionID
        shown = answer("job", job)
        assert shown["job"]["paused_by"] == "the tests" and shown["plans"][0]["state"] == "PLAN_STATE_QUEUED"
        assert f"paused: collection {story.name}, by the tests" in text("jobs", story.name)
        status = answer("status")
        assert str(job) in [each["job_id"] for each in status["executing"]]
        assert answer("cancel", job, "--by", "the tests")["cancelled"] == [shown["plans"][0]["plan_id"]]
        assert answer("job", job)["job"]["state"] == "JOB_STATE_CANCELLED"
        assert "cancelled by the tests" in text("job", job)
        assert text("cancel", job) == "0 plans cancelled, 1 plan had ended before\n"
        assert answer("cancel", "--plan", shown["plans"][0]["plan_id"])["cancelled"] == []
    finally:
        assert text("resume", story.name) == "nothing is paused\n"
    assert "paused: everything" in text("pause", "--everything")
    assert answer("resume", "--everything") == {"pauses": []}


def test_throttle():
    assert answer("throttle", "12.5")["mb_per_second"] == 12.5
    assert text("throttle").startswith("12.5 MB per second, set by SetThrottle; now ")
    assert answer("throttle", "none")["mb_per_second"] == 0
    assert "as configured" in answer("throttle", "configured")["in_effect"]


def test_gc(story):
    compacted(story)
    listed = answer("gc", "--dry-run")
    assert listed["pinned"]["segments"] >= 3 and listed["pinned"]["bytes"] > 0
    assert len(answer("gc", "--dry-run", "--limit", 1)["items"]) == 1
    assert "its age, until " in text("gc", "--dry-run") and "would be collected now: " in text("gc", "--dry-run")
    # The sources are younger than dataCoord.gc.dropTolerance.
    assert answer("gc")["collected"]["segments"] == 0
    assert text("gc").startswith("collected 0 dropped segments")
    assert len(answer("segments", story.name, "--dropped")["segments"]) == 4


def test_status(story):
    status = answer("status", "--limit", 1000)
    assert status["is_healthy"] and "datacoord" in status["version"] and status["endpoint"] == GRPC
    mine = [each for each in status["collections"] if each["collection"]["collection_name"] == story.name]
    assert mine[0]["amplification"]["live_segments"] == 3 and mine[0]["to_compact"] == 0
    verdict = status["verdict"]["text"]
    assert status["verdict"]["code"] == "tidy" and verdict.startswith("In good shape: ")
    people = text("status", "--limit", 1000)
    assert people.startswith(f"datacoord {status['version']} at {GRPC}\n{verdict}\nhealth: OK\nthrottle: ")
    assert f"\n  {story.name} " in people
    assert answer("status", "--limit", 0)["other_collections"] >= 1


def test_exit_codes_and_errors_that_say_what_to_do(book):
    fails(2, "segments")
    assert "segments" in fails(2, "segmnts", book)
    assert "--json" in fails(2, "jobs", "--jsn")
    missing = fails(4, "segments", "no_such_collection")
    assert "no_such_collection" in missing and "datacoord status" in missing
    for arguments in (["job", 5], ["cancel", 5], ["lineage", 5], ["explain", 5], ["plan", "no_such_collection"]):
        fails(4, *arguments)
    nowhere = fails(3, "status", "--endpoint", "127.0.0.1:1")
    assert "no server at 127.0.0.1:1" in nowhere and "--endpoint" in nowhere
    fails(2, "status", "--endpoint", "not an address")
    fails(78, "status", "--config", "/nowhere/milvus.yaml")
    assert "--timeout" in fails(5, "status", "--timeout", "1us")
    fails(4, "plan", "no_such_collection", "--partition", "p")


def test_a_partition_that_is_not_there_is_named(story):
    error = fails(4, "plan", story.name, "--partition", "p")
    assert "no partition p; it has _default" in error


def test_a_closed_pipe_ends_quietly(story):
    with subprocess.Popen([PROGRAM, "segments", story.name], env=ENVIRONMENT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as command:
        command.stdout.close()
        assert command.stderr.read() == b""
        assert command.wait(30) in (0, -13)
    piped = subprocess.run(f"{PROGRAM} segments {story.name} --quiet | head -n 1", shell=True, env=ENVIRONMENT,
                           capture_output=True, text=True, timeout=30)
    assert piped.stdout.strip() == str(sorted(story.before)[0]) and piped.stderr == ""


def test_colours_are_for_a_terminal_that_wants_them(story):
    compacted(story)
    for environment, has_colours in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        with Terminal("jobs", story.name, **environment) as terminal:
            assert terminal.ended() == 0
        assert ("\x1b[" in terminal.written) == has_colours, (environment, terminal.written)


def test_the_version_and_the_help_name_every_command():
    assert run("--version").stdout.startswith("datacoord ")
    offered = run("--help").stdout
    for command in ("status", "segments", "explain", "lineage", "jobs", "job", "plan", "cancel", "pause", "resume",
                    "throttle", "gc", "config", "healthcheck", "demo", "serve"):
        assert f"\n  {command} " in offered, offered

"""Compacting, and watching plans run: as a script, in a log and on a terminal."""

import json
import re
import signal
import subprocess

import pytest
from program import ENVIRONMENT, PROGRAM, Terminal, answer, fails, run, text

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def paused(story):
    """The same with every plan of it waiting."""
    text("pause", story.name)
    yield story
    run("resume", story.name)


def test_a_script_starts_a_compaction(story):
    dry = answer("compact", story.name, "--dry-run")
    assert len(dry["plans"]) == 1 and answer("jobs", story.name)["jobs"] == []
    started = answer("compact", story.name)
    assert started["plans"] == 1
    # The exit code of a watch is that of the job.
    text("watch", started["job_id"])
    assert answer("job", started["job_id"])["job"]["state"] == "JOB_STATE_COMPLETED"
    nothing = text("compact", story.name)
    assert ": nothing to do: " in nothing


def test_waiting_without_a_terminal_writes_lines(story):
    done = run("compact", story.name, "--wait")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    job = lines[0].removeprefix("job ").removesuffix(": 1 plan")
    assert lines[1] == f"job {job} of {story.name} (manual): completed"
    assert f"plan {answer('job', job)['plans'][0]['plan_id']} (mix): completed after " in done.stderr
    assert "\x1b" not in done.stderr
    assert story.client.query(story.name, filter="", output_fields=["count(*)"],
                              consistency_level="Strong")[0]["count(*)"] == 1080


def test_waiting_with_json_prints_the_ended_job(story):
    ended = answer_beside_lines("compact", story.name, "--wait")
    assert ended["job"]["state"] == "JOB_STATE_COMPLETED"
    assert sorted(map(int, ended["plans"][0]["sources"])) == sorted(story.before)


def answer_beside_lines(*arguments):
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_options_of_a_request_reach_the_server(paused):
    job = text("compact", paused.name, "--quiet", "--priority", -7, "--deadline", "1h", "--partition", "_default").strip()
    shown = answer("job", job)
    assert shown["job"]["priority"] == -7
    assert 3_500_000 < shown["job"]["deadline_ms"] - shown["job"]["created_at_ms"] < 3_700_000
    assert len(shown["plans"][0]["sources"]) == 3
    assert "to end by " in text("job", job)
    text("cancel", job)
    two = ",".join(map(str, sorted(paused.before)[:2]))
    job = text("compact", paused.name, "--quiet", "--segments", two).strip()
    assert len(answer("job", job)["plans"][0]["sources"]) == 2
    text("cancel", job)
    # The collection has no clustering key, and no L0 segment.
    assert "clustering" in fails(1, "compact", paused.name, "--clustering")
    assert answer("compact", paused.name, "--l0")["plans"] == 0


def test_a_wait_that_takes_too_long_leaves_the_job(paused):
    done = run("compact", paused.name, "--wait=200ms")
    job = done.stdout.split()[1].rstrip(":")
    assert done.returncode == 5 and f"datacoord watch {job}" in done.stderr, done.stderr
    assert answer("job", job)["job"]["state"] == "JOB_STATE_EXECUTING"
    text("cancel", job)
    assert "1 cancelled" in fails(1, "watch", job, only_error=True)


def test_a_missed_deadline_has_its_exit_code(paused):
    done = run("compact", paused.name, "--wait", "--deadline", "300ms")
    assert done.returncode == 5, done.stderr
    assert "cancelled" in done.stderr


def test_an_interrupt_leaves_the_job_and_says_so(paused):
    process = subprocess.Popen([PROGRAM, "compact", paused.name, "--wait"], env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    job = process.stdout.readline().split()[1].rstrip(":")
    assert "paused" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and f"datacoord cancel {job}" in errors, errors
    text("cancel", job)


def test_watching_as_a_program(story):
    job = answer("compact", story.name)["job_id"]
    events = [json.loads(line) for line in text("watch", job, "--json", "--interval", "50ms").splitlines()]
    assert events[-1]["job"]["state"] == "JOB_STATE_COMPLETED" and events[-1]["plan"] is None
    assert [event["plan"]["job_id"] for event in events[:-1]] == [job] * (len(events) - 1)
    assert events[-2]["phase"] == "PLAN_PHASE_ENDED"


def test_watching_everything_until_the_reader_leaves(paused):
    watch = subprocess.Popen([PROGRAM, "watch"], env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    try:
        job = text("compact", paused.name, "--quiet").strip()
        plan = answer("job", job)["plans"][0]["plan_id"]
        assert watch.stdout.readline() == f"plan {plan} (mix): paused\n"
        text("cancel", job)
        assert watch.stdout.readline().startswith(f"plan {plan} (mix): cancelled after ")
        watch.stdout.close()
        # The next line finds the pipe closed.
        text("cancel", text("compact", paused.name, "--quiet").strip())
        assert watch.wait(30) in (0, -signal.SIGPIPE)
        assert watch.stderr.read() == ""
    finally:
        watch.kill()
        watch.wait()


def test_a_terminal_shows_bars_and_keeps_the_outcome(story):
    with Terminal("compact", story.name, "--wait") as terminal:
        assert terminal.ended() == 0
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", terminal.written)
    assert " mix [" in plain and " mix completed after " in plain
    assert f"of {story.name} (manual): completed" in plain


def test_a_terminal_is_redrawn_while_watching(paused):
    with Terminal("watch") as terminal:
        terminal.until("nothing runs")
        job = text("compact", paused.name, "--quiet").strip()
        plan = answer("job", job)["plans"][0]["plan_id"]
        terminal.until("1 waiting")
        terminal.until(f"plan {plan} mix [")
        text("cancel", job)
        terminal.until("cancelled")
        assert terminal.written.count("\x1b[1;1H") >= 3, "the cursor goes back to the top"
        terminal.interrupt()
        assert terminal.ended() != 0

"""milvus_cli in a terminal, as its documentation shows it: connect, list, compact, show compaction state and plans."""

import os
import pty
import re
import select
import subprocess
import time

import pytest
from helpers import GRPC, is_datacoord, wait_until
from story import Plan, Story

PROGRAM = os.environ.get("E2E_MILVUS_CLI", "milvus_cli")
PROMPT = "milvus_cli > "
SECONDS = 30
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")

pytestmark = pytest.mark.filterwarnings("ignore")


class Terminal:
    """milvus_cli at the other end of a pseudo-terminal, which it insists on."""

    def __init__(self):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([PROGRAM], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        env={**os.environ, "TERM": "dumb", "COLUMNS": "200"})
        os.close(slave)
        self.read()

    def read(self, end=PROMPT):
        """Everything up to the next prompt, or another end."""
        deadline, text = time.monotonic() + SECONDS, ""
        while not text.endswith(end):
            left = deadline - time.monotonic()
            assert left > 0, f"no {end!r} after {SECONDS} s, only {text!r}"
            if select.select([self.master], [], [], left)[0]:
                text = CONTROL.sub("", text + os.read(self.master, 65536).decode())
        return text.removesuffix(end)

    def run(self, command):
        """-> what the command printed."""
        os.write(self.master, command.encode() + b"\n")
        return self.read().partition("\n")[2]

    def ask(self, command, *answers):
        """As `run`, for a command that asks: pairs of the end of a question and its answer."""
        os.write(self.master, command.encode() + b"\n")
        for question, answer in answers:
            self.read(question)
            os.write(self.master, answer.encode() + b"\n")
        return self.read()

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal():
    terminal = Terminal()
    try:
        assert "Connect Milvus successfully." in terminal.run(f"connect -uri http://{GRPC}")
        yield terminal
    finally:
        terminal.close()


def test_compaction(book, terminal):
    story = Story(book)
    assert book in terminal.run("list collections")
    shown = terminal.run(f"show collection -c {book}")
    assert book in shown and "1200" in shown

    printed = terminal.run(f"compact -c {book}")
    assert f"Compact collection {book} successfully!" in printed
    job = re.search(r"Compaction ID: (\d+)", printed).group(1)
    assert int(job) > 0
    wait_until("compaction is completed", lambda: state_of(terminal, job) == "Completed")
    printed = terminal.run(f"show compaction_plans -c {book} -id {job}")
    assert "Compaction Plans:" in printed and job in printed
    plans = [Plan(numbers(sources), numbers(targets)[0])
             for sources, targets in re.findall(r"sources: \[(.*?)\].*?targets: \[(.*?)\]", printed, re.DOTALL)]
    story.check(plans)
    assert str(len(story.expected)) in terminal.run(f"show collection_stats -c {book}")


def state_of(terminal, job):
    printed = terminal.run(f"show compaction_state -id {job}")
    state = re.search(r"Compaction state: (\w+)", printed)
    assert state, printed
    return state.group(1)


def numbers(text):
    return [int(number) for number in re.findall(r"\d+", text)]


def test_unknown_id_and_missing_collection(terminal):
    printed = terminal.run("show compaction_state -id 123456789")
    if is_datacoord():
        assert "Completed" not in printed and "Executing" not in printed
        assert "successfully" not in terminal.run("compact -c no_such_book")
    else:
        assert "Compaction state: Completed" in printed


def test_server_version(terminal):
    assert "2.3.5" in terminal.run("server_version")

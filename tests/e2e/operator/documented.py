"""The examples of docs/cli.md: each block of shell commands is run as it stands, from top to bottom."""

import itertools
import re
import subprocess
from pathlib import Path

import pytest
from helpers import FILES, GRPC, HTTP
from pages import examples
from program import ENVIRONMENT, run
from pymilvus import MilvusClient

BLOCKS = [example.command for example in examples("cli.md")]
COLLECTION = "demo_books"
keys = itertools.count(1_000_000)

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def demo():
    """The collection that the page speaks of."""
    done = run("demo", "--endpoint", GRPC, "--http", HTTP, "--flushes", 3, "--rows", 100)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def small_segments(demo):
    """Two small segments more, so that there is something to compact."""
    client = MilvusClient(uri=f"http://{GRPC}")
    for _ in range(2):
        client.insert(COLLECTION, [{"id": next(keys), "title": "new", "vector": [0.5] * 8} for _ in range(10)])
        client.flush(COLLECTION)
    client.close()


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0][:60] for block in BLOCKS])
def test_the_example_works(block, small_segments, tmp_path):
    environment = {**ENVIRONMENT, "STORE": FILES, "DATA": str(Path(FILES).parent)}
    done = subprocess.run(["sh", "-eu", "-c", block], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
    assert done.stdout, block


def test_every_command_has_an_example():
    offered = re.findall(r"^  ([a-z]+) ", run("--help").stdout.split("Options:")[0], re.MULTILINE)
    assert len(offered) > 10, offered
    # These have pages of their own, or need no example.
    missing = set(offered) - {"help", "serve", "demo", "healthcheck"} - set(
        re.findall(r"datacoord ([a-z]+)", "\n".join(BLOCKS)))
    assert not missing, f"docs/cli.md has no example of {sorted(missing)}"

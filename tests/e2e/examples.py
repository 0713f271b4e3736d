"""The programs of examples/ against a server: each must end well and say what it did."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import GRPC, HTTP
from pymilvus import MilvusClient

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROGRAMS = Path(os.environ["E2E_PROGRAMS"])
COLLECTION = "example_books"  # compact.py makes it, so its test is the first
keys = itertools.count(5000)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def small_segments():
    """Two small segments more, so that there is something to compact."""
    client = MilvusClient(uri=f"http://{GRPC}")
    for _ in range(2):
        client.insert(COLLECTION, [{"id": next(keys), "vector": [0.5] * 8} for _ in range(10)])
        client.flush(COLLECTION)
    client.close()


def test_python():
    output = run(sys.executable, EXAMPLES / "compact.py", GRPC)
    assert "8 segments became" in output and "1500 rows are left" in output, output


def test_rust(datacoord, small_segments):
    program = PROGRAMS / "examples" / "compact"
    assert program.exists(), f"{program} is missing: cargo build --example compact"
    output = run(program, GRPC, COLLECTION)
    assert "would compact 3 segments, 1520 rows" in output, output
    assert "JOB_STATE_COMPLETED" in output and "Flushed, 1520 rows" in output, output


def test_shell(datacoord, small_segments):
    output = run(EXAMPLES / "compact.sh", HTTP, COLLECTION, GRPC)
    assert "completed; its plans:" in output and 'outcome="completed"' in output, output
    assert '"rows": "1540"' in output, output

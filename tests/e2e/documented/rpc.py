"""docs/rpc.md: its examples, and that it has one of every call that the server lists."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from helpers import GRPC
from pages import examples
from reader import Reader

GRPCURL = Path(os.environ.get("E2E_GRPCURL", "grpcurl"))
EXAMPLES = examples("rpc.md")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader(tmp_path_factory.mktemp("rpc"), programs=[GRPCURL.parent])


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_example_works(example, reader):
    reader.try_out(example)


def listed(*service):
    done = subprocess.run([GRPCURL, "-plaintext", GRPC, "list", *service], check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_every_call_has_an_example():
    commands = "\n".join(example.command for example in EXAMPLES)
    shown = {call.replace("/", ".") for call in re.findall(r"\$GRPC ([\w.]+/\w+)", commands)}
    # grpcurl asks by reflection.
    if re.search(r"\$GRPC (list|describe)", commands):
        shown.add("grpc.reflection.v1.ServerReflection.ServerReflectionInfo")
    served = {method for service in listed() for method in listed(service)}
    assert len(served) > 90, served
    assert not served - shown, f"docs/rpc.md has no example of {sorted(served - shown)}"
    assert not shown - served, f"docs/rpc.md has calls that are not served: {sorted(shown - served)}"

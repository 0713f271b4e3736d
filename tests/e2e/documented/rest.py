"""docs/rest.md: its examples, and that it has one of every route."""

import re
import subprocess

import pytest
from helpers import HTTP
from pages import DOCS, examples
from reader import Reader

EXAMPLES = examples("rest.md")
SOURCE = DOCS.parent / "src" / "http" / "paths.rs"
PATH = re.compile(r'const \w+: &str =\s+"(/[^"]*)";$', re.MULTILINE)
# The files of the page have no section of their own.
ROUTES = [path for path in PATH.findall(SOURCE.read_text()) if not path.startswith("/page/")]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader(tmp_path_factory.mktemp("rest"))


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_example_works(example, reader):
    reader.try_out(example)


def test_every_route_has_an_example():
    assert len(ROUTES) > 45, ROUTES
    commands = "\n".join(example.command for example in EXAMPLES if not example.refused)
    shown = set(re.findall(r"\$HTTP(/[\w/]*)", commands))
    assert not set(ROUTES) - shown, f"docs/rest.md has no example of {sorted(set(ROUTES) - shown)}"
    assert not shown - set(ROUTES), f"docs/rest.md has routes that are not served: {sorted(shown - set(ROUTES))}"


def test_every_route_was_answered():
    """After the examples, by the count of the server itself: an example may show a route that it does not reach."""
    command = ["curl", "-sS", f"http://{HTTP}/metrics"]
    metrics = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    count = re.compile(r'^datacoord_http_requests_total\{code="200",route="([^"]*)"\} [1-9]', re.MULTILINE)
    missing = set(ROUTES) - set(count.findall(metrics))
    assert not missing, f"no example was answered by {sorted(missing)}"

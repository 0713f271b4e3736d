"""The pages that a newcomer follows literally: every block of shell commands and of Python, from top to bottom."""

import re
import subprocess
from pathlib import Path

import pytest
from helpers import GRPC, HTTP
from program import ENVIRONMENT

DOCS = Path(__file__).resolve().parents[3] / "docs"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""Blocks marked `sh install` are for a machine that has nothing yet."""

pytestmark = pytest.mark.filterwarnings("ignore")


def shell(block, folder):
    done = subprocess.run(["sh", "-eu", "-c", block], cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
    assert done.stdout, block


# In the order in which they build on each other.
@pytest.mark.parametrize("page", ["quickstart", "migrating", "tour"])
def test_the_page_can_be_followed(page, tmp_path):
    blocks = BLOCK.findall((DOCS / f"{page}.md").read_text())
    assert blocks, page
    names = {}
    for language, block in blocks:
        # The server of a test listens on other ports.
        block = block.replace("127.0.0.1:19530", GRPC).replace("127.0.0.1:9091", HTTP)
        if language == "python":
            exec(compile(block, f"{page}.md", "exec"), names)
        else:
            shell(block, tmp_path)

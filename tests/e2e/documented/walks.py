"""The pages that a newcomer follows literally: every block of shell commands and of Python, from top to bottom."""

import subprocess

import pytest
from helpers import GRPC, HTTP
from pages import blocks
from program import ENVIRONMENT

pytestmark = pytest.mark.filterwarnings("ignore")


def shell(block, folder):
    done = subprocess.run(["sh", "-eu", "-c", block], cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
    assert done.stdout, block


# In the order in which they build on each other.
@pytest.mark.parametrize("page", ["quickstart", "migrating", "tour"])
def test_the_page_can_be_followed(page, tmp_path):
    # A block with the title `install` is for a machine that has nothing yet.
    followed = [block for block in blocks(f"{page}.md") if block.language in ("sh", "python") and block.title != "install"]
    assert followed, page
    names = {}
    for block in followed:
        # The server of a test listens on other ports.
        text = block.text.replace("127.0.0.1:19530", GRPC).replace("127.0.0.1:9091", HTTP)
        if block.language == "python":
            exec(compile(text, f"{page}.md", "exec"), names)
        else:
            shell(text, tmp_path)

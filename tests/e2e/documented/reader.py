"""Reads a page of the documentation as a person does who tries its examples: from top to bottom, in one shell."""

import os
import subprocess

from helpers import GRPC, HTTP
from pages import difference, documents, error, missing_lines

SECONDS = 60
"""Longest time of one example."""

# Variables of an example are those of the examples after it.
KEEPING = "set -a\n[ ! -e {kept} ] || . {kept}\n{command}\nexport -p > {kept}\n"


class Reader:
    def __init__(self, folder, programs=()):
        """Works in a folder; `programs` are folders of programs that the page calls."""
        self.folder = folder
        path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
        self.environment = {**os.environ, "HTTP": HTTP, "GRPC": GRPC, "PATH": path}

    def run(self, command):
        script = KEEPING.format(kept=self.folder / ".variables", command=command)
        return subprocess.run(["sh", "-eu", "-c", script], cwd=self.folder, env=self.environment, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def try_out(self, example):
        """Requires that an example has the outcome that the page shows."""
        done = self.run(example.command)
        told = f"{example.command}\n{done.stdout}"
        answers = documents(done.stdout)
        errors = [answer for answer in answers if error(answer)]
        is_unrouted = "404 page not found" in done.stdout
        if example.refused:
            assert done.returncode != 0 or errors or is_unrouted, f"was not refused:\n{told}"
        else:
            assert done.returncode == 0 and not errors and not is_unrouted, f"failed with {done.returncode}:\n{told}"
        if example.language == "json":
            shown = documents(example.shown)
            assert shown, f"the page shows no JSON:\n{example.shown}"
            differs = difference(shown, answers)
            assert differs is None, f"{differs}\n{told}"
        elif example.language == "text":
            missing = missing_lines(example.shown, done.stdout)
            assert not missing, f"not answered: {missing}\n{told}"

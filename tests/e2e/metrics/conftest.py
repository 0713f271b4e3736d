"""A real Prometheus beside the server: promtool for the files, and a server that reads ours."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from helpers import HTTP, wait_until

PROGRAMS = Path(os.environ["E2E_PROMETHEUS"])
DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
STOP_SECONDS = 10


def promtool(*arguments, stdin=None, cwd=None):
    """-> the ended process, with output and errors as text"""
    return subprocess.run([PROGRAMS / "promtool", *map(str, arguments)], input=stdin, cwd=cwd, capture_output=True,
                          text=True, timeout=60)


def scrape():
    """-> the metrics of the server, as Prometheus reads them"""
    with urllib.request.urlopen(f"http://{HTTP}/metrics", timeout=10) as answer:
        return answer.read().decode()


class Prometheus:
    """A Prometheus that reads the server every second, with the rules of the project."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"

    def __enter__(self):
        settings = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
        (self.folder / "rules.yml").write_text((DEPLOY / "prometheus" / "rules.yml").read_text())
        settings, changed = re.subn("datacoord:9091", HTTP, settings)
        assert changed == 1
        (self.folder / "prometheus.yml").write_text(re.sub(r"(_interval): \d+s", r"\1: 1s", settings))
        self.log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen(
            [PROGRAMS / "prometheus", f"--config.file={self.folder / 'prometheus.yml'}",
             f"--storage.tsdb.path={self.folder / 'data'}", f"--web.listen-address={self.address}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *why):
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        self.process.kill()
        self.process.wait()
        self.log.close()

    def ask(self, path, **parameters):
        """-> the member `data` of an answer of its API"""
        assert self.process.poll() is None, (self.folder / "log").read_text()
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, expression):
        """-> the series of an expression at this moment"""
        return self.ask("query", query=expression)["result"]

    def value(self, expression):
        """-> the one value of an expression; none if it has no series"""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def is_ready(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=10):
            return True


@pytest.fixture
def prometheus(tmp_path):
    """Has read the server at least once."""
    with Prometheus(tmp_path) as running:
        wait_until("Prometheus answers", running.is_ready)
        wait_until("Prometheus has read the metrics", lambda: running.value('up{job="datacoord"}') == 1)
        yield running

#!/usr/bin/env python3
"""Measures datacoord over gRPC and, with --stock, real Milvus 2.3.5 in the same run; prints one table with ratios.

    tools/bench.py                    datacoord alone, all cases
    tools/bench.py --stock            both (installs the milvus==2.3.5 package into .envs/)
    tools/bench.py --case flush ...   some cases only
    tools/bench.py --json FILE        the figures also as JSON, e.g. for tools/plot.py; figures of the same commit that
                                      are in FILE stay, so that a long run can be done case by case
    tools/bench.py --table FILE       measures nothing, prints the tables of such a file

docs/benchmarks.md explains each figure. Every case has a server of its own, so that its peak memory is its own. The
load generator is benches/server; it shares the machine with the server it measures. Quote the ratios of one run:
machines differ, and one machine differs from hour to hour.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
# Environments are shared with tests/e2e/run.py, and so are the versions in them.
PINS = REPO / "tests" / "e2e"
# Cases of both servers. The other cases look for cliffs in datacoord alone.
COMPARED = ["flush", "compact-small", "state", "insert", "pymilvus", "compact-large", "compact-clean"]
ORDER = [*COMPARED, "flush-large", "control", "query", "collections", "shapes", "growth"]
# Measured through pymilvus itself instead of the load generator.
PYMILVUS = "pymilvus"
# The merge alone, without gRPC, beside one written by hand with pyarrow.
MERGE = "merge"
# Calls of datacoord's own service.
CONTROL = "control"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def build():
    subprocess.run(["cargo", "build", "--release", "--bin", "datacoord"], cwd=REPO, check=True)
    out = subprocess.run(
        ["cargo", "bench", "--bench", "server", "--no-run"], cwd=REPO, check=True, capture_output=True, text=True
    )
    return REPO / re.search(r"Executable .*\((.*)\)", out.stderr).group(1)


class Datacoord:
    label = "datacoord"

    def __init__(self, scratch):
        ready = scratch / "ready.json"
        self.process = subprocess.Popen(
            [REPO / "target/release/datacoord", "serve", "--data-dir", scratch / "data", "--ready-file", ready,
             "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"],
            stdout=open(scratch / "log", "w"), stderr=subprocess.STDOUT)
        while not ready.exists():
            if self.process.poll() is not None:
                sys.exit((scratch / "log").read_text())
            time.sleep(0.01)
        self.endpoint = json.loads(ready.read_text())["grpc"]
        self.pid = self.process.pid

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


class Stock:
    label = "milvus-2.3.5"

    def __init__(self, scratch):
        server = python_env("milvus-2.3.5", "-r", PINS / "stock" / "requirements-milvus-2.3.5.txt").parent / "milvus-server"
        port = free_port()
        self.process = subprocess.Popen(
            [server, "--data", scratch / "data", "--proxy-port", str(port)],
            stdout=open(scratch / "log", "w"), stderr=subprocess.STDOUT, start_new_session=True)
        self.endpoint = f"127.0.0.1:{port}"
        self.pid = None
        while self.pid is None:
            if self.process.poll() is not None:
                sys.exit((scratch / "log").read_text())
            self.pid = self.server_pid()
            time.sleep(0.1)

    def server_pid(self):
        """The package starts the server proper as a child."""
        listing = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(self.process.pid)],
                                 capture_output=True, text=True).stdout
        for line in listing.splitlines():
            pid, name = line.split(None, 1)
            if name.startswith("milvus"):
                return int(pid)
        return None

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)
        # The server proper may outlive the program that started it, and would run beside the next measurement.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def python_env(name, *packages):
    """The interpreter of an environment with these packages, which is made if need be."""
    env = REPO / ".envs" / name
    if not (env / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", env], check=True)
        subprocess.run([env / "bin" / "pip", "install", "-q", *packages], check=True)
    return env / "bin" / "python"


def pymilvus():
    return python_env("pymilvus-2.3.7", "-r", PINS / "python" / "requirements-2.3.7.txt")


def revision():
    """The commit that is measured; "+" after it: with changes."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(command, cwd=REPO, check=True, capture_output=True, text=True).stdout.strip()


def measure(kind, bench, cases):
    figures = {}
    for case in cases:
        # On the repository's own disk: a temporary directory may be memory, where a sync costs nothing.
        with tempfile.TemporaryDirectory(dir=REPO / "target", ignore_cleanup_errors=True) as scratch:
            server = kind(Path(scratch))
            try:
                command = [bench, "--endpoint", server.endpoint, "--pid", str(server.pid), "--label", kind.label,
                           "--case", case]
                if case == PYMILVUS:
                    command = [pymilvus(), REPO / "tools" / "pymilvus_insert.py", server.endpoint]
                with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
                    for line in run.stdout:
                        figure = json.loads(line)
                        figures[figure["figure"]] = (figure["value"], figure["unit"])
                        print(f"{kind.label:14} {figure['figure']:52} {figure['value']:12} {figure['unit']}", flush=True)
                if run.returncode != 0:
                    sys.exit(f"{kind.label}: the load generator failed")
            finally:
                server.stop()
    return figures


def merge():
    peer = python_env("peer", "pyarrow")
    with tempfile.TemporaryDirectory(dir=REPO / "target") as files:
        subprocess.run(["cargo", "bench", "-q", "--bench", "merge", "--", "128", files], cwd=REPO, check=True)
        subprocess.run([peer, REPO / "tools" / "peer_merge.py", files], check=True)


def table(measured):
    """Markdown: the figures of both servers with their ratios, then the figures of datacoord alone."""
    ours, theirs = measured["datacoord"], measured["milvus-2.3.5"]
    lines = [f"of commit {measured['commit']}"]
    if theirs:
        lines += ["", "| figure | datacoord | Milvus 2.3.5 | better by |", "|---|---|---|---|"]
        for figure, (value, unit) in ours.items():
            if figure in theirs:
                other = theirs[figure][0]
                more, less = (value, other) if unit.endswith("/s") else (other, value)
                ratio = f"{more / less:.1f}×" if less > 0 else "–"
                lines.append(f"| {figure} | {value:g} {unit} | {other:g} {unit} | {ratio} |")
    lines += ["", "| figure | datacoord |", "|---|---|"]
    lines += [f"| {figure} | {value:g} {unit} |" for figure, (value, unit) in ours.items() if figure not in theirs]
    return "\n".join(lines)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--stock", action="store_true")
    arguments.add_argument("--case", action="append", choices=[*ORDER, MERGE])
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--table", type=Path)
    options = arguments.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text())))
        return
    if not options.case or MERGE in options.case:
        merge()
    cases = [case for case in options.case or ORDER if case != MERGE]
    if not cases:
        return
    bench = build()
    measured = {"commit": revision(), "datacoord": measure(Datacoord, bench, cases), "milvus-2.3.5": {}}
    if options.stock:
        compared = [case for case in cases if case in COMPARED or (options.case and case != CONTROL)]
        measured["milvus-2.3.5"] = measure(Stock, bench, compared)
    if options.json:
        before = json.loads(options.json.read_text()) if options.json.exists() else {}
        if before.get("commit") == measured["commit"]:
            for server in ("datacoord", "milvus-2.3.5"):
                measured[server] = before[server] | measured[server]
        options.json.write_text(json.dumps(measured, indent=1))
    print("\n" + table(measured))


if __name__ == "__main__":
    main()

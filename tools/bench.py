#!/usr/bin/env python3
"""Measures datacoord over gRPC and, with --stock, real Milvus 2.3.5 in the same run; prints one table with ratios.

    tools/bench.py                    datacoord alone, all cases
    tools/bench.py --stock            both (installs the milvus==2.3.5 package into .envs/stock)
    tools/bench.py --case flush ...   some cases only
    tools/bench.py --json FILE        the figures also as JSON, e.g. for tools/plot.py

Every case has a server of its own, so that its peak memory is its own. The load generator is benches/server; it shares
the machine with the server it measures. Quote the ratios of one run: machines differ, and one machine differs from hour
to hour.
"""

import argparse
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
# What stock Milvus is measured with too; the rest looks for cliffs in ours.
COMPARED = ["flush", "compact-small", "state", "insert", "compact-large", "compact-clean"]
ORDER = [*COMPARED, "shapes", "growth"]


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
        env = REPO / ".envs" / "stock"
        server = env / "bin" / "milvus-server"
        if not server.exists():
            subprocess.run([sys.executable, "-m", "venv", env], check=True)
            subprocess.run([env / "bin" / "pip", "install", "-q", "milvus==2.3.5", "setuptools<70"], check=True)
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


def measure(kind, bench, cases):
    figures = {}
    for case in cases:
        # On the repository's own disk: a temporary directory may be memory, where a sync costs nothing.
        with tempfile.TemporaryDirectory(dir=REPO / "target", ignore_cleanup_errors=True) as scratch:
            server = kind(Path(scratch))
            try:
                command = [bench, "--endpoint", server.endpoint, "--pid", str(server.pid), "--label", kind.label,
                           "--case", case]
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


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--stock", action="store_true")
    arguments.add_argument("--case", action="append", choices=ORDER)
    arguments.add_argument("--json", type=Path)
    options = arguments.parse_args()
    bench = build()
    cases = options.case or ORDER
    ours = measure(Datacoord, bench, cases)
    compared = [case for case in cases if case in COMPARED or options.case]
    theirs = measure(Stock, bench, compared) if options.stock else {}
    if options.json:
        options.json.write_text(json.dumps({"datacoord": ours, "milvus-2.3.5": theirs}, indent=1))
    print("\n| figure | datacoord | Milvus 2.3.5 | better by |\n|---|---|---|---|")
    for figure, (value, unit) in ours.items():
        other = theirs.get(figure)
        if other is None:
            print(f"| {figure} | {value:g} {unit} | – | – |")
            continue
        more_is_better = unit.endswith("/s")
        ratio = value / other[0] if more_is_better else other[0] / value
        print(f"| {figure} | {value:g} {unit} | {other[0]:g} {unit} | {ratio:.1f}× |")


if __name__ == "__main__":
    main()

"""The real Milvus 2.3.5 on a free port, as its own package starts it."""

import contextlib
import os
import signal
import socket
import subprocess
import time

import grpc
from pymilvus.grpc_gen import milvus_pb2 as pb
from pymilvus.grpc_gen import milvus_pb2_grpc

START_SECONDS = 150
STOP_SECONDS = 30


@contextlib.contextmanager
def stock_server(program, folder):
    """Runs the program `milvus-server` over a fresh folder. -> (port, the directory of its files)"""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen([program, "--data", folder / "data", "--proxy-port", str(port)],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                  start_new_session=True)
    try:
        wait_healthy(server, port, folder / "log")
        yield port, folder / "data"
    finally:
        end(server)


def wait_healthy(server, port, log):
    """Waits until the real server says that it is healthy, which takes some 20 s."""
    deadline = time.monotonic() + START_SECONDS
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = milvus_pb2_grpc.MilvusServiceStub(channel)
        while True:
            assert server.poll() is None, log.read_text()
            with contextlib.suppress(grpc.RpcError):
                if stub.CheckHealth(pb.CheckHealthRequest(), timeout=5).isHealthy:
                    return
            assert time.monotonic() < deadline, f"not healthy after {START_SECONDS} s\n{log.read_text()}"
            time.sleep(0.5)


def end(server):
    """The package starts the server proper as a child, which outlives it: all of the group has to be gone."""
    deadline = time.monotonic() + STOP_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            server.poll()
            os.killpg(server.pid, 0)
            time.sleep(0.1)
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()

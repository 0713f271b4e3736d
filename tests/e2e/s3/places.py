"""Real S3 servers, each as a process on a free port of this machine with its data in a folder."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

KEY, SECRET = "a-key-of-tests", "a-secret-of-tests"
SECONDS = 60
"""Longest time until a server answers."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(kind, port, folder, key, secret):
    """-> the command of a server, and its variables"""
    program = os.environ.get("E2E_S3_PROGRAM", "")
    address = f"127.0.0.1:{port}"
    if kind == "moto":
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], {}
    if kind == "minio":
        return ([program, "server", "--quiet", "--address", address, folder],
                {"MINIO_ROOT_USER": key, "MINIO_ROOT_PASSWORD": secret, "MINIO_BROWSER": "off", "HOME": str(folder)})
    assert kind == "versitygw", kind
    return [program, "--port", address, "--access", key, "--secret", secret, "posix", folder], {}


class Place:
    """A running S3 server."""

    def __init__(self, kind, folder, credentials=(KEY, SECRET)):
        port = free_port()
        self.endpoint = f"127.0.0.1:{port}"
        self.log = Path(folder) / "s3.log"
        data = Path(folder) / "s3"
        data.mkdir()
        line, variables = command(kind, port, data, *credentials)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(list(map(str, line)), env={**os.environ, **variables},
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        self.client = boto3.client("s3", endpoint_url=f"http://{self.endpoint}", aws_access_key_id=credentials[0],
                                   aws_secret_access_key=credentials[1], region_name="us-east-1",
                                   config=Config(s3={"addressing_style": "path"}))

    def wait_ready(self):
        deadline = time.monotonic() + SECONDS
        while True:
            assert self.process.poll() is None, f"the S3 server ended\n{self.log.read_text(errors='replace')}"
            try:
                urllib.request.urlopen(f"http://{self.endpoint}/", timeout=5).close()
                return
            except urllib.error.HTTPError:
                return  # it answers
            except OSError:
                assert time.monotonic() < deadline, self.log.read_text(errors="replace")
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def buckets(self):
        return {bucket["Name"] for bucket in self.client.list_buckets()["Buckets"]}

    def objects(self, bucket, prefix=""):
        """-> {name: bytes of size} of all objects"""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}

    def download(self, bucket, prefix, folder):
        for name in self.objects(bucket, prefix):
            target = Path(folder) / name.removeprefix(prefix).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            self.client.download_file(bucket, name, str(target))

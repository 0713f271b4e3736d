"""Shared by every Python suite: the connection, and collections that are gone when their test ends."""

import itertools
import os

import pytest
from helpers import GRPC, TOKEN, drop_collection, is_datacoord
from pymilvus import connections


@pytest.fixture(scope="session", autouse=True)
def connection():
    """The ORM's default connection. A suite over TLS makes its own."""
    if GRPC is None or "E2E_TLS" in os.environ:
        yield
        return
    host, port = GRPC.split(":")
    user, _, password = TOKEN.partition(":")
    connections.connect("default", host=host, port=port, user=user, password=password)
    yield
    connections.disconnect("default")


@pytest.fixture
def datacoord():
    """Skips a test of something that stock Milvus 2.3.5 does not have."""
    if not is_datacoord():
        pytest.skip("stock Milvus does not do this")


@pytest.fixture
def book():
    """The name of a collection for this test alone; it may also be created under `book` plus a suffix."""
    name = f"book_{next(counter)}"
    for each in (name, name + "_renamed"):
        drop_collection(each)
    yield name
    for each in (name, name + "_renamed"):
        drop_collection(each)


counter = itertools.count(1)

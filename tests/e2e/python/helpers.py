"""Shared by the Python suites: where the server is, waiting, raw calls, and the rules of every compaction."""

import contextlib
import os
import time

import grpc
import pymilvus
import pytest
from pymilvus import MilvusException
from pymilvus.grpc_gen import common_pb2, milvus_pb2_grpc
from pymilvus.grpc_gen import milvus_pb2 as pb

GRPC = os.environ.get("E2E_GRPC")
HTTP = os.environ.get("E2E_HTTP")
FILES = os.environ.get("E2E_FILES")
TOKEN = os.environ.get("E2E_TOKEN", "")
"""`user:password` of the connection, if the server asks for one."""

VERSION = tuple(int(part) for part in pymilvus.__version__.split(".")[:2])
"""Version of the client, such as (2, 3)."""

SECONDS = 30
"""How long anything the server does in the background may take."""

MANUAL = {"collection.autocompaction.enabled": "false"}
"""Collection properties under which only requests of a test compact."""

_stub = None


def raw():
    """The service without pymilvus' checks, retries and error translation."""
    global _stub
    if _stub is None:
        channel = grpc.insecure_channel(GRPC, options=[("grpc.max_send_message_length", -1)])
        _stub = milvus_pb2_grpc.MilvusServiceStub(channel)
    return _stub


def is_datacoord():
    return "datacoord" in raw().GetVersion(pb.GetVersionRequest()).version


def drop_collection(name):
    """Drops a collection and its aliases, if there is one."""
    described = raw().DescribeCollection(pb.DescribeCollectionRequest(collection_name=name))
    for alias in described.aliases:
        raw().DropAlias(pb.DropAliasRequest(alias=alias))
    status = raw().DropCollection(pb.DropCollectionRequest(collection_name=name))
    assert status.code == 0, status


def wait_until(what, holds):
    """Polls until `holds()` is true and returns what it returned."""
    deadline = time.monotonic() + SECONDS
    while True:
        answer = holds()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not after {SECONDS} s: {what}"
        time.sleep(0.05)


def vectors(keys, dim):
    """One vector per key, exactly representable as float32 so that it can be compared with ==."""
    return [[(key * 31 + place * 7) % 1000 / 8 for place in range(dim)] for key in keys]


@contextlib.contextmanager
def refused(code, *phrases):
    """Requires a MilvusException with this code whose text has these phrases."""
    with pytest.raises(MilvusException) as caught:
        yield
    assert caught.value.code == code, caught.value
    check_phrases(caught.value.message, phrases)


def check_phrases(text, phrases):
    for phrase in phrases:
        assert phrase.lower() in text.lower(), f"{phrase!r} is not in {text!r}"


def segments(name):
    """Flushed segments of a collection: {segment id: rows}."""
    answer = raw().GetPersistentSegmentInfo(pb.GetPersistentSegmentInfoRequest(collectionName=name))
    assert answer.status.code == 0, answer.status
    return {info.segmentID: info.num_rows for info in answer.infos}


def wait_indexed(name):
    """Stock Milvus compacts only segments whose index is finished, and starts to build some time after a flush."""
    if is_datacoord():
        return

    def finished():
        answer = raw().DescribeIndex(pb.DescribeIndexRequest(collection_name=name))
        assert answer.status.code == 0, answer.status
        rows = sum(segments(name).values())
        return all(index.state == common_pb2.Finished and index.pending_index_rows == 0
                   and index.indexed_rows >= rows for index in answer.index_descriptions)

    wait_until(f"index of {name} is finished", finished)


def own_plans(plans, before):
    """Stock Milvus reads a compaction by name as one of every collection it has: leaves out the plans of others."""
    if is_datacoord():
        return plans
    return [plan for plan in plans if set(plan.sources) & set(before)]


def check_plans(plans, before, after):
    """The plans took every segment there was, once, and made segments that are there now."""
    sources = [source for plan in plans for source in plan.sources]
    assert sorted(sources) == sorted(before), f"sources {sources} are not the segments before, {before}"
    for plan in plans:
        assert plan.target in after, f"target {plan.target} is no live segment of {after}"
    assert not set(sources) & set(after), "a source is still live"

"""Backups of a running server, and servers that start over restored ones."""

import json
import shutil
import sys
import threading
from pathlib import Path

import pytest
from helpers import FILES, GRPC, MANUAL, drop_collection
from program import PROGRAM, answer, fails, run, text
from pymilvus import MilvusClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from run import Server  # noqa: E402

DIM = 4

pytestmark = pytest.mark.filterwarnings("ignore")


def rows(keys):
    return [{"id": key, "vector": [key / 8] * DIM} for key in keys]


def keys(client, name):
    found = client.query(name, filter="id >= 0", output_fields=["id"], consistency_level="Strong", limit=16384)
    return sorted(row["id"] for row in found)


def restored(folder, tmp_path):
    """The server that starts over a restored backup."""
    place = tmp_path / f"restored-{folder.name}"
    place.mkdir()
    verdict = answer("restore", folder, "--data-dir", place / "data")
    assert verdict["restored"] is True and verdict["data_dir"] == str(place / "data")
    return Server(PROGRAM, place, "", 0)


class Writer(threading.Thread):
    """A client that writes the same key to two collections, one after the other, and deletes every fourth one."""

    def __init__(self, names):
        super().__init__()
        self.names, self.written, self.stopping, self.failure = names, 0, threading.Event(), None
        self.progress = threading.Condition()

    def run(self):
        client = MilvusClient(uri=f"http://{GRPC}")
        try:
            while not self.stopping.is_set():
                key = self.written
                for name in self.names:
                    client.insert(name, rows([key]))
                if key % 4 == 0:
                    for name in self.names:
                        client.delete(name, [key])
                with self.progress:
                    self.written += 1
                    self.progress.notify_all()
        except Exception as failure:
            self.failure = failure
        client.close()

    def wait_for(self, written):
        with self.progress:
            assert self.progress.wait_for(lambda: self.failure or self.written >= written, 60), "the writer is stuck"
        assert self.failure is None, self.failure


def possible(first, last):
    """The contents that both collections may have after first to last whole rounds, as a client may see them."""
    for rounds in range(first, last + 1):
        whole = [key for key in range(rounds) if key % 4]
        yield whole, whole
        yield whole + [rounds], whole
        yield whole + [rounds], whole + [rounds]
        if rounds % 4 == 0:
            yield whole, whole + [rounds]


def test_a_backup_among_writes_and_compactions_is_one_moment(tmp_path):
    names = ["backed_up_1", "backed_up_2"]
    client = MilvusClient(uri=f"http://{GRPC}")
    for name in names:
        drop_collection(name)
        client.create_collection(name, dimension=DIM, metric_type="L2", consistency_level="Strong", properties=MANUAL)
    writer = Writer(names)
    writer.start()
    try:
        for number in range(3):
            writer.wait_for(writer.written + 20)
            for name in names:
                client.flush(name)
                text("compact", name, "--quiet")
            before = writer.written
            folder = tmp_path / str(number)
            made = answer("backup", folder)
            after = writer.written
            assert made["segments"] >= 2 and made["objects"] > 0 and made["log_bytes"] > 0, made
            with restored(folder, tmp_path) as server:
                again = MilvusClient(uri=f"http://{server.where['E2E_GRPC']}")
                held = tuple(keys(again, name) for name in names)
                assert held in possible(before, after), (before, after, held)
                # It is a server like any other.
                again.insert(names[0], rows([1_000_000]))
                again.flush(names[0])
                assert keys(again, names[0]) == held[0] + [1_000_000]
                again.close()
    finally:
        writer.stopping.set()
        writer.join()
    assert writer.failure is None, writer.failure
    for name in names:
        assert keys(client, name) == [key for key in range(writer.written) if key % 4], "the original went on"
        drop_collection(name)
    client.close()


def test_damage_is_found(story, tmp_path):
    whole = tmp_path / "whole"
    made = text("backup", whole)
    assert made.startswith("backup of ") and str(whole) in made
    assert text("restore", whole, "--verify").endswith(": OK\n")
    assert not (tmp_path / "data").exists()
    assert text("binlog", "verify", whole / "files").endswith(": OK\n")
    largest = max((whole / "files").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    log = next(path for path in (whole / "log").iterdir())
    for victim in (whole / "catalog", whole / "objects.txt", largest, log):
        for damage in ("flipped", "cut", "missing"):
            bytes_before = victim.read_bytes()
            if not bytes_before:
                continue
            if damage == "flipped":
                victim.write_bytes(bytes_before[:-1] + bytes([bytes_before[-1] ^ 1]))
            elif damage == "cut":
                victim.write_bytes(bytes_before[:-1])
            else:
                victim.unlink()
            error = fails(6, "restore", whole, "--verify")
            assert str(victim) in error, (damage, error)
            fails(6, "restore", whole, "--data-dir", tmp_path / f"data-{victim.name}-{damage}")
            victim.write_bytes(bytes_before)
    assert text("restore", whole, "--verify").endswith(": OK\n")
    manifest = whole / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "format": 2}))
    assert "form 2" in fails(1, "restore", whole, "--verify")
    manifest.unlink()
    assert "no complete backup" in fails(1, "restore", whole, "--verify")


def test_nothing_is_overwritten(story, tmp_path):
    folder = tmp_path / "backup"
    text("backup", folder)
    assert "not empty" in fails(1, "backup", folder)
    used = tmp_path / "used"
    used.mkdir()
    (used / "something").touch()
    assert "not empty" in fails(1, "restore", folder, "--data-dir", used)
    # An empty data directory, beside a store that is somebody's.
    text("restore", folder, "--data-dir", tmp_path / "first")
    store = tmp_path / "first" / "files"
    refused = fails(1, "restore", folder, DATACOORD__DATADIR=str(tmp_path / "second"), LOCALSTORAGE_PATH=str(store))
    assert "localStorage.path" in refused, refused


def test_without_objects_a_copy_of_the_store_is_taken_over(story, tmp_path):
    folder = tmp_path / "backup"
    made = answer("backup", folder, "--without-objects")
    assert made["with_objects"] is False and made["objects"] > 0 and not (folder / "files").exists()
    place = tmp_path / "place"
    place.mkdir()
    text("restore", folder, "--data-dir", place / "data")
    shutil.copytree(FILES, place / "data" / "files")
    refused = run("serve", "--data-dir", place / "data", "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
    assert refused.returncode == 1 and "--take-over " in refused.stderr, refused.stderr
    run_name = refused.stderr.split("--take-over ")[1].split()[0].rstrip(".,'\"")
    with Server(PROGRAM, place, f"datacoord.storage.takeOver: {run_name}\n", 0) as server:
        client = MilvusClient(uri=f"http://{server.where['E2E_GRPC']}")
        assert keys(client, story.name) == story.expected
        client.close()

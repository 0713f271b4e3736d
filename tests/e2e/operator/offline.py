"""Commands without a server, or beside one that they find: files, configuration, doctor, completions, manual pages."""

import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from helpers import FILES, GRPC
from program import ENVIRONMENT, PROGRAM, answer, fails, run, text

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "milvus-2.3.5"
DATA = Path(FILES).parent
"""The data directory of the server."""

pytestmark = pytest.mark.filterwarnings("ignore")


def test_files_of_a_running_server_are_shown_and_verified(story):
    logs = Path(FILES) / "insert_log" / str(story.collection_id)
    files = answer("binlog", "show", logs)["files"]
    keys = [file for file in files if file["field_id"] == 100]
    assert sorted(int(file["segment_id"]) for file in keys) == sorted(story.before)
    assert all((file["rows"], file["data_type"], file["damage"]) == (400, "Int64", None) for file in keys)
    vectors = [file for file in files if file["data_type"] == "FloatVector"]
    assert len(vectors) == 3 and all(file["dim"] == 8 for file in vectors)
    deletes = answer("binlog", "show", Path(FILES) / "delta_log" / str(story.collection_id))["files"]
    assert sum(file["rows"] for file in deletes) == 120
    verdict = answer("binlog", "verify", logs)
    assert verdict["logs"] == len(files) and verdict["damaged"] == 0
    assert text("binlog", "verify", logs).endswith(": OK\n")
    assert "FloatVector(8)" in text("binlog", "show", logs)


def test_damage_in_a_file_of_milvus_has_its_exit_code(tmp_path):
    store = tmp_path / "store"
    shutil.copytree(GOLDEN / "b_varchar" / "before" / "store", store)
    assert answer("binlog", "verify", store)["damaged"] == 0
    broken = max((store / "insert_log").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    broken.write_bytes(broken.read_bytes()[:-5])
    done = run("binlog", "verify", store, "--json")
    assert done.returncode == 6, done.stderr
    verdict = json.loads(done.stdout)
    assert [file["path"] for file in verdict["damaged_files"]] == [str(broken)]
    assert f"damaged: {broken}: " in run("binlog", "verify", broken).stdout
    assert run("binlog", "show", broken).returncode == 6
    fails(4, "binlog", "verify", GOLDEN / "b_varchar" / "before" / "manifest.json")
    assert "No such file" in fails(1, "binlog", "show", tmp_path / "missing")


def test_doctor_beside_a_running_server():
    found = {check["name"]: check for check in answer("doctor", "--data-dir", DATA)["checks"]}
    expected = {"configuration", "data directory", "disk", "object store", "version", "health", "clock", "garbage"}
    assert set(found) == expected
    assert {check["verdict"] for name, check in found.items() if name != "disk"} == {"ok"}, found
    assert not [path for path in Path(FILES).rglob("datacoord-doctor-*")], "its object is gone"
    lines = text("doctor", "--data-dir", DATA).splitlines()
    assert any(line.startswith("ok        object store    an object was written, read and deleted in ") for line in lines)


def test_doctor_finds_what_is_wrong(tmp_path):
    # Bound and not listening: nobody answers, and nobody else can have the port.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        environment = {"DATACOORD_ENDPOINT": "", "DATACOORD__GRPC__ADDRESS": "127.0.0.1",
                       "PROXY_PORT": str(taken.getsockname()[1]), "COMMON_METRICSPORT": "0"}
        done = run("doctor", "--data-dir", tmp_path / "data", "--json", **environment)
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 6
    assert [name for name, check in found.items() if check["verdict"] == "problem"] == ["gRPC port"]
    assert "--grpc-listen" in found["gRPC port"]["advice"] and found["HTTP port"]["verdict"] == "ok"
    assert found["data directory"]["text"].endswith("is not there yet, and can be made")
    assert not (tmp_path / "data").exists()
    nowhere = run("doctor", "--data-dir", tmp_path / "data", "--endpoint", "127.0.0.1:1", "--json")
    problems = [check for check in json.loads(nowhere.stdout)["checks"] if check["verdict"] == "problem"]
    assert nowhere.returncode == 6 and [check["name"] for check in problems] == ["server"]
    config = tmp_path / "milvus.yaml"
    config.write_text("datacoord: {gc: {often: 1}}\n")
    wrong = run("doctor", "--config", config, "--json")
    assert wrong.returncode == 6 and json.loads(wrong.stdout)["checks"][0]["name"] == "configuration"


def test_config_is_shown_and_checked(tmp_path):
    settings = {each["key"]: each for each in answer("config", PROXY_PORT="1234")["settings"]}
    assert settings["proxy.port"] == {"key": "proxy.port", "value": "1234", "origin": "environment"}
    assert settings["minio.secretAccessKey"]["value"] not in ("minioadmin", '"minioadmin"')
    assert text("config") == text("config", "show")
    checked = answer("config", "check", "--log-level", "debug", PROXY_PORT="1234")
    nothing = {"ignored": [], "misspelt": [], "without_effect": [], "unknown": [], "warnings": []}
    assert checked == {"set": 2, **nothing}
    file = tmp_path / "milvus.yaml"
    file.write_text("dataCoord: {segment: {maxSzie: 512}}\netcd: {rootPath: by-dev}\n")
    people = text("config", "check", "--config", file)
    assert "key dataCoord.segment.maxSzie means nothing here: is it meant to be dataCoord.segment.maxSize?" in people
    assert people.endswith("OK: 0 keys set, 2 of the file mean nothing here\n")
    file.write_text("dataCoord: {segment: {maxSize: -1}}\n")
    assert "dataCoord.segment.maxSize" in fails(78, "config", "check", "--config", file)
    masked = fails(78, "config", "check", MINIO_SECRETACCESSKEY="****")
    assert "minio.secretAccessKey" in masked and "give the secret itself" in masked
    absent = fails(78, "config", "check", COMMON_SECURITY_TLSMODE="1", TLS_SERVERPEMPATH="/nowhere.pem",
                   TLS_SERVERKEYPATH="/nowhere.key")
    assert "/nowhere.pem" in absent


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_scripts(shell, tmp_path):
    script = text("completions", shell)
    assert "segments" in script and "datacoord" in script
    if shutil.which(shell):
        file = tmp_path / "script"
        file.write_text(script)
        subprocess.run([shell, "-n", file], check=True, timeout=30)


def test_bash_completes_a_command():
    script = text("completions", "bash")
    asked = 'COMP_WORDS=(datacoord seg); COMP_CWORD=1; _datacoord datacoord seg datacoord; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script + asked], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "segments", done.stderr


def test_manual_pages(tmp_path):
    page = text("man")
    assert ".TH datacoord 1" in page and "segments" in page
    run("man", tmp_path / "pages")
    pages = {path.name for path in (tmp_path / "pages").iterdir()}
    assert {"datacoord.1", "datacoord-compact.1", "datacoord-binlog-verify.1"} <= pages


def test_a_running_server_is_found_by_its_data_directory():
    without = {name: value for name, value in ENVIRONMENT.items() if name != "DATACOORD_ENDPOINT"}
    done = subprocess.run([PROGRAM, "status", "--data-dir", DATA], env=without, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and f" at {GRPC}\n" in done.stdout, done.stderr

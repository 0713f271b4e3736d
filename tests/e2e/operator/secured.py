"""The commands against a server with TLS and users: how they log in, and their errors when they may not."""

import os
from pathlib import Path

import pytest
from program import answer, fails, text

CA = str(Path(os.environ["E2E_TLS_FILES"]) / "ca.pem")
ROOT = {"DATACOORD_USER": "root", "DATACOORD_PASSWORD": "Milvus"}

pytestmark = pytest.mark.filterwarnings("ignore")


def test_flags_or_variables_name_authority_and_user(tmp_path):
    by_flags = answer("status", "--ca-file", CA, "--user", "root", DATACOORD_PASSWORD="Milvus")
    assert by_flags["is_healthy"]
    assert answer("throttle", DATACOORD_CA_FILE=CA, **ROOT)["mb_per_second"] == 0
    password = tmp_path / "password"
    password.write_text("Milvus\n")
    assert "nothing is paused" in text("resume", "--everything", "--ca-file", CA, "--user", "root", "--password-file",
                                       password)


def test_a_wrong_or_missing_login_is_told_from_a_missing_server():
    for environment in ({}, {**ROOT, "DATACOORD_PASSWORD": "wrong"}):
        error = fails(7, "jobs", DATACOORD_CA_FILE=CA, **environment)
        assert "--user" in error and "wrong" not in error, error
    assert "--password-file" in fails(1, "jobs", "--ca-file", CA, "--user", "root")
    # Without TLS the port does not answer.
    fails(3, "jobs", **ROOT)
    # An authority that is not the server's.
    stranger = str(Path(CA).with_name("stranger.pem"))
    assert "TLS" in fails(3, "jobs", "--ca-file", stranger, **ROOT)

"""milvus_cli's commands for users, roles and grants, against a server that asks for a user."""

import pytest
from cli import Terminal
from helpers import GRPC, TOKEN

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def terminal():
    terminal = Terminal()
    try:
        assert "Connect Milvus successfully." in terminal.run(f"connect -uri http://{GRPC} -t {TOKEN}")
        yield terminal
    finally:
        terminal.close()


def test_users_and_roles(terminal):
    assert "Create user successfully!" in terminal.run("create user -u cli_user -p secret1")
    assert "cli_user" in terminal.run("list users")
    assert "already exists" in terminal.run("create user -u cli_user -p secret1")
    printed = terminal.ask("update password -u cli_user", ("Old password: ", "secret1"), ("New password: ", "secret2"),
                           ("Confirm new password: ", "secret2"))
    assert "successfully" in printed, printed

    assert "Create role successfully!" in terminal.run("create role -r cli_role")
    assert "cli_role" in terminal.run("list roles")
    terminal.run("grant role -r cli_role -u cli_user")
    assert "cli_role" in terminal.run("show user -u cli_user")
    granted = [("Role name: ", "cli_role"), ("(Global, Collection, User): ", "Collection"),
               ("control access for: ", "books"), ("): ", "Insert"), ("[default]: ", "")]
    printed = terminal.ask("grant privilege", *granted)
    assert "Insert" in printed and "books" in printed, printed
    assert "Insert" in terminal.run("list grants -r cli_role -o books -t Collection")
    assert "Insert on Collection:books" in terminal.run("show role -r cli_role")
    assert "REVOKE" in terminal.run("delete role -r cli_role"), "it has a grant"
    printed = terminal.ask("revoke privilege", *granted)
    assert "Insert" not in printed.rpartition("Privilege")[2], printed

    terminal.run("revoke role -r cli_role -u cli_user")
    assert "cli_role" not in terminal.run("show user -u cli_user").partition("Details")[2]
    terminal.run("delete role -r cli_role")
    assert "cli_role" not in terminal.run("list roles")
    printed = terminal.ask("delete user -u cli_user", ("[y/N]: ", "y"))
    assert "successfully" in printed
    assert "cli_user" not in terminal.run("list users")


def test_a_wrong_password_is_refused():
    terminal = Terminal()
    try:
        assert "Connect Milvus successfully." not in terminal.run(f"connect -uri http://{GRPC} -t root:wrong12")
    finally:
        terminal.close()

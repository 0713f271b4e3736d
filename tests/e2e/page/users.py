"""The page of a server with users: the login, and the buttons of a user who may not press them."""

import pytest
from helpers import GRPC, TOKEN
from pictures import picture
from playwright.sync_api import expect
from pymilvus import MilvusClient

NAME = "guarded"


@pytest.fixture(scope="module")
def server():
    """A collection, and a user without roles."""
    client = MilvusClient(uri=f"http://{GRPC}", token=TOKEN)
    client.create_collection(NAME, dimension=4, metric_type="L2")
    client.insert(NAME, [{"id": key, "vector": [key] * 4} for key in range(100)])
    client.flush(NAME)
    client.create_user("reader", "password1")
    yield client
    client.drop_user("reader")
    client.drop_collection(NAME)
    client.close()


def sign_in(tab, user, password):
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    tab.get_by_label("User").fill(user)
    tab.get_by_label("Password").fill(password)
    tab.get_by_role("button", name="Sign in").click()


def test_a_wrong_password_is_told_and_the_right_one_is_forgotten(opened, server):
    tab = opened()
    expect(tab.get_by_label("User")).to_be_focused()
    picture(tab, "login", "#login")
    sign_in(tab, "root", "wrong")
    expect(tab.get_by_role("alert")).to_contain_text("user hasn't authenticated")
    expect(tab.locator("main")).to_be_hidden()
    assert NAME not in tab.content()
    sign_in(tab, "root", "Milvus")
    expect(tab.get_by_role("button", name="Pause everything")).to_be_visible()
    expect(tab.get_by_role("button", name=f"Compact {NAME}")).to_be_visible()
    expect(tab.locator("#user")).to_have_text("root")
    kept = tab.evaluate("[Object.keys(localStorage).length, Object.keys(sessionStorage).length, document.cookie]")
    assert kept == [0, 0, ""]
    tab.reload()
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    assert opened.refused > 0


def test_a_reader_sees_everything_and_no_button(opened, server):
    tab = opened()
    sign_in(tab, "reader", "password1")
    expect(tab.locator("li.collection")).to_contain_text(NAME)
    tab.locator(".segment").first.click()
    expect(tab.locator("#dialog")).to_contain_text("By itself")
    tab.keyboard.press("Escape")
    for name in ("Pause", "Resume", "Throttle", "Compact", "Cancel", "What pins it?"):
        expect(tab.get_by_role("button", name=name)).to_have_count(0)
    tab.get_by_role("button", name="Sign out").click()
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(tab.locator("main")).to_be_hidden()


def test_a_page_whose_user_is_gone_asks_for_a_login(opened, server):
    server.create_user("passing", "password1")
    tab = opened()
    sign_in(tab, "passing", "password1")
    expect(tab.locator("li.collection")).to_contain_text(NAME)
    server.drop_user("passing")
    expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()

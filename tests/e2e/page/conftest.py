"""The browser, and pages that fail their test for an error of the console or a request to another host."""

import os
from pathlib import Path

import pytest
from helpers import HTTP
from playwright.sync_api import expect, sync_playwright

ADDRESS = f"http://{HTTP}"
FILES = os.environ.get("E2E_PAGE_FILES")
"""Folder of files of the page that stand in for those in the program: a change is tried without a build."""

expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as driver:
        # The sandbox of the browser needs rights that root in a container lacks.
        chromium = driver.chromium.launch(executable_path=os.environ["E2E_CHROMIUM"], args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Opener:
    """Opens pages, and keeps what went wrong in them."""

    def __init__(self, browser):
        self.browser, self.contexts, self.faults, self.refused = browser, [], [], 0

    def __call__(self, scheme="light", width=1180, height=900, motion="no-preference"):
        context = self.browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme,
                                           reduced_motion=motion, device_scale_factor=1, locale="en-GB")
        self.contexts.append(context)
        tab = context.new_page()
        tab.on("console", self.heard)
        tab.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        tab.on("request", self.asked)
        if FILES:
            context.route(lambda url: "/api/" not in url, self.stand_in)
        tab.goto(ADDRESS)
        return tab

    def stand_in(self, route):
        name = route.request.url.rsplit("/", 1)[1] or "index.html"
        route.fulfill(response=route.fetch(), body=(Path(FILES) / name).read_text())

    def heard(self, message):
        # The browser writes a line for each answer 401, which a page that asks for a login gets.
        if message.type in ("error", "warning"):
            if "status of 401" in message.text:
                self.refused += 1
            else:
                self.faults.append(f"console: {message.text}")

    def asked(self, request):
        if not request.url.startswith((ADDRESS + "/", "data:")):
            self.faults.append(f"request: {request.url}")

    def close(self):
        for context in self.contexts:
            context.close()


@pytest.fixture
def opened(browser):
    """Opens the page. At the end there must be no error in any that was opened."""
    opener = Opener(browser)
    yield opener
    opener.close()
    assert opener.faults == []

"""The operator's page in a real browser against a real server: what it shows, live, and what its buttons do."""

import random

import pytest
from helpers import GRPC, MANUAL, drop_collection, segments, wait_until
from pictures import picture
from playwright.sync_api import expect
from program import answer, text
from pymilvus import DataType, MilvusClient

DIM = 128
SIZES = [900, 60, 800, 300, 30, 700, 120, 1000, 45, 420, 250, 20, 600, 550]
"""Rows of the segments that a collection is made of."""
NAMES = iter(("library", "archive", "journals"))


class Books:
    """A collection of segments of many sizes, some of them with deletes. Nothing in it compacts by itself."""

    def __init__(self, name):
        self.name, self.client = name, MilvusClient(uri=f"http://{GRPC}")
        # Without an index, whose builds would be plans too.
        schema = self.client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
        self.client.create_collection(name, schema=schema, properties=MANUAL)
        first = 0
        for at, rows in enumerate(SIZES):
            dice = random.Random(at)
            keys = range(first, first + rows)
            self.client.insert(name, [{"id": key, "vector": [dice.random() for _ in range(DIM)]} for key in keys])
            self.client.flush(name)
            if at % 3 == 0:
                self.client.delete(name, list(keys[:rows * (at + 1) // (len(SIZES) + 2)]))
            first += rows
        self.client.flush(name)

    def drop(self):
        drop_collection(self.name)
        self.client.close()


@pytest.fixture(scope="module")
def shelf():
    """The collection of the tests that only look."""
    books = Books("shelf")
    yield books
    books.drop()


@pytest.fixture
def books():
    """The collection of one test; the throttle and the pauses go with it."""
    books = Books(next(NAMES))
    yield books
    text("throttle", "configured")
    text("resume", "--everything")
    books.drop()


def row(tab, books):
    return tab.locator("li.collection").filter(has_text=books.name)


def confirm(tab, word):
    """Presses the button of the open dialog, which closes it."""
    tab.locator("#dialog").get_by_role("button", name=word, exact=True).click()
    expect(tab.locator("#dialog")).to_be_hidden()


def is_wider(tab):
    return tab.evaluate("document.scrollingElement.scrollWidth > window.innerWidth")


def test_a_server_without_data_says_how_to_make_some(opened):
    tab = opened()
    expect(tab.locator("#verdict-text")).to_have_text("Ready: there is no collection yet.")
    expect(tab.locator("#welcome")).to_be_visible()
    expect(tab.locator("#demo-command")).to_have_text("datacoord demo")
    expect(tab.locator("#collections-card")).to_be_hidden()
    picture(tab, "empty")


def test_segments_are_drawn_and_explained(opened, shelf):
    tab = opened()
    row(tab, shelf).get_by_role("button", name=shelf.name, exact=True).click()
    drawn = tab.locator(".segment")
    expect(drawn).to_have_count(len(SIZES))
    # All are far below the size of a full one, and those with deletes are seen.
    expect(tab.locator(".segment.small")).to_have_count(len(SIZES))
    deleted = drawn.evaluate_all("all => all.filter(each => each.querySelector('.gone').offsetHeight > 0).length")
    assert deleted == len(range(0, len(SIZES), 3))
    # The largest stands first, and higher than the smallest.
    heights = drawn.locator(".fill").evaluate_all("all => all.map(each => each.offsetHeight)")
    assert heights == sorted(heights, reverse=True) and heights[0] > heights[-1] > 0
    count = sum(int(cell) for cell in tab.locator(".map td").all_inner_texts() if cell)
    assert count == len(SIZES), "each segment is in one cell of the table"

    drawn.first.click()
    dialog = tab.locator("#dialog")
    expect(dialog.get_by_role("heading", level=2)).to_contain_text("Segment")
    segment = dialog.get_by_role("heading", level=2).inner_text().split()[-1]
    explained = answer("explain", segment)["explanation"]
    for verdict in (explained["automatic"], explained["on_request"]):
        expect(dialog).to_contain_text(verdict["text"], ignore_case=True)
        expect(dialog).to_contain_text(verdict["remedy"] or "")
    expect(dialog).to_contain_text("Written by a flush, not compacted since")
    picture(tab, "explain", "#dialog")
    tab.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_compaction_is_seen_live_from_its_confirmation_to_its_history(opened, books):
    tab, dark = opened(width=1080, height=1100), opened(scheme="dark", width=1080, height=1100)
    row(tab, books).get_by_role("button", name=books.name, exact=True).click()
    expect(tab.locator(".segment")).to_have_count(len(SIZES))
    # So slow that it can be looked at.
    tab.locator("#set-throttle").click()
    tab.locator("#throttle-field").fill("0.25")
    confirm(tab, "Set")
    assert answer("throttle")["mb_per_second"] == 0.25

    tab.get_by_role("button", name=f"Compact {books.name}").click()
    dialog = tab.locator("#dialog")
    expect(dialog).to_contain_text(f"1 plan over {len(SIZES)} segments: {sum(SIZES):,} rows")
    picture(tab, "confirm", "#dialog")
    confirm(tab, "Compact")
    running = tab.locator("#running .plan")
    expect(running).to_have_count(1)
    expect(running).to_contain_text(f"of {sum(SIZES):,} rows")
    expect(running).to_contain_text("B/s")
    expect(tab.locator("#verdict-text")).to_have_text("Compacting: 1 plan.")
    expect(tab.locator(".segment.busy")).to_have_count(len(SIZES))
    gauge = running.get_by_role("progressbar")
    share = int(gauge.get_attribute("aria-valuenow"))
    expect(gauge).not_to_have_attribute("aria-valuenow", str(share))
    expect(dark.locator("#running .plan")).to_have_count(1)
    picture(tab, "light")
    picture(dark, "dark")

    # As fast as it can, by the page; its end arrives by itself.
    tab.locator("#set-throttle").click()
    tab.locator("#throttle-field").fill("0")
    confirm(tab, "Set")
    expect(running).to_have_count(0)
    newest = tab.locator("#history tbody tr").first
    expect(newest).to_contain_text(books.name)
    expect(newest).to_contain_text("completed")
    expect(tab.locator(".segment")).to_have_count(1)
    expect(row(tab, books)).to_contain_text("1 segment ·")
    expect(tab.locator("#garbage-about")).to_contain_text(f"{len(SIZES)} replaced segments")

    tab.locator(".segment").click()
    expect(dialog.locator(".ancestor")).to_have_count(1 + len(SIZES))
    expect(dialog.locator(".ancestor.self")).to_contain_text("rows")
    picture(tab, "lineage", "#dialog")
    tab.locator("#dialog-close").click()

    newest.get_by_role("button", name="Job").click()
    expect(dialog).to_contain_text(f"{len(SIZES)} segments →")
    tab.keyboard.press("Escape")
    tab.get_by_label("replaced ones too").check()
    expect(tab.locator(".segment.dropped")).to_have_count(len(SIZES))
    tab.get_by_role("button", name="What pins it?").click()
    expect(tab.locator("#garbage tbody tr")).not_to_have_count(0)
    expect(tab.locator("#garbage tbody tr").first).to_contain_text("it is young")


def test_what_is_paused_waits_and_can_be_cancelled(opened, books):
    tab = opened()
    tab.get_by_role("button", name="Pause everything").click()
    confirm(tab, "Pause")
    expect(tab.locator("#verdict-text")).to_have_text("Compaction is paused by the page.")
    job = answer("compact", books.name)["job_id"]
    waiting = tab.locator("#queue .plan")
    expect(waiting).to_contain_text("waits for the end of the pause by the page")
    expect(tab.locator("#verdict-text")).to_have_text(
        "Compaction is paused by the page: 1 plan waits until it is resumed.")
    waiting.get_by_role("button", name="Cancel").click()
    confirm(tab, "Cancel the plan")
    expect(waiting).to_have_count(0)
    expect(tab.locator("#history tbody tr").first).to_contain_text("cancelled")
    assert answer("job", job)["job"]["state"] == "JOB_STATE_CANCELLED"
    assert len(segments(books.name)) == len(SIZES), "its segments stay"
    # Leaving the dialog gives no order.
    tab.get_by_role("button", name="Resume everything").click()
    tab.get_by_role("button", name="Leave it").click()
    expect(tab.get_by_role("button", name="Resume everything")).to_be_visible()
    tab.get_by_role("button", name="Resume everything").click()
    confirm(tab, "Resume")
    expect(tab.get_by_role("button", name="Pause everything")).to_be_visible()
    assert answer("jobs")["pauses"] == []

    tab.get_by_role("button", name=f"Pause {books.name}").click()
    confirm(tab, "Pause")
    expect(row(tab, books)).to_contain_text("paused by the page")
    tab.get_by_role("button", name=f"Resume {books.name}").click()
    confirm(tab, "Resume")
    expect(row(tab, books)).not_to_contain_text("paused")


def test_the_keyboard_alone_is_enough(opened, books):
    tab = opened(motion="reduce")
    expect(tab.locator(".segment")).not_to_have_count(0)

    def tab_to(locator):
        """Presses Tab until the element has the focus, which must be seen."""
        wanted = locator.element_handle()
        for _ in range(60):
            tab.keyboard.press("Tab")
            if tab.evaluate("wanted => document.activeElement === wanted", wanted):
                outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", "the focus is not seen"
                return
        raise AssertionError("60 presses of Tab did not reach it")

    tab.keyboard.press("Tab")
    expect(tab.get_by_role("link", name="To the verdict")).to_be_focused()
    tab_to(row(tab, books).get_by_role("button", name=books.name, exact=True))
    tab.keyboard.press("Enter")
    expect(tab.locator("#segments-title")).to_have_text(f"Segments of {books.name}")
    expect(tab.locator(".segment")).to_have_count(len(SIZES))
    tab_to(tab.locator(".segment").first)
    tab.keyboard.press("ArrowRight")
    expect(tab.locator(".segment").nth(1)).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("#dialog")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.locator(".segment").nth(1)).to_be_focused()
    tab.keyboard.press("End")
    expect(tab.locator(".segment").last).to_be_focused()
    tab.reload()
    expect(row(tab, books)).to_be_visible()
    tab_to(tab.get_by_role("button", name=f"Compact {books.name}"))
    tab.keyboard.press("Enter")
    expect(tab.locator("#dialog")).to_be_visible()
    tab_to(tab.locator("#dialog").get_by_role("button", name="Compact", exact=True))
    tab.keyboard.press("Enter")
    expect(tab.locator("#history tbody tr").first).to_contain_text("completed")
    wait_until("one segment", lambda: len(segments(books.name)) == 1)
    # Whoever asks for no motion gets none.
    assert tab.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_sideways_scrolling(opened, shelf, scheme):
    tab = opened(scheme=scheme, width=360, height=740)
    expect(tab.locator(".segment")).not_to_have_count(0)
    assert not is_wider(tab)
    if scheme == "light":
        picture(tab, "phone")
    row(tab, shelf).get_by_role("button", name=shelf.name, exact=True).click()
    expect(tab.locator(".segment")).to_have_count(len(SIZES))
    tab.locator(".segment").first.click()
    expect(tab.locator("#dialog")).to_be_visible()
    assert not is_wider(tab)
    box = tab.locator("#dialog").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 360, box


def test_texts_are_told_from_their_ground(opened, shelf):
    """Contrast of 4.5 to 1 in both schemes, as WCAG asks for, of every text whose ground is one colour."""
    for scheme in ("light", "dark"):
        tab = opened(scheme=scheme)
        expect(tab.locator(".segment")).not_to_have_count(0)
        expect(tab.locator("#history table, #history p")).to_be_visible()
        assert tab.evaluate(CONTRAST) == [], scheme


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
      if (colour[3] > 0) return null;
    }
    return rgb("white");
  };
  const light = (colour) => {
    const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(colour[0]) + 0.7152 * part(colour[1]) + 0.0722 * part(colour[2]);
  };
  const found = [];
  for (const element of document.querySelectorAll("main *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const below = own && element.checkVisibility() && ground(element);
    if (!below) continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${element.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""

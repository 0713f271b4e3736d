"""Pages of the documentation: the examples in them, and whether an answer is the one that a page shows.

An example is a fenced block of `sh`. A block of `json` or `text` below it is the answer that the page shows. An example
with a title `refused …` shows an error.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[3] / "docs"
# A word behind the language would be no fence for the site: only a title is.
FENCE = re.compile(r'^```(\w+)(?: title="([^"\n]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
ANY = "…"
"""In an answer that a page shows: any value, any part of a text, any entries of a list, or, as a name, any members."""

# Ids and times differ in each run. Smaller numbers count as they are.
UNSTEADY = re.compile(r"\d{12,}")
# Begins a line, or follows another document.
DOCUMENT = re.compile(r"(?<![^\n}\]])\s*([{\[\"])")


@dataclass
class Block:
    """A fenced block of a page."""

    language: str
    title: str
    text: str
    line: int


def blocks(page):
    """-> the blocks of a page in their order"""
    text = (DOCS / page).read_text()
    found = [Block(fence[1], fence[2] or "", fence[3], text.count("\n", 0, fence.start()) + 1)
             for fence in FENCE.finditer(text)]
    fences = len(re.findall(r"^```", text, re.MULTILINE))
    assert found and fences == 2 * len(found), f"{page} has {fences} fences and {len(found)} blocks with a language"
    return found


@dataclass
class Example:
    """Shell commands, and the answer that the page shows, if it shows one."""

    line: int
    command: str
    refused: bool
    shown: str | None = None
    language: str = ""

    def __str__(self):
        return f"line {self.line}: {self.command.splitlines()[0][:60]}"


def examples(page):
    """-> the examples of a page in their order"""
    found = []
    for block in blocks(page):
        if block.language == "sh":
            found.append(Example(block.line, block.text, block.title.startswith("refused")))
        elif found and block.language in ("json", "text"):
            assert found[-1].shown is None, f"{page}, {found[-1]}: two answers"
            found[-1].shown, found[-1].language = block.text, block.language
    return found


def documents(text):
    """-> the JSON documents in an output, between texts of any kind"""
    decoder, found, at = json.JSONDecoder(), [], 0
    while begin := DOCUMENT.search(text, at):
        try:
            document, at = decoder.raw_decode(text, begin.start(1))
            found.append(document)
        except json.JSONDecodeError:
            at = begin.end()
    return found


def difference(shown, real, path="answer"):
    """-> the first difference between an answer that a page shows and the real one, or None"""
    if shown == ANY:
        return None
    if isinstance(shown, dict) and isinstance(real, dict):
        names = set(shown) - {ANY}
        if names != set(real) and not (ANY in shown and names < set(real)):
            return f"{path} has the members {sorted(real)}, the page {sorted(shown)}"
        return first(difference(shown[name], real[name], f"{path}.{name}") for name in sorted(names))
    if isinstance(shown, list) and isinstance(real, list):
        return different_entries(shown, real, path)
    if type(shown) is not type(real) or not fits(shown, real):
        return f"{path} is {real!r}, on the page {shown!r}"
    return None


def first(differences):
    return next(filter(None, differences), None)


def different_entries(shown, real, path):
    if ANY not in shown:
        if len(shown) != len(real):
            return f"{path} has {len(real)} entries, on the page {len(shown)}"
        return first(difference(*pair, f"{path}[{at}]") for at, pair in enumerate(zip(shown, real)))
    at = shown.index(ANY)
    before, after = shown[:at], shown[at + 1:]
    if len(real) < len(before) + len(after):
        return f"{path} has {len(real)} entries, on the page at least {len(before) + len(after)}"
    return (different_entries(before, real[:at], path)
            or different_entries(after, real[len(real) - len(after):], f"{path}[…]"))


def fits(shown, real):
    """Whether two scalars are equal but for ids, times and parts that the page leaves out."""
    parts = UNSTEADY.sub("#", str(shown)).split(ANY)
    return re.fullmatch(".*".join(map(re.escape, parts)), UNSTEADY.sub("#", str(real)), re.DOTALL) is not None


def missing_lines(shown, output):
    """-> the lines of a text that are no line of the output"""
    lines = output.splitlines()
    return [line for line in shown.splitlines() if line.strip() and not any(fits(line, real) for real in lines)]


def error(document):
    """-> the error of an answer, in any of the forms that there are, or None"""
    if not isinstance(document, dict):
        return None
    for status in (document, document.get("status")):
        if isinstance(status, dict):
            codes = [status.get(name) for name in ("code", "error_code", "errorCode")]
            if any(code not in (None, 0) for code in codes):
                return status
    return None

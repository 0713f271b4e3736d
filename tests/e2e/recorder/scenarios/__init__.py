"""The questions to a server. Each module has one topic; each function marked with `@scenario` is one scenario.

A scenario makes what it needs, asks, and leaves the rest to the run: what it has made is dropped after it. Its names are
its own, so that scenarios can't disturb each other.
"""

import sys


def scenario(function):
    vars(sys.modules[function.__module__]).setdefault("SCENARIOS", []).append(function)
    return function


BAD_NAMES = ["", " ", "12-s", "a b", "n-ame", "naïve", "中文", "$dollar", "a" * 256]
"""Names that the rules of Milvus refuse."""

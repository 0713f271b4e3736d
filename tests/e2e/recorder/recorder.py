#!/usr/bin/env python3
"""Compares the answers of a server with those of Milvus 2.3.5, call by call.

    recorder.py HOST:PORT                 the answers of this server beside the recording (stock-2.3.5.json)
    recorder.py HOST:PORT --stock         this is the real Milvus: every answer must be as recorded
    recorder.py HOST:PORT --record        this is the real Milvus: its answers become the recording
    recorder.py HOST:PORT --against HOST:PORT      two servers, without the recording
    --only TEXT …                         only the scenarios whose names contain one of the texts
    --quiet                               only what is not as it should be
    --write-open                          lists the differences that have no reason yet in open.txt

Without HOST:PORT it is $E2E_GRPC; with --stock or --record the program $E2E_STOCK is started.

Ends with 0 if every difference is known (known.toml) or open (open.txt), and each of those is still there.
"""

import argparse
import fnmatch
import importlib
import json
import os
import pkgutil
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import scenarios
from calls import Run, connect
from stock_server import stock_server

HERE = Path(__file__).resolve().parent
RECORDING = HERE / "stock-2.3.5.json"
KNOWN = HERE / "known.toml"
OPEN = HERE / "open.txt"
FIELDS_SHOWN = 8


def all_scenarios():
    """{name: function}, in the order in which they are written."""
    found = {}
    for module in sorted(pkgutil.iter_modules(scenarios.__path__), key=lambda module: module.name):
        for function in importlib.import_module(f"scenarios.{module.name}").SCENARIOS:
            name = f"{module.name}/{function.__name__}"
            assert name not in found, name
            found[name] = function
    return found


def play(stub, chosen, say):
    """-> {scenario: {call: answer}}"""
    answers = {}
    for name, scenario in chosen.items():
        started = time.monotonic()
        run = Run(stub)
        try:
            scenario(run)
        finally:
            run.clean()
        answers[name] = run.answers
        say(f"{name:40} {len(run.answers):4} calls {time.monotonic() - started:6.1f} s")
    return answers


# --- comparing ------------------------------------------------------------------------------------------------------


def flat(value, path=""):
    """{path: plain value}; an empty list or message counts as absent."""
    if isinstance(value, dict):
        return {at: item for key, inner in value.items() for at, item in flat(inner, f"{path}.{key}").items()}
    if isinstance(value, list):
        return {at: item for place, inner in enumerate(value) for at, item in flat(inner, f"{path}[{place}]").items()}
    return {path.lstrip("."): value}


def differing(expected, actual):
    """[(field, expected, actual)] of two answers."""
    left, right = flat(expected), flat(actual)
    # A detail that Milvus does not have is told beside an equal reason.
    return [(at, left.get(at), right.get(at)) for at in sorted({*left, *right})
            if left.get(at) != right.get(at) and (at, left.get(at)) != ("status.detail", None)]


def compare(expected, actual):
    """{`scenario: call`: [(field, expected, actual)]}; a call that only one side has made is a difference too."""
    found = {}
    for scenario in expected:
        left, right = expected[scenario], actual.get(scenario, {})
        for call in [*left, *(call for call in right if call not in left)]:
            if call not in left or call not in right:
                found[f"{scenario}: {call}"] = [("call", call in left, call in right)]
            elif fields := differing(left[call], right[call]):
                found[f"{scenario}: {call}"] = fields
    for scenario in actual:
        if scenario not in expected:
            found[f"{scenario}: *"] = [("scenario", False, True)]
    return found


class Known:
    """The differences that are meant, with their reasons, and those that are open."""

    def __init__(self):
        self.meant = tomllib.loads(KNOWN.read_text())["difference"]
        self.open = [line for line in OPEN.read_text().splitlines() if line and not line.startswith("#")]

    def reason(self, call, fields):
        """Why a call may differ in these fields; none: it may not."""
        for entry in self.meant:
            allowed = entry.get("fields", ["*"])
            if any(matches(call, pattern) for pattern in entry["calls"]) and \
                    all(any(fnmatch.fnmatchcase(at, pattern) for pattern in allowed) for at, _, _ in fields):
                return entry["reason"]
        return "open" if call in self.open else None

    def stale(self, played, differences):
        """Entries about calls that were made and do not differ any more."""
        calls = [f"{scenario}: {call}" for scenario, answers in played.items() for call in answers]
        patterns = [*self.open, *(pattern for entry in self.meant for pattern in entry["calls"])]
        return [pattern for pattern in patterns
                if any(matches(call, pattern) for call in calls)
                and not any(matches(call, pattern) for call in differences)]


def matches(call, pattern):
    """`*` is the only sign with a meaning: calls are full of brackets."""
    return call == pattern or fnmatch.fnmatchcase(call, pattern.replace("[", "[[]"))


def show(call, fields, reason):
    print(f"\n{'  (' + reason + ') ' if reason else ''}{call}")
    for at, expected, actual in fields[:FIELDS_SHOWN]:
        print(f"    {at}\n        Milvus 2.3.5: {json.dumps(expected, ensure_ascii=False)}\n"
              f"        this server:  {json.dumps(actual, ensure_ascii=False)}")
    if len(fields) > FIELDS_SHOWN:
        print(f"    … and {len(fields) - FIELDS_SHOWN} fields more")


# --- the recording --------------------------------------------------------------------------------------------------


def read_recording():
    return json.loads(RECORDING.read_text()) if RECORDING.exists() else {}


def write_recording(answers):
    """One call a line, so that a change can be read."""
    def line(value):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)

    blocks = [f"{line(scenario)}: {{\n" + ",\n".join(f" {line(call)}: {line(answer)}" for call, answer in calls.items())
              + "\n}" for scenario, calls in answers.items()]
    RECORDING.write_text("{\n" + ",\n".join(blocks) + "\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("endpoint", nargs="?")
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--against")
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--write-open", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()

    if options.endpoint is None and (options.stock or options.record):
        with tempfile.TemporaryDirectory(prefix="milvus-2.3.5-") as folder, \
                stock_server(os.environ["E2E_STOCK"], Path(folder)) as (port, _):
            options.endpoint = f"127.0.0.1:{port}"
            return run(options)
    options.endpoint = options.endpoint or os.environ["E2E_GRPC"]
    return run(options)


def run(options):
    everything = all_scenarios()
    chosen = {name: scenario for name, scenario in everything.items()
              if not options.only or any(text in name for text in options.only)}
    say = (lambda _: None) if options.quiet else print
    started = time.monotonic()
    played = play(connect(options.endpoint), chosen, say)
    calls = sum(map(len, played.values()))
    print(f"{len(played)} scenarios, {calls} calls, {time.monotonic() - started:.0f} s")

    recorded = read_recording()
    if options.record:
        merged = {**recorded, **played}
        write_recording({name: merged[name] for name in everything if name in merged})
        return 0
    expected = play(connect(options.against), chosen, say) if options.against else recorded
    expected = {name: expected.get(name, {}) for name in chosen}
    differences = compare(expected, played)
    if options.stock:
        for call, fields in differences.items():
            show(call, fields, "")
        print(f"{len(differences)} answers are not as recorded")
        return 1 if differences else 0

    known = Known()
    reasons = {call: known.reason(call, fields) for call, fields in differences.items()}
    for call, fields in differences.items():
        if not options.quiet or reasons[call] is None:
            show(call, fields, reasons[call])
    new = [call for call, reason in reasons.items() if reason is None]
    if options.write_open:
        listed = [call for call, reason in reasons.items() if reason in (None, "open")]
        kept = [call for call in known.open if call.split(": ")[0] not in chosen]
        write_open(sorted({*kept, *listed}))
        new = []
    stale = [] if options.write_open else known.stale(played, differences)
    for entry in stale:
        print(f"no difference any more, but listed: {entry}")
    counts = {reason: list(reasons.values()).count(reason) for reason in sorted({r for r in reasons.values() if r})}
    print(f"\n{calls} calls: {calls - len(differences)} alike, {len(new)} not known to differ, {len(stale)} listed in vain")
    for reason, count in counts.items():
        print(f"    {count:4} {reason}")
    return 1 if new or stale else 0


def write_open(calls):
    head = [line for line in OPEN.read_text().splitlines() if line.startswith("#")]
    OPEN.write_text("\n".join([*head, *calls]) + "\n")


if __name__ == "__main__":
    sys.exit(main())

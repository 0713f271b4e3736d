#!/usr/bin/env python3
"""Shows that the tests catch deliberate breakages: switches on one fault of src/fault/planted.rs after the other.

    tools/planted.py                 all faults; exit code 1 if one is not caught
    tools/planted.py --quick         those that tests of the library catch
    tools/planted.py --fault NAME    one fault (may be repeated)
    tools/planted.py --table FILE    all faults, and writes the table into FILE between its two marks
    tools/planted.py --passed        all faults; the tests have just passed without one, so that is not tried again
    tools/planted.py --discover      runs all tests for each fault, and names those that fail

tests/planted.toml names the tests that catch a fault. Without a fault each of them has to pass. With the fault one at least
has to fail, after the broken line has run. The build has the feature `planted-faults` and a folder of its own, so that the
ordinary program stays what it is. It shares the compiled dependencies with the ordinary build.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
LIST = REPO / "src" / "fault" / "planted.rs"
TESTS = REPO / "tests" / "planted.toml"
BEGIN, END = "<!-- planted faults: begin -->", "<!-- planted faults: end -->"
LIB = "lib"
# Integration tests that run a server inside the test's process. The others start the program or read its source.
TARGETS = ["engine", "layouts", "golden", "simulation", "crash"]
# A test that never ends is a caught fault, too: a run of the suite would not end either.
PATIENCE_SECONDS = 120


def listed():
    """Name, promise and sentence of every fault, in the order of the source."""
    text = LIST.read_text()
    body = text[text.index("faults! {") :]
    found = re.findall(r"((?:^    /// .*\n)+)    (\w+): (P\d),", body, re.M)
    return [(name, promise, " ".join(line.strip()[4:] for line in what.splitlines())) for what, name, promise in found]


def places():
    """Fault -> the functions that ask for it."""
    found = {}
    for file in sorted((REPO / "src").rglob("*.rs")):
        if "fault" in file.relative_to(REPO / "src").parts:
            continue
        function = "?"
        for line in file.read_text().splitlines():
            if match := re.match(r"\s*(?:pub(?:\([a-z: ]+\))? )?(?:async )?fn (\w+)", line):
                function = match[1]
            for name in re.findall(r"Planted::(\w+)", line):
                if not line.strip().startswith("//"):
                    found.setdefault(name, []).append(f"{file.relative_to(REPO / 'src')}: {function}")
    return {name: sorted(set(where)) for name, where in found.items()}


def build(targets, target_dir):
    """Target -> its test program."""
    command = ["cargo", "test", "--locked", "--no-run", "--features", "planted-faults", "--message-format=json"]
    command += ["--target-dir", str(target_dir)]
    for target in targets:
        command += ["--lib"] if target == LIB else ["--test", target]
    # Cargo before 1.91 does not know this variable, and compiles the dependencies once more.
    environment = os.environ | {"CARGO_BUILD_BUILD_DIR": str(REPO / "target")}
    output = subprocess.run(command, cwd=REPO, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if output.returncode != 0:
        sys.exit("the build with planted-faults has failed")
    programs = {}
    for line in output.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message.get("profile", {}).get("test"):
            kind = message["target"]["kind"][0]
            programs[LIB if kind == "lib" else message["target"]["name"]] = message["executable"]
    return programs


def run(program, tests, fault, patience):
    """Failed tests, all output, and whether it came to an end."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DATACOORD_")}
    # A failure with a fault is no case to keep.
    environment |= {"RUST_BACKTRACE": "0", "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "1"}
    if fault:
        environment["DATACOORD_PLANTED"] = fault
    command = [program, "--show-output", *tests]
    try:
        done = subprocess.run(
            command, cwd=REPO, env=environment, capture_output=True, text=True, errors="replace", timeout=patience
        )
    except subprocess.TimeoutExpired as late:
        output = b"".join(part or b"" for part in (late.stdout, late.stderr)).decode(errors="replace")
        return re.findall(r"^test (\S+) .*FAILED$", output, re.M), output, False
    output = done.stdout + done.stderr
    failed = sorted(set(re.findall(r"^test (\S+)(?: - should panic)? \.\.\. FAILED$", output, re.M)))
    ran = re.search(r"^running (\d+) tests?$", done.stdout, re.M)
    if tests and (not ran or int(ran[1]) < len(tests)):
        sys.exit(f"{program} has not all of these tests: {' '.join(tests)}")
    # A process that a fault ends has no line for the test.
    if done.returncode != 0 and not failed:
        failed = [f"ended with {done.returncode}"]
    return failed, output, True


def by_target(names):
    groups = {}
    for name in names:
        target, test = name.split(" ", 1)
        groups.setdefault(target, []).append(test)
    return groups


def try_fault(fault, names, programs):
    """The first test that catches a fault (none: no test does), and why not."""
    reached = False
    for target, tests in by_target(names).items():
        failed, output, ended = run(programs[target], tests, fault, PATIENCE_SECONDS)
        reached |= f"planted: {fault}" in output
        if failed and reached:
            return f"{target} {failed[0]}", None
        if not ended:
            return f"{target} {tests[0]} (does not end)", None
    return None, "no test fails" if reached else "the broken line is not run"


def discover(faults, programs):
    for fault, _, _ in faults:
        for target, program in programs.items():
            begun = time.monotonic()
            failed, output, ended = run(program, [], fault, 5 * PATIENCE_SECONDS)
            reached = f"planted: {fault}" in output
            state = "" if ended else " (did not end)"
            print(f"{fault} {target} {time.monotonic() - begun:.0f} s{state}, reached: {reached}", flush=True)
            for test in failed:
                print(f"    {target} {test}", flush=True)


def table(rows):
    lines = ["| fault | promise | where | caught by | seconds |", "|---|---|---|---|---|"]
    for what, name, promise, where, caught, seconds in rows:
        place = "<br>".join(f"`{one}`" for one in where)
        lines.append(f"| {what} (`{name}`) | {promise} | {place} | `{caught}` | {seconds:.1f} |")
    return "\n".join(lines)


def write_table(file, rows):
    text = file.read_text()
    if BEGIN not in text or END not in text:
        sys.exit(f"{file} has no marks: {BEGIN} and {END}")
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    file.write_text(f"{head}{BEGIN}\n{table(rows)}\n{END}{tail}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--table", type=Path)
    parser.add_argument("--passed", action="store_true")
    parser.add_argument("--discover", action="store_true")
    parser.add_argument("--target", action="append", help="with --discover: these tests only")
    parser.add_argument("--target-dir", type=Path, default=REPO / "target" / "planted")
    options = parser.parse_args()

    faults, where = listed(), places()
    catchers = tomllib.loads(TESTS.read_text()) if TESTS.exists() else {}
    known = [name for name, _, _ in faults]
    if strange := sorted(set(catchers) ^ set(known) | set(where) ^ set(known)):
        if not options.discover:
            sys.exit(f"not in the list, in tests/planted.toml and in the code alike: {', '.join(strange)}")
    if options.fault:
        faults = [fault for fault in faults if fault[0] in options.fault]
    if options.quick:
        quick = {name for name, tests in catchers.items() if any(test.startswith(f"{LIB} ") for test in tests)}
        faults = [fault for fault in faults if fault[0] in quick]
        catchers = {name: [t for t in tests if t.startswith(f"{LIB} ")] for name, tests in catchers.items()}
    if options.discover:
        discover(faults, build(options.target or [LIB, *TARGETS[:-1]], options.target_dir))
        return

    needed = {test.split(" ", 1)[0] for name, _, _ in faults for test in catchers[name]}
    programs = build(sorted(needed), options.target_dir)
    sound = [] if options.passed else sorted({test for name, _, _ in faults for test in catchers[name]})
    for target, tests in by_target(sound).items():
        failed, output, ended = run(programs[target], tests, None, 5 * PATIENCE_SECONDS)
        if failed or not ended:
            sys.exit(f"{output}\nwithout a fault these tests of {target} fail: {', '.join(failed)}")
    rows, missed = [], []
    for name, promise, what in faults:
        begun = time.monotonic()
        caught, why = try_fault(name, catchers[name], programs)
        seconds = time.monotonic() - begun
        print(f"{promise} {name}: {caught or 'NOT CAUGHT, ' + why} ({seconds:.1f} s)", flush=True)
        rows.append((what, name, promise, where[name], caught, seconds))
        if not caught:
            missed.append(name)
    print(f"{len(rows)} faults, {len(rows) - len(missed)} caught")
    if missed:
        sys.exit(f"not caught: {', '.join(missed)}")
    if options.table:
        write_table(options.table, rows)


if __name__ == "__main__":
    main()

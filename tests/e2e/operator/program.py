"""The program under test as a command."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from pathlib import Path

from helpers import GRPC

PROGRAM = Path(os.environ["E2E_PROGRAMS"]) / "datacoord"
SECONDS = 60
"""Longest time of one command."""

ENVIRONMENT = {
    **os.environ,
    "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
    "DATACOORD_ENDPOINT": GRPC,
}


def run(*arguments, **environment):
    """-> the ended process, whatever its code, with output and errors as text."""
    return subprocess.run([PROGRAM, *map(str, arguments)], env={**ENVIRONMENT, **environment}, timeout=SECONDS,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)


def text(*arguments, **environment):
    """-> the output of a command that must end well, as people see it without a terminal."""
    done = run(*arguments, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr, "colours without a terminal"
    return done.stdout


def answer(*arguments, **environment):
    """-> the same as a program reads it."""
    return json.loads(text(*arguments, "--json", **environment))


def fails(code, *arguments, only_error=False, **environment):
    """Requires the exit code, an error and, unless only the error counts, no output. -> the error"""
    done = run(*arguments, **environment)
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    assert only_error or done.stdout == ""
    assert done.stderr.startswith(("datacoord: ", "error: ")), done.stderr
    return done.stderr


class Terminal:
    """A command on a terminal of 120 columns, with all that it wrote."""

    def __init__(self, *arguments, **environment):
        self.written, self.seen = "", 0
        self.side, other = pty.openpty()
        fcntl.ioctl(self.side, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        # A run in CI wants colours on every terminal, also on one that has none.
        decisive = ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI")
        settings = {name: value for name, value in ENVIRONMENT.items() if name not in decisive}
        self.process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=other, stdout=other, stderr=other,
                                        env={**settings, "TERM": "xterm", **environment}, start_new_session=True,
                                        # A run in the background of a shell ignores interrupts, and so would this.
                                        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        os.close(other)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.process.kill()
        self.process.wait()
        os.close(self.side)

    def read(self):
        """Reads what is there, or waits for something. -> whether there can be more"""
        ready, _, _ = select.select([self.side], [], [], SECONDS)
        assert ready, f"nothing more was written\n{self.written}"
        try:
            part = os.read(self.side, 65536)
        except OSError:  # the other side is closed
            return False
        self.written += part.decode(errors="replace")
        return bool(part)

    def until(self, phrase):
        """Reads up to a phrase; the next call looks behind it."""
        while phrase not in self.written[self.seen:]:
            assert self.read(), f"{phrase!r} is not in\n{self.written}"
        self.seen = self.written.index(phrase, self.seen) + len(phrase)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def ended(self):
        """-> the exit code, once everything is read"""
        while self.read():
            pass
        return self.process.wait(SECONDS)

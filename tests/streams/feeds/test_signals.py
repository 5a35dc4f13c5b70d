"""A signal may interrupt a feed at any line of its main thread."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

INTERRUPTED = """
import itertools, signal, sys, time
from streams.feeds.orders import Options
from streams.feeds.runner import Runner

class Source:
    name = "scripted"

def interrupted(line):
    # Returns whether waiting for a post's turn has this many lines. A signal comes before the last of them.
    runner, left = Runner(Source(), None, None, Options(rate=1000)), line
    runner._due = time.monotonic() + 0.01

    def trace(frame, event, _):
        nonlocal left
        left -= event == "line"
        if left == 0 and event == "line":
            sys.settrace(None)
            signal.raise_signal(signal.SIGTERM)
        return trace

    with runner.stopped_by_signals():
        sys.settrace(trace)
        runner._pace()
        sys.settrace(None)
    assert left > 0 or runner.signalled == signal.SIGTERM
    return left <= 0

print(next(line for line in itertools.count(1) if not interrupted(line)))
"""


def test_a_signal_at_any_line_of_a_wait_ends_the_feed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 4

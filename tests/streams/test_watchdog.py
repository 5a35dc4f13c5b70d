"""The watchdog ends a process whose event loop or pipelines stand still."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from streams.watchdog import LOOKS, STUCK, Watchdog
from tests.conftest import ROOT

STALL_S = 10.0
LOOK_S = STALL_S / LOOKS


@dataclass
class StubPipeline:
    name: str = "extract"
    moved_at: float = 0.0
    open: int = 1


class Watched:
    """A watchdog on a clock of its own. `answers`: whether the loop answers pings."""

    def __init__(self, *pipelines: StubPipeline, answers: bool = True) -> None:
        self.now = 0.0
        self.answers = answers
        self.watchdog = Watchdog(pipelines, STALL_S, clock=lambda: self.now)

    def look(self, after_s: float = LOOK_S) -> str | None:
        self.now += after_s
        return self.watchdog.look(self.watchdog.pong if self.answers else lambda: None)

    def looks(self, seconds: float) -> Iterator[str | None]:
        """Looks for so many seconds."""
        for _ in range(round(seconds / LOOK_S)):
            yield self.look()

    def first(self, seconds: float) -> str | None:
        """Returns the first reason to end within so many seconds."""
        return next((reason for reason in self.looks(seconds) if reason), None)


def move(watched: Watched, pipeline: StubPipeline) -> str | None:
    """Lets the pipeline progress every 9 s, for a minute."""
    for _ in range(7):
        pipeline.moved_at = watched.now
        if reason := watched.first(9.0):
            return reason
    return None


@pytest.mark.parametrize(
    ("watch", "reason"),
    [
        pytest.param(lambda: Watched(StubPipeline()).first(STALL_S), None, id="still for as long as it may be"),
        pytest.param(
            lambda: Watched(StubPipeline()).first(STALL_S + 1),
            "extract: 1 events in flight and none done for 10 s",
            id="still for longer",
        ),
        pytest.param(lambda: Watched(StubPipeline(open=0)).first(99), None, id="nothing in flight"),
        pytest.param(lambda: move(Watched(pipeline := StubPipeline()), pipeline), None, id="it moves"),
    ],
)
def test_a_pipeline_that_holds_events_must_move(watch: Callable[[], str | None], reason: str | None) -> None:
    assert watch() == reason


def test_a_loop_that_does_not_answer_is_blocked() -> None:
    watched = Watched(answers=False)
    assert watched.first(STALL_S) is None
    assert watched.first(1) == "the event loop has been blocked for 10 s"


def test_a_blocked_loop_is_the_reason_also_where_a_pipeline_stood_still_a_moment_before() -> None:
    watched = Watched(StubPipeline())
    assert watched.first(1) is None
    watched.answers = False
    assert "event loop has been blocked" in str(watched.first(STALL_S + 2))


def test_a_late_answer_counts_from_the_next_ping() -> None:
    watched = Watched(answers=False)
    assert watched.first(STALL_S) is None
    watched.watchdog.pong()
    assert watched.first(STALL_S) is None
    assert watched.first(1) == "the event loop has been blocked for 10 s"


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("open", [0, 1])
def test_a_pause_of_the_whole_process_is_no_stall(answers: bool, open: int) -> None:
    watched = Watched(StubPipeline(open=open), answers=answers)
    assert watched.first(5.0) is None
    assert watched.look(after_s=1000.0) is None
    assert watched.first(3.0) is None
    assert bool(watched.first(3.0)) == (open > 0 or not answers), "after a pause, the count goes on"


def test_a_loop_that_holds_the_interpreter_again_and_again_is_blocked() -> None:
    watched = Watched(answers=False)
    assert any(watched.look(after_s=LOOK_S * 3) for _ in range(LOOKS))


async def test_the_thread_spares_a_loop_that_answers_and_ends_one_that_is_blocked() -> None:
    stall_s = 0.2
    now = 0.0
    reasons: list[str] = []
    ended = threading.Event()

    def clock() -> float:
        nonlocal now
        now += stall_s / LOOKS  # each look comes in time, however busy the machine is
        return now

    def end(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    with Watchdog([], stall_s, end=end, clock=clock):
        while now < 3 * stall_s:
            await asyncio.sleep(stall_s / LOOKS)
        assert reasons == []
        assert ended.wait(30), "a stage blocks the loop"
    assert len(reasons) == 1
    assert "the event loop has been blocked" in reasons[0]


WATCHED = """
import asyncio, logging, threading
from streams.watchdog import Watchdog, end_process

async def main():
    logging.basicConfig()
    with Watchdog([], stall_s=5.0):
        {within}
    {after}

ended = threading.Thread(target=end_process, args=("the worker did not stop", 1.0))
asyncio.run(main())
"""
TWICE = """
import logging, threading, time
from streams.watchdog import end_process

logging.basicConfig()
for number in range(8):
    threading.Thread(target=end_process, args=("stuck", 1.0 if number == 0 else 3600.0)).start()
    time.sleep(0.02)
"""
SIGNALS = """
import asyncio, os, signal
from streams import stopping

async def main():
    stopping.Stopping(owned=False, limit_s=3600)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(2 * stopping.ONE_S)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(3600)

asyncio.run(main())
"""
NOBODY_READS = [
    pytest.param(
        "import logging; logging.basicConfig()\n"
        "from streams.watchdog import end_process; end_process('stuck', report_s=0.2)",
        1,
        id="the log blocks",
    ),
    pytest.param(
        "import logging; logging.disable()\n"
        "from streams.watchdog import end_process; end_process('stuck', report_s=0.2)",
        1,
        id="the stacks block",
    ),
    pytest.param(
        WATCHED.format(within="ended.start(); await asyncio.sleep(3600)", after="pass"), 1, id="the watchdog goes on"
    ),
    pytest.param(
        WATCHED.format(within="ended.start(); await asyncio.sleep(0.3)", after="await asyncio.sleep(3600)"),
        1,
        id="the watchdog is left",
    ),
    pytest.param(
        WATCHED.format(within="await asyncio.sleep(0.3)", after="ended.start(); await asyncio.sleep(3600)"),
        1,
        id="the watchdog was left before",
    ),
    pytest.param(TWICE, 1, id="ended by several threads"),
    pytest.param(SIGNALS, 128 + signal.SIGTERM, id="a second signal"),
]


FULL = """
import logging, resource, sys, threading, time
from streams.watchdog import end_process

logging.basicConfig()
{before}
threading.Thread(target=end_process, args=("stuck", {report_s})).start()
time.sleep(3600)
"""
NO_FILES = """
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
files = []
try:
    while True:
        files.append(open("/dev/null"))
except OSError:
    pass
"""
NO_REPORT = [
    pytest.param(FULL.format(before=NO_FILES, report_s=5.0), id="no file descriptor left"),
    pytest.param(FULL.format(before="sys.stderr = None", report_s=5.0), id="no standard error"),
    pytest.param(FULL.format(before="sys.stderr.close()", report_s=5.0), id="standard error is closed"),
    pytest.param(FULL.format(before="", report_s=-1.0), id="no timer"),
]


@pytest.mark.parametrize("code", NO_REPORT)
def test_the_process_ends_even_when_the_report_fails(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False, timeout=30)
    assert done.returncode == STUCK, done.stderr


def test_the_timer_ends_the_process_when_the_watchdog_fails_to() -> None:
    code = """
import asyncio, time
from streams.watchdog import Watchdog

def fail(reason):
    raise OSError(24, "Too many open files")

async def main():
    with Watchdog([], stall_s=0.5, end=fail):
        time.sleep(3600)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False, timeout=30)
    assert done.returncode == 1
    assert b"Timeout (0:00:02)!" in done.stderr


@pytest.mark.parametrize(("code", "exit_code"), NOBODY_READS)
def test_the_process_ends_even_when_nobody_reads_its_report(code: str, exit_code: int) -> None:
    """Standard error is a pipe that is full."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 1024)
    os.set_blocking(writer, True)
    try:
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=writer, check=False, timeout=30)
    finally:
        os.close(reader)
        os.close(writer)
    assert done.returncode == exit_code

"""The review screen in tmux, a terminal that counts cells by the tables of its C library."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.events import ReviewTask
from sinks.queue.queue import ReviewQueue
from streams.settings import Settings
from tests.conftest import ROOT
from tests.families.screen.test_widths import KEYS_ROW, WALL
from tests.families.screen.texts import CASES
from tests.review.tasks import mention, task

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Tmux:
    """A shell in a tmux of its own."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "tmux"
        self._run("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "-c", str(ROOT), "bash --norc")

    def presses(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def sees(self, wanted: str, within_s: float = 60) -> list[str]:
        """Waits for a screen that contains `wanted`. Returns its rows."""
        until = time.monotonic() + within_s
        before = ""
        # a screen that is the same twice is not captured in the middle of its drawing
        while wanted not in (shown := self._run("capture-pane", "-p")) or shown != before:
            assert time.monotonic() < until, f"{wanted!r} did not appear:\n{shown}"
            before = shown
            time.sleep(0.05)
        return shown.split("\n")

    def ends(self) -> None:
        self._run("kill-server")

    def _run(self, *arguments: str) -> str:
        command = ["tmux", "-u", "-S", str(self._socket), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    made = Tmux(tmp_path)
    yield made
    made.ends()


def asked(tweet_id: str, text: str, words: str, received_at: datetime) -> ReviewTask:
    question = mention(words, "PER", text=text)
    made = task(tweet_id, questions=(question,), confident=(), text=text)
    return made.model_copy(update={"tweet": made.tweet.model_copy(update={"received_at": received_at})})


async def test_each_post_is_alone_on_the_screen_and_ctrl_z_gives_the_terminal_back(
    tmux: Tmux, settings: Settings
) -> None:
    queue, tasks = ReviewQueue(str(settings.redis), settings.name("review:")), []
    for place, case in enumerate(CASES):  # a day apart: then age alone makes the order
        tasks += [
            asked(f"wall{place}", WALL, "previous", BEGIN + timedelta(days=2 * place)),
            asked(f"t{place}", case.text, case.words[0], BEGIN + timedelta(days=2 * place + 1)),
        ]
    await queue.add(tasks)
    await queue.close()
    tmux.presses(
        f"{sys.executable} -m tests.families.screen.reviewing {settings.redis} {settings.name('review:')}", "Enter"
    )
    for place in range(len(CASES)):
        tmux.sees(f"post wall{place}")
        tmux.presses("s")
        rows = tmux.sees(f"post t{place}")
        assert rows[0].startswith(" mner review  ana")
        assert rows[23] == KEYS_ROW
        assert "previous" not in "".join(rows)
        if place == 0:
            tmux.presses("C-z")
            tmux.sees("Stopped")
            tmux.presses("stty -a | grep -o -- '-*icanon' && fg", "Enter")
            tmux.sees("post t0")
        tmux.presses("s")
    tmux.sees("No other task waits for you.")
    tmux.presses("C-\\")
    tmux.sees("icanon")
    tmux.presses("stty -a | grep -c -- '[-]icanon'; echo $((40 + 2))", "Enter")
    assert "0" in tmux.sees("42")

"""Somebody at a pseudo-terminal in which `mner review` runs."""

from __future__ import annotations

import re
import time

import pexpect

CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]")


class Reviewer:
    """Presses keys, and waits until the screen says something. Keys before that would not count."""

    def __init__(self, child: pexpect.spawn[str]) -> None:
        self.child = child
        self._seen = ""

    def sees(self, wanted: str, within_s: float = 30) -> str:
        """The first whole screen that holds `wanted`, as plain text; the lines are joined by single spaces."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            try:
                self._seen += self.child.read_nonblocking(65536, timeout=0.1)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                break
            *_, frame = self._seen.split("\x1b[H")  # every frame begins at home
            frame = " ".join(CONTROL.sub("", frame).split())
            if wanted in frame:
                self._seen = ""
                return frame
        raise AssertionError(f"{wanted!r} did not come; the screen: {CONTROL.sub('', self._seen)[-3000:]}")

    def presses(self, *keys: str) -> None:
        for key in keys:
            self.child.send(key)
            time.sleep(0.02)  # as a hand does; a fresh task forgets what was typed before it was drawn

    def leaves(self) -> int:
        self.child.expect(pexpect.EOF, timeout=30)
        self.child.close()
        return self.child.exitstatus if self.child.exitstatus is not None else -int(self.child.signalstatus or 0)

"""A reviewer at a pseudo-terminal in which `mner review` runs."""

from __future__ import annotations

import re
import time

import pexpect

CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]")


class Reviewer:
    """Presses keys and waits for text on the screen. Keys pressed before a task is on the screen have no effect."""

    def __init__(self, child: pexpect.spawn[str]) -> None:
        self.child = child
        self._seen = ""

    def sees(self, wanted: str, within_s: float = 30) -> str:
        """Waits for a screen that contains `wanted`. Returns it as plain text, its lines joined by single spaces."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            try:
                self._seen += self.child.read_nonblocking(65536, timeout=0.1)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                break
            *_, frame = self._seen.split("\x1b[H")  # every frame begins with the cursor at home
            frame = " ".join(CONTROL.sub("", frame).split())
            if wanted in frame:
                self._seen = ""
                return frame
        raise AssertionError(f"{wanted!r} did not appear; the screen: {CONTROL.sub('', self._seen)[-3000:]}")

    def presses(self, *keys: str) -> None:
        for key in keys:
            self.child.send(key)
            time.sleep(0.02)  # as a hand does: a new task drops keys typed before it is drawn

    def leaves(self) -> int:
        self.child.expect(pexpect.EOF, timeout=30)
        self.child.close()
        return self.child.exitstatus if self.child.exitstatus is not None else -int(self.child.signalstatus or 0)

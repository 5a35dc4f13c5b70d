"""A reviewer at a pseudo-terminal in which `mner review` runs. A terminal emulator shows what the program draws."""

from __future__ import annotations

import time

import pexpect
import pyte

SYNCHRONISED = 2026 << 5
"""The mode as pyte numbers it."""


class Reviewer:
    """Presses keys and waits for text on the screen. Keys pressed before a task is on the screen have no effect."""

    def __init__(self, child: pexpect.spawn[str], screen: pyte.Screen | None = None) -> None:
        self.child = child
        self.screen = screen or pyte.Screen(80, 24)
        self._stream = pyte.Stream(self.screen)
        self._is_new = False

    @property
    def rows(self) -> list[str]:
        """What is on the screen now, one text a row."""
        return [row.rstrip() for row in self.screen.display]

    @property
    def frame(self) -> str:
        """What is on the screen now, its rows joined by single spaces."""
        return " ".join(" ".join(self.rows).split())

    def sees(self, wanted: str, within_s: float = 30) -> str:
        """Waits for a new screen that contains `wanted`. Returns it as plain text, its rows joined by single spaces."""
        until = time.monotonic() + within_s
        while not (self._is_new and self._is_complete and wanted in self.frame):
            if time.monotonic() > until or not self.reads():
                raise AssertionError(f"{wanted!r} did not appear; the screen:\n" + "\n".join(self.rows))
        self._is_new = False
        return self.frame

    def reads(self, within_s: float = 0.1) -> bool:
        """Draws what the program has written. Returns whether it still runs."""
        try:
            self._stream.feed(self.child.read_nonblocking(65536, timeout=within_s))
            self._is_new = True
        except pexpect.TIMEOUT:
            pass
        except pexpect.EOF:
            return False
        return True

    def presses(self, *keys: str) -> None:
        for key in keys:
            self.child.send(key)
            time.sleep(0.02)  # as a hand does: a new task drops keys typed before it is drawn

    def resizes(self, height: int, width: int) -> None:
        self.screen.resize(height, width)
        self.child.setwinsize(height, width)

    def leaves(self) -> int:
        while self.reads():
            pass
        self.child.close()
        return self.child.exitstatus if self.child.exitstatus is not None else -int(self.child.signalstatus or 0)

    @property
    def _is_complete(self) -> bool:
        """Whether the last frame is drawn to its end: the mode of synchronised output is set while it is not."""
        return SYNCHRONISED not in self.screen.mode

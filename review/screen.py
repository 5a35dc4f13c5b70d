"""Draws lines on the terminal so that nothing of an earlier screen can stay, whichever way it counts cells.

Each line has its row by an absolute position and is cleared before it is drawn. The terminal does not wrap, so a line
that it draws wider than we count ends at the right edge, and the rows never scroll.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

# xterm's names of the control sequences: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"
PLAIN = "\x1b[0m"
CLEAR_LINE, CLEAR_SCREEN = "\x1b[2K", "\x1b[2J"
#: Alternate screen, no cursor, the whole screen as scrolling region, absolute rows, and characters replace others.
ENTER = f"\x1b[?1049h\x1b[?25l\x1b[r\x1b[?6l\x1b[4l{NO_WRAP}{PLAIN}{CLEAR_SCREEN}"
#: Synchronised output: a terminal that knows it shows the frame at once. Others ignore it.
BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"
LEAVE = f"{END}{PLAIN}{WRAP}\x1b[?25h\x1b[?1049l"  # ends a frame that was broken off


class Screen:
    """The whole terminal, while the `with` block runs. `enter` and `leave` may be called repeatedly, such as when
    Ctrl-Z stops the process and it goes on later."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = (0, 0)

    def __enter__(self) -> Self:
        self.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone
            self.leave()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in cells."""
        with contextlib.suppress(OSError):
            width, height = os.get_terminal_size(self._console.file.fileno())
            if width and height:
                return width, height
        return self._console.width, self._console.height

    def enter(self) -> None:
        """Takes the screen, empty."""
        self._write(ENTER)

    def leave(self) -> None:
        """Gives the terminal back as it was."""
        self._write(LEAVE)

    def show(self, lines: Sequence[Text], size: tuple[int, int]) -> None:
        """Draws one line in each row of a screen of this size."""
        clear = "" if size == self._shown else CLEAR_SCREEN
        self._shown = size
        rows = (
            f"\x1b[{row};1H{PLAIN}{CLEAR_LINE}{self._rendered(line)}{PLAIN}"
            for row, line in enumerate(lines[: size[1]], start=1)
        )
        self._write(f"{BEGIN}{NO_WRAP}{PLAIN}{clear}{''.join(rows)}{END}")

    def _rendered(self, line: Text) -> str:
        with self._console.capture() as captured:
            self._console.print(line, end="", soft_wrap=True)
        return captured.get()

    def _write(self, output: str) -> None:
        file = self._console.file
        encoding = getattr(file, "encoding", None) or "utf-8"
        file.write(output.encode(encoding, "replace").decode(encoding))
        file.flush()

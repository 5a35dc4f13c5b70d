"""Reads single keys from a terminal, by name, without waiting for Enter."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

#: The bytes of an escape sequence arrive together. If nothing follows an ESC within this time, it is the key ESC.
ESCAPE_S = 0.05

SEQUENCES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1bOC": "right",
    "\x1bOD": "left",
    "\x1b[1;2C": "shift-right",
    "\x1b[1;2D": "shift-left",
    "\x1b[Z": "shift-tab",
}
NAMES = {"\x1b": "escape", "\t": "tab", "\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace"}


def split(typed: str) -> tuple[list[str], str]:
    """Returns the keys in what was typed, and the rest: the start of an escape sequence that is not complete yet."""
    keys = []
    while typed:
        if typed[0] != "\x1b" or typed.startswith("\x1b\x1b"):
            keys.append(NAMES.get(typed[0], typed[0]))
            typed = typed[1:]
            continue
        length = _sequence(typed)
        if length is None:
            break
        keys.append(SEQUENCES.get(typed[:length], "unknown"))
        typed = typed[length:]
    return keys, typed


class Keys:
    """Passes each key to `on_key`, without echo, while the `with` block runs. Needs a running event loop."""

    def __init__(self, on_key: Callable[[str], None]) -> None:
        self._on_key = on_key
        self._fd = sys.stdin.fileno()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._escape: asyncio.TimerHandle | None = None
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._fd)
        self.resume()
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        if self._escape:
            self._escape.cancel()
        with contextlib.suppress(termios.error):  # the terminal is gone
            self.suspend()

    def resume(self) -> None:
        """Sets the terminal to pass on single keys."""
        tty.setcbreak(self._fd)

    def suspend(self) -> None:
        """Sets the terminal back to how it was, for as long as another program uses it."""
        termios.tcsetattr(self._fd, termios.TCSAFLUSH, self._before)

    def _read(self) -> None:
        if self._escape:
            self._escape.cancel()
            self._escape = None
        data = os.read(self._fd, 1024)
        if not data:  # the terminal is gone
            asyncio.get_running_loop().remove_reader(self._fd)
            self._on_key("quit")
            return
        keys, self._rest = split(self._rest + self._decoder.decode(data))
        for key in keys:
            self._on_key(key)
        if self._rest:
            self._escape = asyncio.get_running_loop().call_later(ESCAPE_S, self._lone_escape)

    def _lone_escape(self) -> None:
        """Passes on the key ESC and any keys after it. Together they looked like the start of a sequence."""
        rest, self._rest = self._rest, ""
        for char in rest:
            self._on_key(NAMES.get(char, char))


def _sequence(typed: str) -> int | None:
    """Returns the length of the escape sequence at the start, or None when it is incomplete (ECMA-48, 5.4)."""
    if len(typed) == 1:
        return None
    if typed[1] == "O":
        return 3 if len(typed) >= 3 else None
    if typed[1] != "[":
        return 2
    for place, char in enumerate(typed[2:], start=2):
        if "\x40" <= char <= "\x7e":
            return place + 1
    return None

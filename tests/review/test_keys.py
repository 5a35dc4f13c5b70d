"""Bytes of a terminal as names of keys."""

from __future__ import annotations

import pytest

from review.keys import split


@pytest.mark.parametrize(
    ("typed", "keys", "rest"),
    [
        pytest.param("a1?", ["a", "1", "?"], "", id="letters"),
        pytest.param("\r\n\t\x7f", ["enter", "enter", "tab", "backspace"], "", id="named keys"),
        pytest.param("\x1b[C\x1bOD", ["right", "left"], "", id="arrows, in both modes"),
        pytest.param("\x1b[1;2Cx", ["shift-right", "x"], "", id="shifted arrow, then a letter"),
        pytest.param("\x1b[15~a", ["unknown", "a"], "", id="a function key is no letters"),
        pytest.param("\x1ba", ["unknown"], "", id="alt and a letter is not the letter"),
        pytest.param("\x1b", [], "\x1b", id="ESC waits for what may follow"),
        pytest.param("a\x1b[1;", ["a"], "\x1b[1;", id="half a sequence waits"),
        pytest.param("\x1b\x1b[A", ["escape", "up"], "", id="ESC before a sequence"),
        pytest.param("ä☕", ["ä", "☕"], "", id="beyond ASCII"),
    ],
)
def test_keys(typed: str, keys: list[str], rest: str) -> None:
    assert split(typed) == (keys, rest)

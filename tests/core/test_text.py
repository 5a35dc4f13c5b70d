"""Strangers' text reaches the terminal as text only."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import one_line, printable, shorten


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        pytest.param("\x1b]0;owned\x07", "␛]0;owned␇", id="escape sequence"),
        pytest.param("a\x9bb", "a\ufffdb", id="C1 control sequence introducer"),
        pytest.param("a\u202eb", "a\ufffdb", id="right-to-left override"),
        pytest.param("a\u2028b", "a\ufffdb", id="line separator"),
        pytest.param("a\x7fb\r\tc", "a␡b␍␉c", id="other controls"),
        pytest.param("two\nlines 👩‍👩‍👧 naïve", "two\nlines 👩‍👩‍👧 naïve", id="text stays"),
    ],
)
def test_controls_are_made_visible(raw: str, shown: str) -> None:
    assert printable(raw) == shown


@given(st.text())
def test_offsets_hold_and_no_control_gets_through(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert not [char for char in shown if unicodedata.category(char) == "Cc" and char != "\n"]
    assert "\n" not in one_line(text)


@pytest.mark.parametrize(
    ("text", "ending", "shown"),
    [
        pytest.param("abcdef", "…", "abcdef", id="it fits"),
        pytest.param("abcdefg", "…", "abcde…", id="cut"),
        pytest.param("abcdefg", "...", "abc...", id="a longer ending"),
    ],
)
def test_a_shortened_text_is_as_long_as_allowed(text: str, ending: str, shown: str) -> None:
    assert shorten(text, 6, ending) == shown

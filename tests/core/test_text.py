"""Strangers' text reaches the terminal as text only."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text import one_line, printable, shorten, without_secrets


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


#: Name -> a text with `hidden` in its password, and what is shown.
SECRETS: dict[str, tuple[str, str]] = {
    "user and password": ("at http://elastic:hidden@h:9200/x", "at http://***@h:9200/x"),
    "a key alone": ("https://hidden@h", "https://***@h"),
    "an at sign": ("http://u:hid@hidden@h:9200", "http://***@h:9200"),
    "a slash": ("https://u:hidden/w@h:9200/path", "https://***@h:9200/path"),
    "two slashes": ("https://u:p//hidden@h", "https://***@h"),
    "a blank": ("http://u:hidden w@h refused", "http://***@h refused"),
    "blanks and at signs": ("http://u:p hidden@hidden@h refused", "http://***@h refused"),
    "a slash behind digits": ("http://u:123456/hidden@h", "http://***@h"),
    "digits and a slash": ("https://u:12/34hidden@h/", "https://***@h/"),
    "a digit and a slash": ("https://u:1/hidden@h:9200 refused", "https://***@h:9200 refused"),
    "five digits, two slashes": ("https://u:12345//hidden@h", "https://***@h"),
    "digits, a slash and an at sign": ("https://u:99/hid@hidden@h", "https://***@h"),
    "digits and a question mark": ("https://u:12?hidden@h", "https://***@h"),
    "no user, digits and a slash": ("redis://:12/hidden@h:6379", "redis://***@h:6379"),
    "the word port and a slash": ("https://u:port/hidden@h", "https://***@h"),
    "the word port in a longer one": ("https://u:porthidden/w@h", "https://***@h"),
    "a port before it": ("http://h:9200,http://u:12/hidden@i", "http://h:9200,http://***@i"),
    "no user": ("redis://:hidden/w@h:6379", "redis://***@h:6379"),
    "no scheme": ("cannot reach elastic:hidden@h:9200", "cannot reach ***@h:9200"),
    "no scheme, in brackets": ("(elastic:hidden@10.0.0.1:9200)", "(***@10.0.0.1:9200)"),
    "Basic": ("Authorization: Basic hidden==", "Authorization: Basic ***"),
    "Basic in a mapping": ("{'authorization': 'Basic hidden', 'x': 1}", "{'authorization': 'Basic ***', 'x': 1}"),
    "a bearer": ("bearer hidden, x", "bearer *** x"),
    "Digest": ('Authorization: Digest username="u", response="hidden"', "Authorization: Digest ***"),
    "Digest alone": ("Digest response=hidden, nc=1\nnext", "Digest ***\nnext"),
    "Negotiate": ("Proxy-Authorization: Negotiate hidden", "Proxy-Authorization: Negotiate ***"),
    "another scheme": ("authorization=Token hidden", "authorization=Token ***"),
}

HARMLESS = [
    "http://h:9200/mner refused; write to me@h",
    "http://h:9200, http://i:9200: ask a@b",
    "http://[::1]:9200/ refused; write to me@h",
    "http://es:port and see a@b.c",
    "give http://HOST:PORT, or ask a@b.c",
    "http://es:port/path and see a@b.c",
    "http://h:1/a/b?c=d refused; write to me@h",
    "http://h:9200 me@h",
    "https://medium.test/@user/1",
    "the post mastodon:123@social.test is too long",
    "me@h.test wrote at 10:00",
    "a digest of 12 posts, basically",
    "ratio 1:2 @ 3:4",
]


@pytest.mark.parametrize("name", SECRETS)
def test_no_password_is_shown(name: str) -> None:
    text, shown = SECRETS[name]
    assert without_secrets(text) == shown
    assert "hidden" not in shown


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_password_stays(text: str) -> None:
    assert without_secrets(text) == text

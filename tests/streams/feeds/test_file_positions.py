"""Where a file feed goes on: after which record, and only in the file that it has read."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from core.files.formats import FORMATS
from core.files.posts import open_lines, open_posts
from streams.feeds.file_place import Place
from streams.feeds.files import FileSource
from streams.feeds.orders import Oversize
from streams.feeds.source import FeedRefused, Gap, Received
from streams.settings import Settings
from streams.topics import TWEETS
from tests.streams.account import held
from tests.streams.feeds.test_files import MOST, feed, limit, topic

__all__ = ["topic"]  # a fixture

LINES = [b'{"id": "%d", "text": "x"}' % number for number in range(1, 6)]
TWO = b"\n".join(LINES[:2])


def read(data: bytes, cursor: str | None = None, *, as_is: bool = False, **options: Any) -> list[Received]:
    file = io.BytesIO(data)
    posts = open_lines(file, MOST) if as_is else open_posts(file, MOST, frozenset(FORMATS))
    with FileSource(posts, "file:x", as_is=as_is, **options).open(cursor, None) as messages:
        return [message for message in messages if not isinstance(message, Gap)]


def lines(messages: list[Received]) -> list[bytes]:
    return [line for message in messages for line in message.adapted.lines]


def last(messages: list[Received]) -> str | None:
    """Returns the cursor that the runner saves."""
    return next((message.cursor for message in reversed(messages) if message.cursor is not None), None)


@pytest.mark.parametrize("as_is", [False, True])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n"])
def test_a_file_that_has_grown_goes_on_after_the_last_record(end: bytes, as_is: bool) -> None:
    cursor = last(read(TWO + end, as_is=as_is))
    assert lines(read(TWO + (end or b"\n") + b"\n".join(LINES[2:]), cursor, as_is=as_is)) == LINES[2:]
    assert read(TWO + end, cursor, as_is=as_is) == []


def test_a_position_counts_records_that_were_not_sent() -> None:
    cursor = last(read(b"\n" + TWO, first=3))
    assert lines(read(b"\n" + TWO + b"\n" + LINES[2], cursor)) == [LINES[2]]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(LINES[2], "it has 1 of the 2 lines", id="a shorter file"),
        pytest.param(b"", "it has 0 of the 2 lines", id="an empty file"),
        pytest.param(b"\n".join(LINES[2:]), "its first 2 lines are not those", id="other lines"),
        pytest.param(b"\n".join([LINES[3], *LINES[1:]]), "its first 2 lines are not those", id="another first line"),
        pytest.param(b"[" + b",".join(LINES[1:]) + b"]", "its first 2 posts are not those", id="an array"),
    ],
)
def test_a_file_that_was_replaced_is_refused(data: bytes, says: str) -> None:
    cursor = last(read(TWO))
    with pytest.raises(FeedRefused, match=f"{says}.*leave out --resume"):
        read(data, cursor)


def test_a_last_line_that_is_still_being_written_is_read_again() -> None:
    begun = read(TWO + b"\n" + LINES[2][:12])
    assert lines(begun) == [*LINES[:2], LINES[2][:12]]
    assert lines(read(b"\n".join(LINES), last(begun))) == LINES[2:]


@pytest.mark.parametrize("end", [b"\n", b"\n" + LINES[2]])
def test_a_broken_line_that_has_ended_is_not_read_again(end: bytes) -> None:
    begun = read(TWO + b"\n" + b'{"id": "9", "te' + end)
    assert read(TWO + b"\n" + b'{"id": "9", "te' + end, last(begun)) == []


def test_a_last_value_of_a_sequence_that_is_still_being_written_is_read_again() -> None:
    begun = b"".join(b"\x1e" + line + b"\n" for line in LINES[:2])
    cursor = last(read(begun + b"\x1e" + LINES[2][:12]))
    assert lines(read(begun + b"\x1e" + LINES[2], cursor)) == [LINES[2]]


SENTENCES = b"Ada\tO\nruns\tO\n\nBob\tO\n"


@pytest.mark.parametrize("rest", [b"", b"sleeps\tO\n", b"sleeps\tO", b"\n", b"\nEve\tO\n\n"])
def test_a_last_sentence_that_may_still_grow_is_read_again(rest: bytes) -> None:
    begun = read(SENTENCES)
    assert [post.text for message in begun for post in message.adapted.posts] == ["Ada runs", "Bob"]
    assert read(SENTENCES + rest, last(begun)) == read(SENTENCES + rest)[1:]


@pytest.mark.parametrize("cursor", ["", "2", "-1", "x", "2:", "2:zz", "9" * 5000, "\u0662:0123456789abcdef"])
def test_a_damaged_cursor_is_refused_with_the_remedy(cursor: str) -> None:
    with pytest.raises(FeedRefused, match=r"^the saved cursor '.*' is none of this feed; leave out --resume"):
        read(TWO, cursor)


def test_the_position_after_a_record_that_is_too_long_is_kept() -> None:
    data = b"\n".join([*LINES[:2], b'{"id": "' + b"x" * MOST + b'"}', LINES[3]])
    posts = open_posts(io.BytesIO(data), MOST, frozenset(FORMATS))
    found: list[Received] = []
    with FileSource(posts, "file:x").open(None, None) as messages, pytest.raises(Oversize) as caught:
        found.extend(message for message in messages if isinstance(message, Received))
    assert Place.read(caught.value.cursor or "").number == 3
    assert lines(found) == LINES[:2]
    assert lines(read(data, last(found))) == [LINES[3]]


def test_resume_refuses_a_file_that_was_replaced(settings: Settings, topic: str, tmp_path: Path) -> None:
    (tmp_path / "posts.jsonl").write_bytes(TWO)
    feed("posts.jsonl")
    (tmp_path / "posts.jsonl").write_bytes(LINES[2])
    with pytest.raises(UserError, match=r"^posts.jsonl was changed since its last run: it has 1 of the 2 lines"):
        feed("posts.jsonl", "--resume")
    assert held(str(settings.kafka), topic) == LINES[:2]
    feed("posts.jsonl")
    assert held(str(settings.kafka), topic) == LINES[:3]


def test_resume_goes_on_after_a_line_that_is_too_long(settings: Settings, topic: str, tmp_path: Path) -> None:
    long = b'{"id": "' + b"x" * MOST + b"x" * MOST + b'"}'
    (tmp_path / "posts.jsonl").write_bytes(b"\n".join([LINES[0], long, LINES[2]]))
    with pytest.raises(UserError, match=r"^line 2 has 2000010 bytes, .*continue with line 3"):
        feed("posts.jsonl", "--resume", "--json", "counts.json")
    assert json.loads((tmp_path / "counts.json").read_text())["skipped"] == {"too_long": 1}
    feed("posts.jsonl", "--resume")
    assert held(str(settings.kafka), topic) == [LINES[0], LINES[2]]


def test_resume_goes_on_after_a_line_that_is_too_long_for_its_topic(
    settings: Settings, topic: str, tmp_path: Path
) -> None:
    limit(settings, TWEETS, 2000)
    (tmp_path / "posts.jsonl").write_bytes(b"\n".join([LINES[0], b'{"id": "' + b"x" * 5000 + b'"}', LINES[2]]))
    with pytest.raises(UserError, match=r"^line 2 has 5010 bytes, .*continue with line 3"):
        feed("posts.jsonl", "--resume")
    feed("posts.jsonl", "--resume")
    assert held(str(settings.kafka), topic) == [LINES[0], LINES[2]]

"""What the source of Bluesky makes of a Jetstream server: where it begins, gaps, silence, frames that mislead."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from streams.feeds.adapters.bluesky import POSTS, adapt
from streams.feeds.bluesky import Bluesky
from streams.feeds.reading import Item, Reader
from streams.feeds.source import Began, Disconnected, FeedRefused, Gap, Message, Received
from tests.streams.feeds.contract import quick

NOW_US = 0
"""When the running test began, in microseconds."""


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.NOW_US", time.time_ns() // 1000)


def frame(time_us: int) -> str:
    return json.dumps({"did": "did:plc:a", "time_us": time_us, "kind": "identity"})


def without_date(_: ServerConnection, __: Request, response: Response) -> None:
    """Removes the header, as the library of Bluesky's own server never sends it."""
    del response.headers["Date"]


@contextmanager
def served(converse: Callable[[ServerConnection], None], *, dated: bool = True) -> Iterator[str]:
    """Runs a server. Yields its address. `dated`: whether its first answer tells the time."""
    with serve(converse, "127.0.0.1", 0, process_response=None if dated else without_date) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(10)


@contextmanager
def sending(*texts: str | bytes, dated: bool = True) -> Iterator[Any]:
    """Runs a server that sends these frames to each client. Yields its address, and the cursors it was asked for."""
    cursors: list[str | None] = []

    def converse(socket: ServerConnection) -> None:
        assert socket.request is not None
        cursors.append(parse_qs(urlsplit(socket.request.path).query).get("cursor", [None])[0])
        for text in texts:
            socket.send(text)
        socket.recv()

    with served(converse, dated=dated) as server:
        yield server, cursors


@contextmanager
def replaying(*frames: tuple[int, bytes]) -> Iterator[str]:
    """Runs a server that sends these text frames, (time_us, bytes), from the cursor on. Yields its address."""

    def converse(socket: ServerConnection) -> None:
        assert socket.request is not None
        cursor = int(parse_qs(urlsplit(socket.request.path).query)["cursor"][0])
        with suppress(ConnectionClosed):
            for time_us, payload in frames:
                if time_us >= cursor:
                    socket.send(payload, text=True)
            socket.recv()

    with served(converse) as server:
        yield server


def received(server: str, count: int, cursor: str | None, since: datetime | None = None) -> list[Message]:
    """Returns what comes after `Began`."""
    with Bluesky(server).open(cursor, since) as messages:
        return list(islice((message for message in messages if not isinstance(message, Began)), count))


def test_a_connection_starts_some_seconds_before_the_cursor_which_never_goes_back() -> None:
    with sending(frame(NOW_US - 3_000_000), frame(NOW_US - 1_000_000), frame(NOW_US + 5)) as (server, cursors):
        messages = received(server, 3, str(NOW_US))
    assert cursors == [str(NOW_US - 5_000_000)]
    assert [message.cursor for message in messages if isinstance(message, Received)] == [
        str(NOW_US),
        str(NOW_US),
        str(NOW_US + 5),
    ]


@pytest.mark.parametrize("starts", ["cursor", "since"])
def test_a_first_message_long_after_the_cursor_is_a_gap_of_unknown_size(starts: str) -> None:
    start_us = NOW_US - 300_000_000
    since = datetime.fromtimestamp(start_us / 1e6, UTC)
    with sending(frame(NOW_US), frame(NOW_US + 1)) as (server, _):
        found = received(server, 3, *((str(start_us), None) if starts == "cursor" else (None, since)))
    (gap,) = [message for message in found if isinstance(message, Gap)]
    assert found[0] is gap
    assert (gap.size, round((gap.until or 0) - (gap.since or 0))) == (None, 300)


def test_a_server_that_says_nothing_is_noticed() -> None:
    with (
        sending() as (server, _),
        Bluesky(server, heartbeat_s=0.05).open(None, None) as messages,
        pytest.raises(Disconnected) as caught,
    ):
        list(messages)
    assert caught.value.fault == "silent"


def test_leaving_from_another_thread_ends_an_iteration_that_waits() -> None:
    with sending() as (server, _):
        context = Bluesky(server).open(None, None)
        messages = context.__enter__()
        threading.Timer(0.1, context.__exit__, (None, None, None)).start()
        with pytest.raises(Disconnected):
            list(messages)


def test_a_feed_without_a_cursor_begins_at_a_position_that_can_be_saved() -> None:
    since = datetime.fromtimestamp((NOW_US - 60_000_000) / 1e6, UTC)
    with sending(frame(NOW_US - 9_000_000)) as (server, _):
        with Bluesky(server).open(None, None) as messages:
            began, first = islice(messages, 2)
        with Bluesky(server).open(None, since) as messages:
            from_moment = next(messages)
    assert isinstance(began, Began)
    assert abs(int(began.cursor) - time.time_ns() // 1000) < 20_000_000
    assert isinstance(first, Received)
    assert first.cursor == str(NOW_US - 9_000_000), "the server's own time counts as soon as it is known"
    assert from_moment == Began(str(int(since.timestamp() * 1e6)))


def test_a_frame_from_the_future_does_not_move_the_cursor() -> None:
    start_us = NOW_US - 36_000_000_000
    times = [start_us + 1, NOW_US + 1_000_000_000, start_us + 2]
    with sending(*map(frame, times)) as (server, _):
        messages = received(server, 3, str(start_us))
    cursors = [int(message.cursor or 0) for message in messages if isinstance(message, Received)]
    assert cursors == [start_us + 1, start_us + 1, start_us + 2]


def test_a_new_feed_has_no_cursor_after_a_first_frame_from_the_future() -> None:
    with sending(frame(NOW_US + 1_000_000_000), frame(NOW_US)) as (server, _):
        messages = received(server, 2, None)
    assert [message.cursor for message in messages if isinstance(message, Received)] == [None, str(NOW_US)]


@pytest.mark.parametrize(
    "ahead_us",
    [(900_000_000, 900_000_000), (900_000_001, 900_000_000), (900_000_000, 990_000_000), (900_000_000, 0, 900_000_001)],
    ids=["one time", "falling", "far apart", "not in a row"],
)
def test_frames_from_the_future_that_do_not_agree_do_not_move_the_cursor(ahead_us: tuple[int, ...]) -> None:
    with sending(*(frame(NOW_US + ahead) for ahead in (1, *ahead_us, 2))) as (server, _):
        messages = received(server, len(ahead_us) + 2, str(NOW_US))
    assert max(int(message.cursor or 0) for message in messages if isinstance(message, Received)) == NOW_US + 2


def test_a_first_frame_from_the_future_neither_makes_nor_hides_a_gap() -> None:
    start_us = NOW_US - 36_000_000_000
    with sending(frame(NOW_US + 1_000_000_000), frame(NOW_US)) as (server, _):
        first, gap, second = received(server, 3, str(start_us))
    assert isinstance(gap, Gap)
    assert [message.cursor for message in (first, second) if isinstance(message, Received)] == [
        str(start_us),
        str(NOW_US),
    ]


def test_a_clock_that_is_slow_does_not_hold_up_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    with sending(frame(NOW_US)) as (server, _):
        monkeypatch.setattr("streams.feeds.bluesky.time.time_ns", lambda: (NOW_US - 600_000_000) * 1000)
        (message,) = received(server, 1, str(NOW_US - 1))
    assert isinstance(message, Received)
    assert message.cursor == str(NOW_US)


def test_two_frames_ahead_of_a_clock_that_is_slow_move_the_cursor_if_the_server_tells_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with sending(*(frame(NOW_US + number) for number in range(4)), dated=False) as (server, _):
        monkeypatch.setattr("streams.feeds.bluesky.time.time_ns", lambda: (NOW_US - 600_000_000) * 1000)
        messages = received(server, 4, str(NOW_US - 1))
    cursors = [int(message.cursor or 0) - NOW_US for message in messages if isinstance(message, Received)]
    assert cursors == [-1, 1, 2, 3]


def read_until(server: str, start_us: int, last_us: int) -> list[Item]:
    """Reads a server from a cursor, over breaks, until the cursor reaches `last_us`. Returns all that came."""
    reader = Reader(quick(Bluesky(server)), str(start_us), None)
    reader.start()
    items: list[Item] = []
    try:
        while not any(isinstance(item, Received) and item.cursor == str(last_us) for item in items):
            items += reader.items(5)
            assert len(items) < 100, items
    finally:
        reader.stop()
    return items


def test_a_text_frame_that_is_not_utf_8_becomes_a_dead_letter() -> None:
    poison = frame(NOW_US - 2).encode().replace(b"plc:a", b"plc:\xff")
    with replaying((NOW_US - 2, poison), (NOW_US - 1, frame(NOW_US - 1).encode())) as server:
        first, _ = read_until(server, NOW_US - 3, NOW_US - 1)
    assert isinstance(first, Received)
    assert (first.raw, first.adapted.skipped) == (poison, "unreadable")


@pytest.mark.parametrize("lies_s", [0.01, 30.0])
@pytest.mark.parametrize("comes_first", [True, False])
def test_a_frame_that_is_too_large_is_passed_over_as_a_gap(
    lies_s: float, *, comes_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.feeds.bluesky.MOST_BYTES", 1000)
    start_us = NOW_US - 3_600_000_000
    poison_us, after_us = start_us + int(lies_s * 1e6), start_us + int(2.5e6 * lies_s) + 10_000_000
    frames = [(poison_us, b"x" * 16_001), *((time_us, frame(time_us).encode()) for time_us in (after_us, NOW_US))]
    if not comes_first:
        frames.insert(0, (start_us, frame(start_us).encode()))
    with replaying(*frames) as server:
        items = read_until(server, start_us, NOW_US)
    gaps = [item for item in items if isinstance(item, Gap)]
    assert any((gap.since or 0) <= poison_us / 1e6 <= (gap.until or 0) for gap in gaps)
    assert "larger than 16000 bytes" in gaps[0].reason
    assert max(gap.until or 0 for gap in gaps) < after_us / 1e6
    assert str(after_us) in {item.cursor for item in items if isinstance(item, Received)}


def test_the_adapter_reads_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_600_000_000.0)
    assert adapt(frame(NOW_US)).adapted.skipped == "identity"


def test_a_live_message_that_cannot_be_read_says_why() -> None:
    with sending(json.dumps({"did": "did:plc:a", "time_us": NOW_US, "kind": "commit"})) as (server, _):
        (message,) = received(server, 1, None)
    assert isinstance(message, Received)
    assert message.why == "has no field 'commit'"


def test_edits_of_one_post_grow_whatever_their_createdat_says() -> None:
    def edit(key: str, age_s: int, created: str | None) -> int:
        record = {"text": "x"} | ({"createdAt": created} if created else {})
        commit = {"operation": "update", "collection": POSTS, "rkey": key, "record": record}
        payload = {"did": "did:plc:a", "time_us": NOW_US - age_s * 1_000_000, "kind": "commit", "commit": commit}
        (post,) = adapt(json.dumps(payload)).adapted.posts
        return post.edit

    now = datetime.fromtimestamp(NOW_US / 1e6, UTC).isoformat()
    for key, ages in (("3lbbbbbbbbb2a", (90_000, 50, 0)), ("self", (9_000_000, 4_000_000, 0))):
        numbers = [edit(key, age, said) for age, said in zip(ages, ("2010-01-01T00:00:00Z", now, None), strict=True)]
        assert numbers == sorted(numbers)
        assert numbers[0] < numbers[-1]


def test_an_update_moves_a_post_to_no_later_time() -> None:
    """Otherwise an erasure of the author between the two times would reach the post or not, by the order of arrival."""

    def created(operation: str, event_us: int, said: datetime | None) -> datetime | None:
        record = {"text": "x"} | ({"createdAt": said.isoformat()} if said else {})
        commit = {"operation": operation, "collection": POSTS, "rkey": "3lbbbbbbbbb2a", "record": record}
        payload = {"did": "did:plc:a", "time_us": event_us, "kind": "commit", "commit": commit}
        (post,) = adapt(json.dumps(payload)).adapted.posts
        return post.created_at

    made_us = 1731979090566375  # the time in the key
    made, later = datetime.fromtimestamp(made_us / 1e6, UTC), made_us + 7_200_000_000
    assert created("create", made_us + 500_000, None) == made
    for said in (None, made + timedelta(hours=2), made + timedelta(days=90)):
        assert created("update", later, said) == made
    long_ago = datetime(2015, 1, 1, tzinfo=UTC)
    assert created("create", made_us, long_ago) == long_ago


@pytest.mark.parametrize("cursor", ["abc", "", "1" * 30, "٣"])
def test_a_damaged_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(FeedRefused, match="is none of this feed; --fresh starts"):
        received("ws://127.0.0.1:1", 1, cursor)

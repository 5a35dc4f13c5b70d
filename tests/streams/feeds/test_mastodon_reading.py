"""What the Mastodon feed makes of strange ids, of payloads that cannot be read, and of answers without an end."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

import pytest
from aiohttp import web

from streams.feeds import mastodon_session
from streams.feeds.adapters.mastodon import KEEP
from streams.feeds.mastodon import DIRECT, ERASE, Mastodon
from streams.feeds.source import Disconnected, Gap, Message, Received
from streams.feeds.sse import MAX_EVENT, Event, EventReader
from tests.streams.feeds.platforms.web import answering

MINUTE_S = 60.0


def id_of(seconds: float) -> str:
    """Returns an id of a time before or after now, in seconds."""
    return str(int((time.time() + seconds) * 1000) << 16)


def status(name: object) -> dict[str, object]:
    return {"id": name, "content": "x"}


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def serving(pages: list[list[object]], live: list[object]) -> Answer:
    """Returns a server of these pages of its timeline, and then of empty ones, and of these events."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "timelines" in request.path:
            return web.json_response(pages.pop(0) if pages else [])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b":thump\n")
        for entry in live:
            await response.write(b"event: update\ndata: %b\n\n" % json.dumps(entry).encode())
        return response

    return answer


def received(address: str, cursor: str | None, count: int) -> list[Message]:
    with Mastodon(address).open(cursor, None) as messages:
        return list(islice((message for message in messages if isinstance(message, Received | Gap)), count))


def names(messages: list[Message]) -> list[str]:
    return [post.id.rpartition(":")[2] for message in messages for post in message.adapted.posts]  # type: ignore[union-attr]


# ids


@pytest.mark.parametrize("odd", ["ahead", "9" * 29, "9" * 31, "z" * 64])
def test_an_odd_id_does_not_move_the_cursor(odd: str) -> None:
    odd = id_of(5 * MINUTE_S) if odd == "ahead" else odd
    cursor, first, second = id_of(-9), id_of(-6), id_of(-3)
    with answering(serving([], [status(name) for name in (first, odd, second)])) as address:
        _, *found = received(address, cursor, 4)
    assert names(found) == [first, odd, second]
    assert [message.cursor for message in found if isinstance(message, Received)] == [first, None, second]


def test_a_server_whose_clock_is_ahead_of_ours_has_cursors() -> None:
    later = id_of(3600)
    ids = [str(int(later) + number) for number in range(2)]

    async def answer(request: web.Request) -> web.StreamResponse:
        answered = await serving([], [])(request) if "timelines" in request.path else web.StreamResponse()
        if "timelines" not in request.path:
            answered.headers["Date"] = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
            answered.headers["Content-Type"] = "text/event-stream"
            await answered.prepare(request)
            for name in ids:
                await answered.write(b"event: update\ndata: %b\n\n" % json.dumps(status(name)).encode())
        return answered

    with answering(answer) as address:
        found = received(address, None, 2)
    assert [message.cursor for message in found if isinstance(message, Received)] == ids


@pytest.mark.parametrize(
    "ids",
    [
        ["98", "99", "100", "101"],
        ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAW"],
        ["790000000000000001", "790000000000000002"],  # as times, these are of the year 2351
    ],
    ids=["counted", "words", "another epoch"],
)
def test_other_software_has_ids_that_are_no_times(ids: list[str]) -> None:
    """Without a cursor, a feed begins at an id of Mastodon. After two ids of another form, the cursor is of theirs."""
    with answering(serving([], [status(name) for name in ids])) as address:
        for start in (None, id_of(-9)):
            found = received(address, start, len(ids) + (start is not None))
            assert found[-1].cursor == ids[-1]  # type: ignore[union-attr]


def test_an_odd_id_in_a_timeline_does_not_end_the_reading_of_its_pages() -> None:
    cursor = id_of(-90)
    odd, pages = id_of(9 * MINUTE_S), [[status(id_of(-80 + place)) for place in range(40)] for _ in range(1)]
    pages = [[*pages[0][1:], status(odd)], [status(id_of(-9))], []]
    wanted = {str(entry["id"]) for page in pages for entry in page}
    with answering(serving(list(pages), [])) as address:  # type: ignore[arg-type]
        _, *found = received(address, cursor, len(wanted) + 1)
    assert set(names(found)) == wanted
    assert all(message.cursor != odd for message in found if isinstance(message, Received))


@pytest.mark.parametrize(
    ("server", "host"),
    [
        ("http://[::1]:3000", "[::1]:3000"),
        ("http://[::1:3000]", "[::1:3000]"),
        ("https://[::1]", "[::1]"),
        ("https://EXAMPLE.org:443", "example.org"),
        ("http://example.org:443", "example.org:443"),
    ],
)
def test_two_servers_never_have_one_name(server: str, host: str) -> None:
    source = Mastodon(server)
    assert source.host == host
    assert host in source.identity


# dead letters


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (
            Event("update", b"{}", too_long=True, raw=b"event: update\ndata: {"),
            f"data: has more than {MAX_EVENT} bytes (got b'event: update\\ndata: {{'); the rest is lost; {KEEP}",
        ),
        (Event("", b"{}", raw=b"data: {}"), f"event: is missing (got b'data: {{}}'); {DIRECT}"),
        (Event("update", None, raw=b"event: update"), f"data: is missing (got b'event: update'); {DIRECT}"),
        (Event("update", b"[7]"), f"data: is no object (got [7]); {KEEP}"),
        (Event("update", b'{"id": "../7"}'), f"id: is no number and no word of 1 to 64 letters (got '../7'); {KEEP}"),
        (Event("status.update", b'{"id": "7", "content": 3}'), f"content: is no text (got 3); {KEEP}"),
        (
            Event("update", b'{"id": '),
            f"data: is not JSON: Expecting value: line 1 column 8 (char 7) (got b'{{\"id\": '); {KEEP}",
        ),
        (Event("delete", b'{"id": 7}'), f"data: is no id of a status (got '{{\"id\": 7}}'); {ERASE}"),
    ],
)
def test_a_dead_letter_names_the_field_its_value_and_the_remedy(event: Event, why: str) -> None:
    message = Mastodon()._read(event)
    assert message.raw is not None
    assert message.why == why


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        (None, "data: is no object (got None)"),
        ({"id": None, "content": "é\ud800"}, "id: is no number and no word of 1 to 64 letters (got None)"),
        ({"id": "a b"}, "id: is no number and no word of 1 to 64 letters (got 'a b')"),
        ({"id": "new", "content": None}, "content: is no text (got None)"),
    ],
)
def test_an_entry_of_a_timeline_that_cannot_be_read_is_a_dead_letter(entry: object, wrong: str) -> None:
    cursor, last = id_of(-9), id_of(-4)
    if isinstance(entry, dict) and entry["id"] == "new":
        entry = entry | {"id": id_of(-5)}
    with answering(serving([[entry, status(last)]], [])) as address:
        _, letter, post = received(address, cursor, 3)
    assert isinstance(letter, Received)
    assert json.loads(letter.raw or b"") == entry
    assert letter.why == f"{wrong}; {KEEP}"
    assert names([post]) == [last]


# answers without an end


@pytest.mark.parametrize("place", ["headers", "body", "redirect"])
@pytest.mark.parametrize("asked", ["timelines", "streaming", "instance"])
def test_an_answer_that_drips_ends_after_its_time(asked: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes long before the time for one reading is over."""
    if (asked, place) == ("streaming", "body"):
        pytest.skip("a stream has no end")
    monkeypatch.setattr(mastodon_session, "ANSWER_S", 0.5)
    dripped: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if asked not in request.path:
            return await serving([], [])(request)
        assert request.transport is not None
        moved = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n"
        start = {"headers": b"HTTP/1.1 200 OK\r\nX: ", "body": b"HTTP/1.1 200 OK\r\n\r\n[", "redirect": moved}
        request.transport.write(start[place])
        while not request.transport.is_closing():
            request.transport.write(b" ")
            dripped.append(1)
            await asyncio.sleep(0.05)
        return web.Response()

    with answering(answer) as address, pytest.raises(Disconnected) as caught:
        received(address, id_of(-9), 2)
    assert "within 0.5 s" in str(caught.value)
    assert 3 < len(dripped) < 100


def test_a_timeline_is_read_up_to_a_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mastodon_session, "MAX_ANSWER", 100_000)

    async def answer(request: web.Request) -> web.StreamResponse:
        if "timelines" not in request.path:
            return await serving([], [])(request)
        response = web.StreamResponse()
        response.enable_compression()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)

    with answering(answer) as address, pytest.raises(Disconnected, match="has more than 100,000 bytes"):
        received(address, id_of(-9), 2)


# events


class Counted(bytes):
    """Counts the bytes that are copied out of it."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        self.copied += len(part)
        return part


@pytest.mark.parametrize("line", [b"a\n", b"ab\n", b"data\n", b"data:x\n", b":\n"])
def test_an_event_of_very_many_lines_is_bounded_and_each_byte_is_copied_once(
    line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 20_000
    monkeypatch.setattr("streams.feeds.sse.MAX_EVENT", most)
    piece = Counted(b"event: update\n" + line * (2 * most // len(line)) + b"\n")
    reader = EventReader()
    tracemalloc.start()
    (event,) = reader.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert event.too_long
    assert len(event.raw) <= most + 4  # they tell whether the last line is empty
    assert peak < 5 * most
    assert piece.copied <= len(piece)


def test_blank_lines_between_events_count_for_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.feeds.sse.MAX_EVENT", 50)
    (event,) = EventReader().feed(b"\r\n" * 60 + b"event: update\ndata: {}\n\n")
    assert not event.too_long


def test_what_follows_in_an_event_that_is_too_long_is_no_event() -> None:
    stream = b"data: " + b"x" * MAX_EVENT + b"\r\nevent: update\r\ndata: {}\r\n\r\nevent: z\n\n"
    for size in (len(stream), 65_536):
        reader = EventReader()
        found = [event for at in range(0, len(stream), size) for event in reader.feed(stream[at : at + size])]
        assert [(event.name, event.too_long) for event in found] == [("", True), ("z", False)]

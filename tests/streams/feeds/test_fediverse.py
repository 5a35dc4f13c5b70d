"""What Mastodon and RSS do beyond the contract: refusals, gaps, several feeds, conditional requests."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import pytest
from aiohttp import web

from core.errors import UserError
from core.reading import MAX_EDIT
from streams.feeds import rss_places
from streams.feeds.adapters.rss import Entry, number_of
from streams.feeds.mastodon import Mastodon
from streams.feeds.rss import Rss
from streams.feeds.rss_fetch import FeedPolicy
from streams.feeds.source import Disconnected, FeedRefused, Gap, Received
from streams.feeds.sse import MAX_EVENT, EventReader
from streams.images.errors import ImageError
from tests.streams.feeds.platforms.web import answering


def document(*names: str) -> web.Response:
    items = "".join(f"<item><guid>{name}</guid><title>{name}</title></item>" for name in names)
    return web.Response(text=f"<rss version='2.0'><channel>{items}</channel></rss>", headers={"ETag": '"e"'})


@pytest.mark.parametrize(
    ("status", "token", "said"),
    [(401, None, "set MNER_MASTODON_TOKEN"), (403, "t", "refuses the token"), (404, None, "no public stream")],
)
def test_a_server_that_refuses_the_stream_is_named_with_the_remedy(status: int, token: str | None, said: str) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": "no"}, status=status)

    with (
        answering(refuse) as address,
        Mastodon(address, token).open(None, None) as messages,
        pytest.raises(FeedRefused, match=said),
    ):
        next(messages)


def test_a_timeline_that_is_refused_is_a_gap_and_the_stream_goes_on() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "streaming" not in request.path:
            return web.json_response({"error": "no"}, status=401)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'event: update\ndata: {"id": "9", "content": "x"}\n\n')
        await response.write(b":thump\n")
        return response

    with answering(answer) as address, Mastodon(address).open("7", None) as messages:
        first, second, third = islice(messages, 3)
    assert isinstance(first, Gap)
    assert isinstance(second, Gap)
    assert "HTTP 401" in second.reason
    assert isinstance(third, Received)
    assert third.cursor == "9"


@pytest.mark.parametrize("server_name", ["https://x/@me", "ftp://x", "https://", "https://a:b@x"])
def test_an_address_that_is_no_server_is_refused(server_name: str) -> None:
    with pytest.raises(UserError, match="is no address of a server"):
        Mastodon(server_name)


def test_what_is_no_hashtag_or_no_token_is_refused() -> None:
    with pytest.raises(UserError, match="is no hashtag"):
        Mastodon(hashtag="a&b")
    with pytest.raises(UserError, match="is no token"):
        Mastodon(token="a\nb")


def test_events_are_cut_at_line_feeds_and_bounded() -> None:
    stream = (
        b":thump\nevent: update\r\ndata: a\r\ndata:b\n\n" + b"data: " + b"x" * (MAX_EVENT + 9) + b"\n\nevent: z\n\n"
    )
    for size in (1 << 20, 7777):
        reader = EventReader()
        pieces = (stream[at : at + size] for at in range(0, len(stream), size))
        events = [event for piece in pieces for event in reader.feed(piece)]
        assert [event.is_sign_of_life for event in events] == [True, False, False, False]
        assert (events[1].name, events[1].data) == ("update", b"a\nb")
        assert events[2].too_long
        assert (events[3].name, events[3].too_long) == ("z", False)


def test_a_large_comment_costs_no_event() -> None:
    reader = EventReader()
    events = [
        event for piece in (b":" + b"x" * MAX_EVENT, b"yy\nevent: update\ndata: a\n\n") for event in reader.feed(piece)
    ]
    assert [(event.name, event.too_long) for event in events] == [("", False), ("update", False)]


def test_a_feed_that_fails_does_not_hold_up_another_and_gone_is_gone() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        status = {"/bad": 503, "/gone": 410}.get(request.path)
        return web.Response(status=status) if status else document(str(len(asked)))

    with answering(answer) as address:
        source = Rss([f"{address}/{name}" for name in ("bad", "gone", "good")], every_s=0.01)
        with source.open(None, None) as messages:
            found = list(islice((message for message in messages if isinstance(message, Received)), 3))
    assert all(message.adapted.posts for message in found)
    assert asked.count("/gone") == 1


def test_a_window_that_moved_on_is_a_gap_and_unchanged_feeds_are_asked_with_their_tag() -> None:
    tags: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        tags.append(request.headers.get("If-None-Match"))
        return document("1", "2") if len(tags) == 1 else web.Response(status=304) if len(tags) < 4 else document("8")

    with answering(answer) as address, Rss([address], every_s=0.01).open(None, None) as messages:
        two, one, gap, eight = islice(messages, 4)
    assert [isinstance(message, Gap) for message in (two, one, gap, eight)] == [False, False, True, False]
    assert tags == [None, '"e"', '"e"', '"e"']
    assert isinstance(two, Received)
    assert two.cursor is None
    assert isinstance(eight, Received)
    assert json.loads(eight.cursor or "")


def test_the_first_document_must_be_a_feed() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>x</title>", content_type="text/html")

    with (
        answering(answer) as address,
        Rss([address]).open(None, None) as messages,
        pytest.raises(FeedRefused, match="leads to an HTML page"),
    ):
        next(messages)


def test_redirects_are_bounded_and_lead_to_no_private_address() -> None:
    async def answer(request: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.2/feed" if request.path == "/away" else request.path)

    with answering(answer) as address:
        for path, said in (("away", "private_address"), ("round", "too_many_redirects")):
            with Rss([f"{address}/{path}"]).open(None, None) as messages, pytest.raises(Disconnected, match=said):
                next(messages)


def test_old_entries_are_skipped_when_a_feed_begins_at_a_moment() -> None:
    async def answer(_: web.Request) -> web.Response:
        entry = {"id": "1", "content_text": "x", "date_published": "2020-01-01T00:00:00Z"}
        return web.json_response({"version": "https://jsonfeed.org/version/1.1", "items": [entry]})

    with answering(answer) as address, Rss([address]).open(None, datetime(2026, 1, 1, tzinfo=UTC)) as messages:
        message = next(messages)
    assert isinstance(message, Received)
    assert message.adapted.skipped == "before_since"


@pytest.mark.parametrize("address", ["feed.xml", "file:///etc/passwd", "https://a:b@x/feed"])
def test_an_address_that_is_no_feed_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="is no address of a feed") as caught:
        Rss([address])
    assert "a:b" not in str(caught.value)


@pytest.mark.parametrize(
    "item",
    [
        "<author>" + "a." * 50_000 + "</author>",
        "<x " + " ".join(f"a{number}='1'" for number in range(30_000)) + "/>",
    ],
    ids=["author", "attributes"],
)
def test_a_document_that_keeps_the_parser_busy_is_a_dead_letter_and_the_feed_goes_on(item: str) -> None:
    hostile = f"<rss version='2.0'><channel><item><title>x</title>{item}</item></channel></rss>"
    asked: list[str] = []

    async def answer(_: web.Request) -> web.Response:
        asked.append("")
        return web.Response(text=hostile) if len(asked) == 3 else document(str(len(asked)))

    with answering(answer) as address:
        source = Rss([address, f"{address}/other"], every_s=0.01, read_s=1.0)
        with source.open(None, None) as messages:
            found = list(islice(messages, 4))
    (letter,) = [message for message in found if isinstance(message, Received) and message.raw is not None]
    assert letter.raw == hostile.encode()


async def _one_entry(_: web.Request) -> web.Response:
    return document("1")


def test_a_feed_leads_to_no_host_of_another_feed() -> None:
    with answering(_one_entry) as private:

        async def away(_: web.Request) -> web.Response:
            raise web.HTTPFound(f"{private}/feed")

        with answering(away) as public, Rss([public, private], every_s=0.01).open(None, None) as messages:
            first = next(messages)
    assert isinstance(first, Received)
    assert len(json.loads(first.cursor or "")) == 1  # of the private feed only


def test_a_name_that_was_public_stays_public_and_one_that_was_private_may_move() -> None:
    policy = FeedPolicy("https://feed.example/")
    policy.check_addresses("feed.example", 443, ["93.184.215.14"])
    with pytest.raises(ImageError, match="private_address"):
        policy.check_addresses("feed.example", 443, ["169.254.169.254"])
    policy = FeedPolicy("http://nas.local:8080/")
    policy.check_addresses("nas.local", 8080, ["10.0.0.5"])
    policy.check_addresses("nas.local", 8080, ["10.0.0.6"])
    with pytest.raises(ImageError, match="private_address"):
        policy.check_addresses("nas.local", 80, ["10.0.0.6"])


def test_the_last_message_of_a_round_has_the_cursor_of_all_feeds() -> None:
    with (
        answering(_one_entry) as address,
        Rss([f"{address}/{number}" for number in range(5)]).open(None, None) as messages,
    ):
        found = list(islice(messages, 5))
    cursors = [message.cursor for message in found if isinstance(message, Received)]
    assert cursors[:4] == [None] * 4
    assert len(json.loads(cursors[4] or "")) == 5


def test_a_key_in_an_address_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(request: web.Request) -> web.Response:
        return document("1") if request.path == "/feed" else web.Response(status=404 if request.path == "/no" else 503)

    with answering(answer) as address:
        with (
            pytest.raises(FeedRefused, match="HTTP 404") as refused,
            Rss([f"{address}/no?key=SESAME"]).open(None, None) as messages,
        ):
            next(messages)
        source = Rss([f"{address}/feed?key=SESAME", f"{address}/down?key=SESAME"])
        with source.open(None, None) as messages:
            message = next(messages)
    with pytest.raises(UserError) as wrong:
        Rss(["ftp://x/?key=SESAME"])
    assert isinstance(message, Received)
    assert "HTTP 503" in caplog.text
    for text in (str(refused.value), source.identity, message.cursor, caplog.text, str(wrong.value)):
        assert "SESAME" not in (text or "")


def test_a_feed_that_goes_bad_later_ends_no_other_feed() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=404) if request.path == "/new" else document(str(len(asked)))

    with answering(answer) as address:
        with Rss([f"{address}/good"]).open(None, None) as messages:
            first = next(messages)
        assert isinstance(first, Received)
        source = Rss([f"{address}/new", f"{address}/good"], every_s=0.01)
        with source.open(first.cursor, None) as messages:
            later = [message for message in islice(messages, 2) if isinstance(message, Received)]
        assert later[0].adapted.posts
        with pytest.raises(FeedRefused), Rss([f"{address}/good", f"{address}/new"]).open(None, None) as messages:
            next(messages)


def test_only_what_is_shown_makes_an_edit_and_its_number_ends_at_the_largest() -> None:
    titles = iter(["a", "a", "b"])

    async def answer(request: web.Request) -> web.Response:
        title = next(titles, "b")
        item = f"<guid>1</guid><title>{title}</title><enclosure type='image/png' url='https://x/i?sign={id(request)}'/>"
        return web.Response(text=f"<rss version='2.0'><channel><item>{item}</item></channel></rss>")

    with answering(answer) as address:
        with Rss([address], every_s=0.01).open(None, None) as messages:
            first, second = islice(messages, 2)
        assert isinstance(first, Received)
        assert isinstance(second, Received)
        texts = [(message.adapted.posts[0].text, message.adapted.posts[0].edit) for message in (first, second)]
        assert texts == [("a", 0), ("b", 1)]
        places = rss_places.decoded(second.cursor or "")
        (place,) = places.values()
        full = {key: (mark + "0", MAX_EDIT) for key, (mark, _) in place.seen.items()}
        cursor = rss_places.encoded({name: replace(place, seen=full) for name in places})
        with Rss([address]).open(cursor, None) as again:
            third = next(again)
    assert isinstance(third, Received)
    assert third.adapted.posts[0].edit == MAX_EDIT


def test_an_entry_that_is_no_post_is_a_dead_letter_with_a_reason() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"version": "https://jsonfeed.org/version/1.1", "items": [{"id": "1"}]})

    with answering(answer) as address, Rss([address]).open(None, None) as messages:
        message = next(messages)
    assert isinstance(message, Received)
    assert message.raw
    assert message.why == "has neither a text nor media"


def test_a_date_before_all_posts_counts_as_none() -> None:
    now = datetime(2026, 11, 30, tzinfo=UTC)
    assert number_of(Entry("1", "x", "1970-01-01T00:00:00Z", "2026-11-01T00:00:00Z"), now) == 0
    assert number_of(Entry("1", "x", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"), now) > 0


def test_a_feed_that_was_read_while_it_was_empty_is_not_refused_later() -> None:
    asked: list[str] = []

    async def answer(_: web.Request) -> web.Response:
        asked.append("")
        return document() if len(asked) == 1 else web.Response(status=404)

    with (
        answering(answer) as address,
        Rss([address], every_s=0.01).open(None, None) as messages,
        pytest.raises(Disconnected, match="HTTP 404"),
    ):
        next(messages)

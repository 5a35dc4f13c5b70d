"""The parts of a feed: ids, edit numbers, the cursor's file, the back-off, the bound between the threads."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import KafkaConnectionError
from kafka.record.default_records import DefaultRecordBatchBuilder
from prometheus_client import REGISTRY
from rich.console import Console

from cli.feeds.display import render
from core import reading
from core.errors import UserError
from core.events import HEADERS, Tweet
from streams.feeds import sending
from streams.feeds.account import Account
from streams.feeds.adapters.common import author_id, edit_number, post_id
from streams.feeds.bluesky import Bluesky
from streams.feeds.channel import Channel
from streams.feeds.cursor import CursorFile, Destination
from streams.feeds.mastodon import Mastodon
from streams.feeds.reading import Ended, Item, Reader
from streams.feeds.reading import size as reading_size
from streams.feeds.rss import Rss
from streams.feeds.sending import Feeder, batch_bytes
from streams.feeds.source import Adapted, Began, Disconnected, Fault, FeedRefused, Gap, Message, Received, Steps

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
PART = st.text(max_size=150) | st.from_regex(r"[a-z0-9:.]{0,9}", fullmatch=True)


@given(st.lists(PART, min_size=1, max_size=3), st.lists(PART, min_size=1, max_size=3))
def test_ids_are_valid_and_no_two_posts_share_one(one: list[str], other: list[str]) -> None:
    # of one platform: the number of parts is fixed
    other = (other * 3)[: len(one)]
    first, second = post_id("at", *one), post_id("at", *other)
    assert re.fullmatch(reading.IDENTIFIER, first)
    if len(one) > 1:
        assert (first == second) == (one == other)


def test_an_id_is_readable_where_it_can_be() -> None:
    assert post_id("mastodon", "example.org:8080", "12") == "mastodon:example.org:8080:12"
    assert post_id("at", "did:plc:a", "3l") == "at:did:plc:a:3l"
    assert post_id("at", "did:plc:a", "b:3l") != post_id("at", "did:plc:a:b", "3l")
    assert len(author_id("a" * 200)) <= reading.MAX_ID != len(author_id("a"))


@given(st.floats(0, 7e8), st.floats(0, 7e8))
def test_edit_numbers_grow_with_the_time_of_the_edit(one: float, other: float) -> None:
    first, second = (edit_number(NOW, NOW + timedelta(seconds=seconds)) for seconds in sorted((one, other)))
    assert 1 <= first <= second <= reading.MAX_EDIT
    assert 0 < edit_number(None, NOW) <= edit_number(None, NOW + timedelta(days=365)) <= reading.MAX_EDIT


def test_an_edit_number_is_0_only_for_a_post_that_was_not_edited() -> None:
    assert edit_number(NOW, None) == 0
    assert edit_number(NOW, NOW - timedelta(days=1)) == 1
    assert edit_number(NOW, NOW + timedelta(seconds=60)) < edit_number(NOW, NOW + timedelta(seconds=61))
    assert edit_number(NOW, NOW + timedelta(days=300_000)) == reading.MAX_EDIT


def test_the_cursors_file_keeps_the_place_and_refuses_a_damaged_one(tmp_path: Path) -> None:
    file = CursorFile(tmp_path, "bluesky")
    assert file.load().cursor is None
    file.save("17", 3)
    assert (file.load().cursor, file.load().letters) == ("17", 3)
    file.path.write_text("{")
    with pytest.raises(UserError, match=r"bluesky\.json is damaged.*--fresh"):
        file.load()
    others = ["bluesky:a/b", "bluesky:a:b", "../../x", "x" * 300, "rss:https://a/?b", "Ünïcode"]
    assert len({CursorFile(tmp_path, name).path for name in others}) == len(others)
    assert all(CursorFile(tmp_path, name).path.parent == tmp_path / "feeds" for name in others)


def test_the_position_of_a_feed_for_another_kafka_is_refused(tmp_path: Path) -> None:
    CursorFile(tmp_path, "bluesky", Destination("a-", "one")).save("17", 3)
    assert CursorFile(tmp_path, "bluesky", Destination("a-", "one")).load().cursor == "17"
    assert CursorFile(tmp_path, "bluesky", Destination("a-", None)).load().cursor == "17"
    for other, said in ((Destination("b-", "one"), "MNER_PREFIX was 'a-'"), (Destination("a-", "two"), "cluster was")):
        with pytest.raises(UserError, match=f"for another Kafka: .*{said}.*; set MNER_HOME.*, or --fresh starts"):
            CursorFile(tmp_path, "bluesky", other).load()


def test_two_processes_cannot_run_one_feed(tmp_path: Path) -> None:
    with (
        CursorFile(tmp_path, "bluesky").held(),
        pytest.raises(UserError, match="another process runs this feed"),
        CursorFile(tmp_path, "bluesky").held(),
    ):
        raise AssertionError


@pytest.mark.parametrize(("key", "size"), [(None, 0), (b"k", 63), (b"k" * 70, 64), (b"key", 8191), (b"key", 8192)])
def test_a_record_is_measured_as_kafka_does(key: bytes | None, size: int) -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 10**7)
    builder.append(0, 1_700_000_000_000, key, b"v" * size, HEADERS)
    assert batch_bytes(key, b"v" * size) == len(builder.build())


def test_a_full_channel_holds_up_its_writer_until_somebody_takes() -> None:
    channel: Channel[int] = Channel(100, 1000)
    put: list[int] = []

    def fill() -> None:
        for number in range(10):
            if not channel.put(number, 400):
                return
            put.append(number)

    thread = threading.Thread(target=fill)
    thread.start()
    taken: list[int] = []
    while len(taken) < 5:
        taken += channel.take(5)
        assert len(put) <= len(taken) + 3
    channel.close()
    thread.join(5)
    assert not thread.is_alive()
    assert taken == list(range(len(taken)))


class Scripted:
    """A source that plays a list: messages, and faults. Records where it was opened."""

    name = identity = "scripted"
    heartbeat_s: float | None = None

    def __init__(self, *script: Message | Exception) -> None:
        self.backoff: dict[Fault, Steps] = {"network": Steps(0.25, 1.0, doubles=False), "http": Steps(5.0, 20.0)}
        self._script = iter(script)
        self.opened: list[str | None] = []

    @contextmanager
    def open(self, cursor: str | None, since: datetime | None) -> Iterator[Iterator[Message]]:
        self.opened.append(cursor)
        yield self._play()

    def _play(self) -> Iterator[Message]:
        for entry in self._script:
            if isinstance(entry, Exception):
                raise entry
            yield entry


def test_waits_follow_the_platforms_table_and_begin_again_after_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    message = Received(Adapted(skipped="like"), "7")
    network, http = Disconnected("network", "x"), Disconnected("http", "x")
    later = Disconnected("http", "x", retry_at=10_000.0)
    never = Disconnected("http", "x", retry_at=float("inf"))
    source = Scripted(network, network, http, network, http, http, http, message, http, later, Gap("x"), never)
    reader = Reader(source, "3", None)
    waits: list[float] = []
    monkeypatch.setattr(reader._stopping, "wait", waits.append)
    monkeypatch.setattr("streams.feeds.reading.time.time", lambda: 9_000.0)
    reader.start()
    items: list[Item] = []
    while not any(isinstance(item, Ended) for item in items):
        items += reader.items(5)
    assert waits == [0.25, 0.5, 5, 0.75, 10, 20, 20, 5, 1000, 20]
    assert source.opened == ["3"] * 8 + ["7"] * 3
    assert [item.error for item in items if isinstance(item, Ended)] == [None]


def test_a_connection_is_left_before_the_wait_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    class Noting(Scripted):
        @contextmanager
        def open(self, cursor: str | None, since: datetime | None) -> Iterator[Iterator[Message]]:
            events.append("open")
            try:
                yield self._play()
            finally:
                events.append("leave")

    reader = Reader(Noting(Disconnected("network", "x")), None, None)
    monkeypatch.setattr(reader._stopping, "wait", lambda _: events.append("wait"))
    reader.start()
    while not any(isinstance(item, Ended) for item in reader.items(5)):
        pass
    assert events[:4] == ["open", "leave", "wait", "open"]


def test_what_a_source_begins_with_is_where_it_is_opened_again() -> None:
    source = Scripted(Began("5"), Disconnected("network", "x"), Received(Adapted(skipped="like"), "7"))
    source.backoff = {"network": Steps(0.0, 0.0)}
    reader = Reader(source, None, None)
    reader.start()
    while not any(isinstance(item, Ended) for item in reader.items(5)):
        pass
    assert source.opened == [None, "5"]


def test_the_memory_of_what_waits_counts_all_fields_of_a_post() -> None:
    media = [{"type": "photo", "url": f"https://example.org/{number}", "alt": "a" * 1000} for number in range(4)]
    post = Tweet.model_validate({"id": "1", "text": "x", "media": media})
    assert sum(len(entry.alt or "") for entry in post.media) == 4000
    assert reading_size(Received(Adapted((post,)))) > 4000


def test_the_memory_of_what_waits_counts_a_cursor() -> None:
    """The cursor of many RSS feeds has some megabytes."""
    without = reading_size(Received(Adapted(skipped="like")))
    assert reading_size(Received(Adapted(skipped="like"), cursor="c" * 5000)) == without + 5000
    assert reading_size(Began("c" * 5000)) > 5000


def test_an_error_of_any_kind_in_the_reading_thread_is_handed_over() -> None:
    for error in (FeedRefused("no"), ZeroDivisionError(), OSError(5, "x")):
        reader = Reader(Scripted(error), None, None)
        reader.start()
        assert reader.items(5) == [Ended(error)]


@pytest.mark.parametrize(
    "server",
    [
        "http://x",
        "ws://",
        "x",
        "wss:///subscribe",
        "wss://ada:secret@host/#frag",
        "wss://ada:secret@host:99999/",
        "wss://ada:secret@host:abc/",
        "wss://ada:secret@[::1/",
        "wss://ada:secret@ex..ample/",
        "wss://ada:secret@ho st/",
    ],
)
def test_an_address_that_is_no_websocket_is_refused(server: str) -> None:
    with pytest.raises(UserError, match=r"^--server .* is no websocket; write wss://HOST/subscribe$") as caught:
        Bluesky(server)
    assert "secret" not in str(caught.value)


def test_two_addresses_that_serve_other_messages_have_other_cursors() -> None:
    servers = [
        "wss://a.example",
        "wss://a.example/b",
        "wss://a.example?wantedDids=x",
        "ws://a.example:81",
        "wss://b.example",
    ]
    public = ["wss://jetstream1.us-west.bsky.network", "wss://jetstream2.us-east.bsky.network/subscribe"]
    assert len({Bluesky(server).identity for server in servers}) == len(servers)
    assert {Bluesky(server).identity for server in public} == {"bluesky"}
    assert Bluesky(f"{public[0]}/subscribe?wantedDids=x").identity != "bluesky"


def test_a_proxy_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "nonsense://ada:secret@x:1")
    with (
        pytest.raises(FeedRefused, match=r"^the proxy cannot be used: .*; correct or unset HTTPS_PROXY") as caught,
        Bluesky("wss://example.org").open(None, None),
    ):
        pass
    assert "secret" not in str(caught.value)


def test_the_account_adds_up_and_the_display_shows_all_of_it() -> None:
    account = Account("bluesky")
    for outcome, count in (("sent", 3), ("like", 40), ("lifecycle", 2), ("dead", 1), ("identity", 4)):
        for _ in range(count):
            account.message(outcome, None)
    for kind, count in (("post", 3), ("lifecycle", 4), ("dead_letter", 1)):
        for _ in range(count):
            account.record(kind)
    account.reconnect("silent")
    account.gap()
    account.saved_at = 100.0
    assert account.line() == (
        "bluesky: 50 received: 3 sent, 2 lifecycle, 1 dead letter, 44 skipped (like 40, identity 4); "
        "reconnects: silent 1; gaps: 1"
    )
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(render(account, 1.25, 107.0))
    shown = {line.split("  ")[0].strip(): line.split("  ", 1)[1].strip() for line in console.export_text().splitlines()}
    assert shown["posts"] == "3 sent, 1.2/s"
    assert shown["skipped"] == "like 40, identity 4"
    assert (shown["reconnects"], shown["gaps"], shown["cursor saved"]) == ("silent 1", "1", "7 s ago")
    assert shown["lag"] == "–"


def test_the_lag_grows_while_nothing_arrives() -> None:
    account = Account("a-feed-that-stalls")
    account.message("sent", 1000.0)
    assert [account.lag_s(now) for now in (1001.0, 1060.0)] == [1.0, 60.0]
    labels = {"source": account.source}
    first, second = (REGISTRY.get_sample_value("mner_feed_lag_seconds", labels) for _ in range(2))
    assert first is not None
    assert second is not None
    assert time.time() - 1000 + 1 > second > first > 1000


def test_the_back_off_of_each_platform_is_that_of_its_documentation() -> None:
    live: dict[Fault, Steps] = {"network": Steps(1, 60), "silent": Steps(1, 60), "http": Steps(5, 320)}
    assert Bluesky().backoff == live | {"rate_limit": Steps(60, 960)}
    assert Mastodon().backoff == live | {"rate_limit": Steps(60, 300)}
    polled = Rss(["https://example.org/feed"]).backoff
    assert polled == dict.fromkeys(("network", "http", "rate_limit", "silent"), Steps(60, 3600))


def test_the_producer_is_idempotent_and_waits_for_all_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    def noting(**options: object) -> None:
        given.update(options)
        raise KafkaConnectionError

    monkeypatch.setattr(sending, "Feeder", noting)
    with pytest.raises(UserError, match="no Kafka broker answers"):
        sending._producer("127.0.0.1:1", 1000)
    options = Feeder.DEFAULT_CONFIG | given
    assert options["enable_idempotence"] is True
    assert options["acks"] in {"all", -1}
    assert 1 <= options["max_in_flight_requests_per_connection"] <= 5, "more would end the order"
    assert options["retries"] > 0

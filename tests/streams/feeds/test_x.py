"""The source of X against a local server: disconnects, errors, gaps, the budget."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import UserError
from streams.feeds.source import Began, Disconnected, FeedRefused, Gap, Received
from streams.feeds.x import search
from streams.feeds.x.meter import Meter
from streams.feeds.x.search import snowflake
from streams.feeds.x.source import XSource
from tests.streams.feeds.x_server import TOKEN, XServer, post

pytestmark = pytest.mark.timeout(60)  # a message that never comes must not hold up the suite

NOW = time.time() - 3600


@pytest.fixture
def server() -> Iterator[XServer]:
    served = XServer()
    with served.serving():
        yield served


@pytest.fixture
def meter(tmp_path: Path) -> Meter:
    return Meter(tmp_path / "x-reads.json")


@pytest.fixture
def source(server: XServer, meter: Meter) -> XSource:
    return source_of(server, meter)


def source_of(server: XServer, meter: Meter, token: str = TOKEN) -> XSource:
    return XSource(token, meter, server=server.url, heartbeat_s=0.3, search_lag_s=0.0)


class Reading:
    """Takes messages of one connection. Leaving it closes the connection."""

    def __init__(self, source: XSource, cursor: str | None = None, since: datetime | None = None) -> None:
        self._context = source.open(cursor, since)
        messages = self._context.__enter__()
        self.messages = (message for message in messages if not isinstance(message, Began))

    def close(self) -> None:
        self._context.__exit__(None, None, None)

    def take(self, count: int) -> list[Received | Gap]:
        return [next(self.messages) for _ in range(count)]


def ids(items: list[Received | Gap]) -> list[str]:
    return [entry.id for item in items if isinstance(item, Received) for entry in item.adapted.posts]


def gaps(items: list[Received | Gap]) -> list[Gap]:
    return [item for item in items if isinstance(item, Gap)]


def name(page: dict[str, dict[str, str]]) -> str:
    return f"x:{page['data']['id']}"


# the stream


def test_a_post_comes_with_its_cursor_and_time(server: XServer, source: XSource) -> None:
    with closing(Reading(source)) as reading:
        page = post(NOW, lang="und")
        server.publish(page)
        (message,) = reading.take(1)
    assert isinstance(message, Received)
    assert ids([message]) == [name(page)]
    assert message.cursor == page["data"]["id"]
    assert message.at == pytest.approx(NOW, abs=0.002)
    assert message.raw is None


def test_the_stream_is_asked_for_no_places(server: XServer, source: XSource) -> None:
    with closing(Reading(source)):
        _, path, query, _ = server.requests[0]
    assert path == "/2/tweets/search/stream"
    assert "note_tweet" in query["tweet.fields"]
    assert not any("geo" in value or "place" in value for value in query.values())


def test_garbage_keeps_its_bytes_and_the_stream_goes_on(server: XServer, source: XSource) -> None:
    with closing(Reading(source)) as reading:
        for line in (b'{"data": {"id": "5', b"\xff\xfe", b"[" * 100_000, b'{"data": {"id": "7", "text": 5}}', b"[]"):
            server.send(line)
            (message,) = reading.take(1)
            assert isinstance(message, Received)
            assert (message.adapted.skipped, message.raw) == ("unreadable", line)
        page = post(NOW)
        server.publish(page)
        assert ids(reading.take(1)) == [name(page)]


def test_the_cursor_never_goes_back(server: XServer, source: XSource) -> None:
    pages = [post(NOW, 5), post(NOW, 3), post(NOW, 5), post(NOW, 6)]
    with closing(Reading(source)) as reading:
        for page in pages:
            server.publish(page)
        cursors = [message.cursor for message in reading.take(4) if isinstance(message, Received)]
    newest = [pages[index]["data"]["id"] for index in (0, 0, 0, 3)]
    assert cursors == newest


def test_keep_alives_keep_a_quiet_stream_open(server: XServer, source: XSource) -> None:
    with closing(Reading(source)) as reading:
        page = post(NOW)
        timer = threading.Timer(1.2, server.publish, [page])  # longer than the time limit of 0.6 s
        timer.start()
        assert ids(reading.take(1)) == [name(page)]
        timer.join()


# disconnects


@pytest.mark.parametrize(
    ("how", "fault"),
    [("end", "network"), ("abort", "network"), ("silence", "silent")],
)
def test_an_ended_connection_is_told_and_not_opened_again(
    server: XServer, source: XSource, how: str, fault: str
) -> None:
    with closing(Reading(source)) as reading:
        server.publish(post(NOW))
        reading.take(1)
        getattr(server, how)()
        with pytest.raises(Disconnected) as caught:
            reading.take(1)
    assert caught.value.fault == fault
    time.sleep(0.4)  # the first wait of tweepy's own loop is 0.25 s
    assert server.connected == 1


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"errors": [{"title": "operational-disconnect", "detail": "restarting"}]}, "http"),
        ({"errors": [{"title": "ConnectionException", "connection_issue": "TooManyConnections"}]}, "rate_limit"),
        ({"errors": [[{"title": 5}]]}, "http"),
    ],
)
def test_an_error_inside_a_200_is_a_disconnect(
    server: XServer, source: XSource, body: dict[str, object], fault: str
) -> None:
    with closing(Reading(source)) as reading:
        server.error(body)
        with pytest.raises(Disconnected) as caught:
            reading.take(1)
    assert caught.value.fault == fault


def test_a_429_names_the_time_of_its_reset(server: XServer, source: XSource) -> None:
    server.stream_answers.append((429, {"x-rate-limit-reset": "1900000000"}, {"title": "Too Many Requests"}))
    with pytest.raises(Disconnected) as caught:
        Reading(source)
    assert (caught.value.fault, caught.value.retry_at) == ("rate_limit", 1_900_000_000.0)


def test_a_429_with_a_broken_reset_is_a_rate_limit_all_the_same(server: XServer, source: XSource) -> None:
    server.stream_answers.append((429, {"x-rate-limit-reset": "soon"}, b"<html>"))
    with pytest.raises(Disconnected) as caught:
        Reading(source)
    assert (caught.value.fault, caught.value.retry_at) == ("rate_limit", None)


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_out_of_order_is_tried_again(server: XServer, source: XSource, status: int) -> None:
    server.stream_answers.append((status, {}, b"x" * 10_000_000))
    with pytest.raises(Disconnected, match=str(status)) as caught:
        Reading(source)
    assert caught.value.fault == "http"


def test_an_address_without_a_server_is_a_network_fault(meter: Meter) -> None:
    with pytest.raises(Disconnected) as caught:
        Reading(XSource(TOKEN, meter, server="http://127.0.0.1:1"))
    assert caught.value.fault == "network"


def test_an_endless_line_ends_the_connection(server: XServer, source: XSource) -> None:
    with closing(Reading(source)) as reading:
        server.send(b"x" * 5_000_000)
        with pytest.raises(Disconnected, match="a line of more than"):
            reading.take(1)


def test_closing_ends_a_reading_that_waits(source: XSource, server: XServer) -> None:
    reading = Reading(source)
    timer = threading.Timer(0.2, reading.close)
    timer.start()
    assert list(reading.messages) == []
    timer.join()


def test_the_waits_are_those_of_the_platform(source: XSource) -> None:
    assert [source.backoff["network"].wait(times) for times in (1, 2, 64, 99)] == [0.25, 0.5, 16.0, 16.0]
    assert [source.backoff["http"].wait(times) for times in (1, 2, 7, 9)] == [5.0, 10.0, 320.0, 320.0]
    assert [source.backoff["rate_limit"].wait(times) for times in (1, 2, 3)] == [60.0, 120.0, 240.0]


# refusals


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, {}, {"title": "Unauthorized"}), "MNER_X_TOKEN"),
        ((402, {}, {"title": "CreditsDepleted"}), "add credits"),
        ((403, {}, {"title": "Client Forbidden", "reason": "client-not-enrolled"}), "client-not-enrolled"),
        ((404, {}, b"nothing here"), "--server"),
        ((409, {}, {"detail": "You must define rules"}), "--rules rules.yaml"),
        ((429, {}, {"title": "UsageCapExceeded", "detail": "Usage cap exceeded: Monthly product cap"}), "next period"),
    ],
)
def test_a_refusal_says_what_to_do_in_one_line(
    server: XServer, source: XSource, answer: tuple[int, dict[str, str], object], words: str
) -> None:
    server.stream_answers.append(answer)
    with pytest.raises(FeedRefused) as caught:
        Reading(source)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_token_is_refused_and_not_shown(server: XServer, meter: Meter) -> None:
    with pytest.raises(FeedRefused, match="MNER_X_TOKEN") as caught:
        Reading(source_of(server, meter, token="s3cret-token"))
    assert "s3cret" not in str(caught.value)


def test_an_app_without_rules_is_refused(server: XServer, source: XSource) -> None:
    server.rules.clear()
    with pytest.raises(FeedRefused, match="no rules"):
        Reading(source)


# the gap between two connections


def fill(reading: Reading, last: dict[str, dict[str, str]], server: XServer) -> list[Received | Gap]:
    """Publishes a post on the stream, and takes messages up to the one that has a cursor."""
    server.publish(last)
    taken = reading.take(1)
    while not (isinstance(taken[-1], Received) and taken[-1].cursor is not None):
        taken += reading.take(1)
    return taken


def test_the_search_fills_what_was_missed(server: XServer, source: XSource) -> None:
    server.page = 10
    missed = [post(NOW + number / 10, number) for number in range(35)]
    for page in missed:
        server.publish(page, send=False)
    with closing(Reading(source, cursor=snowflake(NOW - 1))) as reading:
        taken = fill(reading, post(NOW + 60), server)
    assert {name(page) for page in missed} <= set(ids(taken))
    assert not gaps(taken)
    searches = [query for _, path, query, _ in server.requests if path.endswith("recent")]
    assert len(searches) == 4
    assert searches[0]["query"] == "merkel"
    assert searches[0]["since_id"] == snowflake(NOW - 11)  # ten seconds before the cursor


def test_each_rule_is_searched(server: XServer, source: XSource) -> None:
    server.rules["2"] = {"id": "2", "value": "hamburg"}
    with closing(Reading(source, cursor=snowflake(NOW))) as reading:
        server.publish(post(NOW + 1), send=False)
        fill(reading, post(NOW + 60), server)
    asked = [query["query"] for _, path, query, _ in server.requests if path.endswith("recent")]
    assert asked == ["merkel", "hamburg"]


def test_each_post_counts_as_new_once_and_those_before_the_cursor_do_not(server: XServer, meter: Meter) -> None:
    server.rules["2"] = {"id": "2", "value": "hamburg"}  # so the search finds each post twice
    source = XSource(TOKEN, meter, server=server.url, heartbeat_s=0.3, search_lag_s=0.6)
    old, missed, live = post(NOW - 5), post(NOW + 1), post(NOW + 60)
    for page in (old, missed):
        server.publish(page, send=False)
    with closing(Reading(source, cursor=snowflake(NOW))) as reading:
        taken = fill(reading, live, server)
    new = [item for item in taken if isinstance(item, Received) and not item.is_repeated]
    assert sorted(ids(taken)) == sorted(map(name, [*[old, missed, live] * 2, live]))
    assert sorted(ids([*new])) == [name(missed), name(live)]


def test_no_message_has_a_cursor_before_the_gap_is_filled(server: XServer, meter: Meter) -> None:
    source = XSource(TOKEN, meter, server=server.url, heartbeat_s=0.3, search_lag_s=0.6)
    server.publish(post(NOW), send=False)
    with closing(Reading(source, cursor=snowflake(NOW - 1))) as reading:
        newest = post(NOW + 60)
        server.publish(newest)
        live, found, *_ = reading.take(3)
        assert isinstance(live, Received)
        assert live.cursor is None  # a crash here must not lose the gap
        assert isinstance(found, Received)
        server.publish(post(NOW + 61))
        (later,) = reading.take(1)
    assert isinstance(later, Received)
    assert later.cursor == snowflake(NOW + 61)


def test_the_last_post_found_has_the_cursor(server: XServer, source: XSource) -> None:
    server.publish(post(NOW, 1), send=False)
    server.publish(post(NOW, 2), send=False)
    with closing(Reading(source, cursor=snowflake(NOW - 1))) as reading:
        taken = reading.take(2)
    cursors = [message.cursor for message in taken if isinstance(message, Received)]
    assert cursors == [None, server.timeline[1]["data"]["id"]]


def test_a_start_without_a_cursor_searches_nothing(server: XServer, source: XSource) -> None:
    with closing(Reading(source)) as reading:
        fill(reading, post(NOW), server)
    assert not any(path.endswith("recent") for _, path, _, _ in server.requests)


def test_since_searches_from_that_time(server: XServer, source: XSource) -> None:
    server.publish(post(NOW - 100, 1), send=False)
    server.publish(post(NOW, 2), send=False)
    since = datetime.fromtimestamp(NOW - 50, UTC)
    with closing(Reading(source, since=since)) as reading:
        taken = reading.take(1)
    assert ids(taken) == [name(server.timeline[1])]


def test_what_is_older_than_a_week_is_a_gap(server: XServer, source: XSource) -> None:
    server.publish(post(NOW), send=False)
    lost = time.time() - 9 * 86400
    with closing(Reading(source, cursor=snowflake(lost))) as reading:
        gap, found = reading.take(2)
    assert isinstance(gap, Gap)
    assert "seven days" in gap.reason
    assert gap.size is None
    assert gap.since == pytest.approx(lost - 10, abs=1)
    assert gap.until == pytest.approx(time.time() - search.REACH_S, abs=10)
    assert ids([found]) == [name(server.timeline[0])]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(429, {"x-rate-limit-reset": "1900000000"}, {"title": "Too Many Requests"})], "429"),
        ([(403, {}, {"title": "Client Forbidden"})], "Forbidden"),
        ([(400, {}, {"title": "Invalid Request", "errors": [{"message": "no such operator"}]})], "no such operator"),
        ([(500, {}, b"")] * search.TRIES, "500"),
        ([(200, {}, b"no json")] * search.TRIES, "no JSON"),
        ([(200, {}, [])] * search.TRIES, "no JSON"),
    ],
)
def test_a_search_that_fails_is_a_gap(
    server: XServer,
    source: XSource,
    answers: list[tuple[int, dict[str, str], object]],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "PAUSE_S", 0.01)
    server.search_answers.extend(answers)
    with closing(Reading(source, cursor=snowflake(NOW))) as reading:
        (gap,) = reading.take(1)
        after = fill(reading, post(NOW + 60), server)
    assert isinstance(gap, Gap)
    assert words in gap.reason
    assert gap.since == pytest.approx(NOW - 10, abs=1)
    assert len(after) == 1  # the stream goes on, with its cursor


def test_a_search_that_fails_once_is_tried_again(
    server: XServer, source: XSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "PAUSE_S", 0.01)
    server.search_answers.append((503, {}, b""))
    server.publish(post(NOW), send=False)
    with closing(Reading(source, cursor=snowflake(NOW - 1))) as reading:
        assert ids(reading.take(1)) == [name(server.timeline[0])]


def test_a_message_that_waits_for_its_cursor_outlives_a_disconnect(server: XServer, source: XSource) -> None:
    server.publish(post(NOW), send=False)
    with closing(Reading(source, cursor=snowflake(NOW - 1))) as reading:
        time.sleep(0.1)
        server.send(b"garbage")
        server.end()
        taken: list[Received | Gap] = []
        with pytest.raises(Disconnected):
            taken.extend(reading.messages)
    assert b"garbage" in [message.raw for message in taken if isinstance(message, Received)]
    assert ids(taken) == [name(server.timeline[0])]


# the budget


def test_a_spent_budget_ends_the_feed_in_one_line(server: XServer, tmp_path: Path) -> None:
    meter = Meter(tmp_path / "x-reads.json", budget=2)
    with closing(Reading(source_of(server, meter))) as reading:
        for number in range(3):
            server.publish(post(NOW, number))
        assert len(ids(reading.take(2))) == 2
        with pytest.raises(FeedRefused, match="the budget of 2 posts for ") as caught:
            reading.take(1)
    assert "\n" not in str(caught.value)
    with pytest.raises(FeedRefused, match="is spent"):
        Reading(source_of(server, Meter(tmp_path / "x-reads.json", budget=2)))
    assert server.connected == 1  # a spent budget opens no connection


def test_a_gap_is_not_filled_beyond_the_budget(server: XServer, tmp_path: Path) -> None:
    meter = Meter(tmp_path / "x-reads.json", budget=115)
    for number in range(130):
        server.publish(post(NOW, number), send=False)
    with closing(Reading(source_of(server, meter), cursor=snowflake(NOW - 1))) as reading:
        taken: list[Received | Gap] = []
        with pytest.raises(FeedRefused, match="is spent"):
            taken.extend(reading.messages)
    assert len(ids(taken)) == meter.reads == 115
    assert [gap.reason for gap in gaps(taken)] == ["the budget of posts is spent"]
    assert gaps(taken)[0].until == pytest.approx(NOW, abs=1)


def test_the_search_reads_ten_posts_at_least_where_the_budget_has_less(server: XServer, tmp_path: Path) -> None:
    meter = Meter(tmp_path / "x-reads.json", budget=3)
    for number in range(25):
        server.publish(post(NOW, number), send=False)
    reading = Reading(source_of(server, meter), cursor=snowflake(NOW - 1))
    with closing(reading), pytest.raises(FeedRefused, match="is spent"):
        deque(reading.messages)
    assert meter.reads == 10


def test_reads_add_up_over_runs_and_start_again_each_month(tmp_path: Path) -> None:
    clock = [time.mktime(time.strptime("2026-11-20", "%Y-%m-%d"))]
    path = tmp_path / "x-reads.json"
    meter = Meter(path, 1000, lambda: clock[0])
    meter.add(30)
    meter.save()
    again = Meter(path, 1000, lambda: clock[0])
    assert (again.reads, again.left()) == (30, 970)
    again.add()  # a crash follows: the file must not hold too few
    assert json.loads(path.read_text())["reads"] >= 31
    clock[0] += 15 * 86400
    assert (again.left(), Meter(path, 1000, lambda: clock[0]).reads) == (1000, 0)


@pytest.mark.parametrize("content", ["", "{}", '{"month": "2026-11", "reads": -1}', "[1]", "\x00"])
def test_a_damaged_count_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "x-reads.json").write_text(content)
    with pytest.raises(UserError, match="cannot be read"):
        Meter(tmp_path / "x-reads.json")

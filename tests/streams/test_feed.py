"""Feeding a file into Kafka sends every line unchanged, in bounded memory."""

from __future__ import annotations

import weakref
from contextlib import closing
from typing import Any, ClassVar

import pytest
from kafka.admin import NewTopic

from core.errors import UserError
from streams import topics
from streams.feed import feed
from streams.feeds import sending
from streams.feeds.orders import key_of
from streams.feeds.sending import Feeder
from streams.settings import Settings
from tests.streams.account import held

BRACKETS = b"[" * 100_000
SURROGATE = rb'{"id": "\ud800", "text": "x"}'


@pytest.fixture
def brokers(settings: Settings) -> str:
    assert settings.kafka is not None
    return settings.kafka


@pytest.fixture
def topic(settings: Settings, brokers: str) -> str:
    topics.create(brokers, topics.plan(settings))
    return settings.name(topics.TWEETS)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        pytest.param(b'{"id": "7", "text": "x"}', b"7", id="an event"),
        pytest.param(b'{"id": 7}', b"7", id="a number"),
        pytest.param(b"{not json", None, id="no JSON"),
        pytest.param(b"\xff\xfe", None, id="no UTF-8"),
        pytest.param(b"[]", None, id="no object"),
        pytest.param(b"{}", None, id="no id"),
        pytest.param(SURROGATE, None, id="half a surrogate pair"),
        pytest.param(BRACKETS, None, id="a tower of brackets"),
        pytest.param(b'{"id": ' + b"9" * 10_000 + b"}", None, id="a number of ten thousand digits"),
    ],
)
def test_the_key_is_the_posts_id_or_none(line: bytes, key: bytes | None) -> None:
    assert key_of(line) == key


def test_every_line_is_fed_as_it_stands_also_after_those_that_are_broken(brokers: str, topic: str) -> None:
    lines = [b'{"id": "1"}\n', SURROGATE + b"\r\n", b"\n", BRACKETS + b"\n", b"\xff\xfe\n", b'{"id": "2"}']
    assert feed(lines, brokers, topic) == 5
    assert held(brokers, topic) == sorted([b'{"id": "1"}', SURROGATE, BRACKETS, b"\xff\xfe", b'{"id": "2"}'])


def test_a_line_larger_than_the_topic_takes_is_named_and_what_stood_before_it_is_in(brokers: str, topic: str) -> None:
    lines = [b"one\n", b"\n", b"two\n", b"x" * topics.EVENT_BYTES, b"three\n"]
    with pytest.raises(UserError, match=r"line 4 has \d+ bytes, more than .* continue with line 5"):
        feed(lines, brokers, topic)
    assert held(brokers, topic) == [b"one", b"two"]


def test_the_line_that_the_broker_refuses_is_the_one_that_is_named(settings: Settings, brokers: str) -> None:
    name = settings.name("narrow")
    client = topics.admin(brokers)
    with closing(client):
        client.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": "5000"})])
        client.wait_for_topics([name])
    lines = [b"x" * (6000 if number == 37 else 10) for number in range(1, 101)]
    with pytest.raises(UserError, match="line 37 "):
        feed(lines, brokers, name)


class Watched(Feeder):
    """A producer with weak references to all its acknowledgements, which show those that are still in use."""

    futures: ClassVar[list[weakref.ref[Any]]] = []

    def send(self, *arguments: Any, **options: Any) -> Any:
        future = Acknowledgement(super().send(*arguments, **options))
        self.futures.append(weakref.ref(future))
        return future


class Acknowledgement:
    def __init__(self, future: Any) -> None:
        self._future = future

    def __getattr__(self, name: str) -> Any:
        return getattr(self._future, name)


@pytest.mark.parametrize(
    ("limit", "value", "size"),
    [pytest.param("WINDOW", 50, 10, id="events"), pytest.param("WINDOW_BYTES", 50_000, 1000, id="bytes")],
)
def test_what_is_held_of_a_long_file_is_bounded(
    brokers: str, topic: str, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, size: int
) -> None:
    monkeypatch.setattr(sending, "Feeder", Watched)
    monkeypatch.setattr(sending, limit, value, raising=False)
    monkeypatch.setattr(Watched, "futures", [])
    most = 0

    def look(_: int) -> None:
        nonlocal most
        most = max(most, sum(future() is not None for future in Watched.futures))

    assert feed((b"x" * size for _ in range(2000)), brokers, topic, on_fed=look) == 2000
    assert most <= 52

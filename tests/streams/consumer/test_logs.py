"""Who stamped a record that seems to prove a cut.

No real broker can be made to answer nothing, so the client is a fake.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import (
    CorruptRecordError,
    KafkaTimeoutError,
    NotLeaderForPartitionError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

from streams.consumer import logs
from streams.consumer.logs import ANSWER_S, LOG_APPEND_TIME, Logs

PLACE, OFFSET = TopicPartition("tweets", 0), 7
CREATE_TIME = 0


def record(offset: int, stamp: int) -> SimpleNamespace:
    return SimpleNamespace(offset=offset, timestamp_type=stamp)


class StubConsumer:
    """Of each partition: what a poll returns or raises, and where the consumer then stands."""

    def __init__(self, answers: dict[TopicPartition, tuple[list[SimpleNamespace] | Exception, int | None]]) -> None:
        self.answers, self.closed = answers, False

    def assign(self, places: list[TopicPartition]) -> None:
        (self.place,) = places

    def seek(self, place: TopicPartition, offset: int) -> None:
        assert (place, offset) == (self.place, OFFSET)

    def poll(self, **_: Any) -> dict[TopicPartition, list[SimpleNamespace]]:
        found, _position = self.answers[self.place]
        if isinstance(found, Exception):
            raise found
        return {self.place: found} if found else {}

    def position(self, place: TopicPartition, timeout_ms: int) -> int | None:
        assert place == self.place
        assert timeout_ms == 1000 * ANSWER_S
        return self.answers[place][1]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def no_proof(monkeypatch: pytest.MonkeyPatch) -> Callable[..., set[TopicPartition]]:
    """Asks a stub what proves no cut."""
    monkeypatch.setattr(logs, "creates_none", lambda _: None)

    def ask(answers: dict[TopicPartition, Any], asked: Logs | None = None) -> set[TopicPartition]:
        consumer = StubConsumer(answers)
        monkeypatch.setattr(logs, "KafkaConsumer", lambda **_: consumer)
        try:
            return (asked or Logs("nowhere"))._no_proof(dict.fromkeys(answers, OFFSET), {"tweets": None})
        finally:
            assert consumer.closed

    return ask


@pytest.mark.parametrize(
    ("found", "position", "expected"),
    [
        pytest.param([record(7, CREATE_TIME)], 8, {PLACE}, id="its producer"),
        pytest.param([record(7, LOG_APPEND_TIME)], 8, set(), id="the broker"),
        pytest.param([], 8, set(), id="a marker, stamped by the broker"),
        pytest.param([record(9, CREATE_TIME)], 10, set(), id="a marker before a record"),
    ],
)
def test_the_stamp_of_a_record(
    no_proof: Callable[..., set[TopicPartition]],
    found: list[SimpleNamespace],
    position: int,
    expected: set[TopicPartition],
) -> None:
    assert no_proof({PLACE: (found, position)}) == expected


@pytest.mark.parametrize(
    ("found", "position", "error"),
    [
        pytest.param([], 7, TimeoutError, id="nothing came"),
        pytest.param([], None, TimeoutError, id="no position in time"),
        pytest.param([record(7, CREATE_TIME)], None, TimeoutError, id="a record, and no position in time"),
        pytest.param(NotLeaderForPartitionError(), 7, NotLeaderForPartitionError, id="another leader"),
        pytest.param(KafkaTimeoutError(), 7, KafkaTimeoutError, id="no answer in time"),
    ],
)
def test_brokers_that_do_not_answer_are_asked_again(
    no_proof: Callable[..., set[TopicPartition]],
    found: list[SimpleNamespace] | Exception,
    position: int | None,
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        no_proof({PLACE: (found, position)})


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(CorruptRecordError("CRC"), id="damaged"),
        pytest.param(UnsupportedCodecError("lz4"), id="a codec without its library"),
        pytest.param(TopicAuthorizationFailedError("tweets"), id="not allowed"),
        pytest.param(zlib.error("-3"), id="damaged and compressed"),
    ],
)
def test_an_unreadable_record_proves_nothing_and_the_other_partitions_are_read(
    no_proof: Callable[..., set[TopicPartition]], error: Exception
) -> None:
    asked, before, behind = Logs("nowhere"), TopicPartition("tweets", 1), TopicPartition("tweets", 2)
    others: dict[TopicPartition, Any] = {
        before: ([record(7, CREATE_TIME)], 8),
        behind: ([record(7, LOG_APPEND_TIME)], 8),
    }
    assert no_proof({before: others[before], PLACE: (error, 7), behind: others[behind]}, asked) == {before, PLACE}
    assert no_proof({PLACE: ([record(7, LOG_APPEND_TIME)], 8)}, asked) == set(), "it is asked again"

"""Who stamped a record that seems to prove a cut.

No real broker can be made to answer nothing, so the client is a fake.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from streams.consumer import logs
from streams.consumer.logs import LOG_APPEND_TIME, Logs

PLACE, OFFSET = TopicPartition("tweets", 0), 7
CREATE_TIME = 0


def record(offset: int, stamp: int) -> SimpleNamespace:
    return SimpleNamespace(offset=offset, timestamp_type=stamp)


class StubConsumer:
    """`found`: what a poll returns. `position`: where it then stands."""

    def __init__(self, found: list[SimpleNamespace], position: int) -> None:
        self.found, self.at, self.closed = found, position, False

    def assign(self, _: list[TopicPartition]) -> None: ...

    def seek(self, place: TopicPartition, offset: int) -> None:
        assert (place, offset) == (PLACE, OFFSET)

    def poll(self, **_: Any) -> dict[TopicPartition, list[SimpleNamespace]]:
        return {PLACE: self.found} if self.found else {}

    def position(self, _: TopicPartition) -> int:
        return self.at

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("found", "position", "by_producers"),
    [
        pytest.param([record(7, CREATE_TIME)], 8, {PLACE}, id="its producer"),
        pytest.param([record(7, LOG_APPEND_TIME)], 8, set(), id="the broker"),
        pytest.param([], 8, set(), id="a marker, stamped by the broker"),
        pytest.param([record(9, CREATE_TIME)], 10, set(), id="a marker before a record"),
        pytest.param([], 7, None, id="nothing came"),
    ],
)
def test_the_stamp_of_a_record(
    monkeypatch: pytest.MonkeyPatch,
    found: list[SimpleNamespace],
    position: int,
    by_producers: set[TopicPartition] | None,
) -> None:
    consumer = StubConsumer(found, position)
    monkeypatch.setattr(logs, "KafkaConsumer", lambda **_: consumer)

    def asked() -> set[TopicPartition]:
        return Logs("nowhere")._stamped_by_producers({PLACE: OFFSET}, {"tweets": None})

    if by_producers is None:
        with pytest.raises(TimeoutError, match=r"tweets/0: offset 7 was not read"):
            asked()
    else:
        assert asked() == by_producers
    assert consumer.closed

"""`mner feed` into a topic that takes less than the producer would put into one batch."""

from __future__ import annotations

import random
from contextlib import closing

import pytest
from kafka.admin import NewTopic

from core.errors import UserError
from streams import topics
from streams.feed import feed
from streams.settings import Settings
from tests.streams.account import held


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("most", [1000, 5000])
@pytest.mark.parametrize("large", [None, 700])
def test_every_line_arrives_and_only_the_long_one_is_named(
    settings: Settings, partitions: int, most: int, large: int | None
) -> None:
    brokers, name = str(settings.kafka), settings.name(f"narrow-{partitions}-{most}-{large}")
    client = topics.admin(brokers)
    with closing(client):
        client.create_topics([NewTopic(name, partitions, 1, topic_configs={"max.message.bytes": str(most)})])
        client.wait_for_topics([name])
    chance = random.Random(partitions * most)
    sizes = [chance.choice((30, 100, most // 2)) for _ in range(2000)]
    lines = [b'{"id": "%d", "text": "%s"}' % (number, b"x" * size) for number, size in enumerate(sizes, start=1)]
    if large is None:
        assert feed(lines, brokers, name) == len(lines)
        assert held(brokers, name) == sorted(lines)
        return
    lines[large - 1] = b'{"id": "%d", "text": "%s"}' % (large, b"x" * most)
    with pytest.raises(UserError, match=f"line {large} has .* continue with line {large + 1}"):
        feed(lines, brokers, name)
    assert set(lines[: large - 1]) <= set(held(brokers, name))

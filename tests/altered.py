"""Changes settings of topics for a test, and waits until the broker goes by them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from contextlib import closing

from kafka.admin import ConfigResource

from sinks.connect.kafka import Brokers
from streams import topics

BARRIER = "file.delete.delay.ms"
"""A setting that no test depends on."""

_values = itertools.count(60_001)


def alter(brokers: Brokers, topic: str, values: dict[str, str]) -> None:
    """Sets `values` of a topic, and only these. Returns when the broker writes and reads by them.

    The controller answers before the brokers know of a change, and a broker describes a new value a moment before it
    goes by it. A broker takes one change after another. So once it describes a later one, it goes by the earlier ones.
    """
    for changed in (values, {BARRIER: str(next(_values))}):
        with closing(topics.admin(brokers)) as client:
            client.alter_configs([ConfigResource("TOPIC", topic, changed)])
        until_set(brokers, topic, changed)


def until_set(brokers: Brokers, topic: str, values: dict[str, str]) -> None:
    """Waits until the broker describes these values."""
    deadline = time.monotonic() + 30
    while (found := settings_of(brokers, topic, values)) != values:
        assert time.monotonic() < deadline, f"{topic} has {found}, not {values}"
        time.sleep(0.05)


def settings_of(brokers: Brokers, topic: str, names: Iterable[str]) -> dict[str, str]:
    """Returns what the broker describes."""
    with closing(topics.admin(brokers)) as client:
        asked = ConfigResource("TOPIC", topic, list(names))
        described = client.describe_configs([asked], config_filter="all")["topic"][topic]
    return {name: str(described[name]["value"]) for name in names}

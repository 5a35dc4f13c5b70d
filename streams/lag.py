"""How far the agents have read, and how fast posts come. For an overview; `mner doctor` judges the same figures.

Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sinks.connect.kafka import Brokers
from streams import topics
from streams.agents.names import AgentName
from streams.agents.reads import READS
from streams.groups import Look, looks
from streams.settings import Settings

LIMIT_MS = 5_000
"""Longest time, in milliseconds, for each answer of the brokers."""


@dataclass(frozen=True)
class Reading:
    """The agents' consumer groups at one moment. Agents whose topic is missing, or that an ACL hides, are left out."""

    at: float  # seconds of a clock that never jumps
    agents: Mapping[AgentName, Look]

    @property
    def lags(self) -> dict[AgentName, int]:
        """Agent -> records that it has not finished."""
        return {agent: sum(look.lags.values()) for agent, look in self.agents.items()}

    @property
    def workers(self) -> dict[AgentName, int]:
        """Agent -> workers that run it."""
        return {agent: len(look.members) for agent, look in self.agents.items()}

    def arrived(self, before: Reading, agent: AgentName = AgentName.EXTRACT) -> float | None:
        """Returns the records per second that came for the agent since an earlier reading. None if this is unknown."""
        return self._pace(before, agent, _ends(self), _ends(before))

    def done(self, before: Reading, agent: AgentName = AgentName.EXTRACT) -> float | None:
        """Returns the records per second that the agent has finished since an earlier reading. None if unknown."""
        return self._pace(before, agent, _committed(self), _committed(before))

    def _pace(self, before: Reading, agent: AgentName, now: Offsets, then: Offsets) -> float | None:
        seconds = self.at - before.at
        if seconds <= 0 or agent not in now or agent not in then:
            return None
        # a topic that was deleted and created again begins at 0
        grown = (max(0, offset - then[agent].get(number, offset)) for number, offset in now[agent].items())
        return sum(grown) / seconds


Offsets = Mapping[AgentName, Mapping[int, int]]


def _ends(reading: Reading) -> Offsets:
    return {agent: look.ends for agent, look in reading.agents.items()}


def _committed(reading: Reading) -> Offsets:
    return {agent: look.committed for agent, look in reading.agents.items()}


def read(brokers: Brokers, settings: Settings) -> Reading:
    """Reads the groups of all agents. Raises `UserError` when the brokers refuse, or `topics.Unreachable`."""
    with topics.administered(brokers, bootstrap_timeout_ms=LIMIT_MS, request_timeout_ms=LIMIT_MS) as client:
        names = {agent: settings.name(topic) for agent, topic in READS.items()}
        described = client.describe_topics(list(names.values()))
        partitions = {each["name"]: len(each["partitions"]) for each in described if not each["error_code"]}
        groups = {settings.name(agent.group): name for agent, name in names.items() if name in partitions}
        found = looks(client, groups, partitions) if groups else {}
        at = time.monotonic()
    looked = {agent: found.get(settings.name(agent.group)) for agent in READS}
    return Reading(at, {agent: look for agent, look in looked.items() if look is not None and not look.error})

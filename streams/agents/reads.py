"""Which topic each agent reads."""

from __future__ import annotations

from streams import topics
from streams.agents.names import AgentName

READS: dict[AgentName, str] = {
    AgentName.EXTRACT: topics.TWEETS,
    AgentName.DELIVER: topics.EXTRACTIONS,
    AgentName.DECIDE: topics.DECISIONS,
    AgentName.ERASE: topics.TOMBSTONES,
}
"""Agent -> the topic that it reads, without the deployment's prefix."""

"""The names of the agents. This module is light, since the command line lists them too."""

from __future__ import annotations

from enum import StrEnum


class AgentName(StrEnum):
    EXTRACT = "extract"
    DELIVER = "deliver"
    DECIDE = "decide"
    ERASE = "erase"

    @property
    def group(self) -> str:
        """The agent's consumer group, without the deployment's prefix."""
        return f"mner-{self}"

"""The names of the agents. This module imports nothing heavy, since the command line lists the names too."""

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

"""The agents. Each module builds the pipeline of the agent that it is named for."""

from __future__ import annotations

NAMES = EXTRACT, DELIVER, DECIDE, ERASE = ("extract", "deliver", "decide", "erase")

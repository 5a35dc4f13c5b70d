"""What a check of `mner doctor` found, and how grave it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Level = Literal["ok", "warning", "broken"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""From harmless to grave. The place of the gravest level is the exit code of `mner doctor`."""

ANSWER_S = 4.0
"""Longest time, in seconds, for one answer of a server."""

SKEW_S = 5.0
"""Difference of two clocks, in seconds, that is still harmless."""


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    #: name of the check
    name: str
    level: Level
    #: what the check saw
    detail: str
    #: how to fix it; empty when nothing is wrong
    remedy: str = ""


def gravest(findings: Iterable[Finding]) -> Level:
    """Returns the gravest level of the findings."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="ok")


def clock(server: str, theirs_s: float, asked_s: float, answered_s: float) -> list[Finding]:
    """Compares a server's clock with that of this machine. Returns nothing if they agree.

    All times are Unix seconds. The server read its clock between `asked_s` and `answered_s`.
    """
    ahead = max(theirs_s - answered_s, 0.0) - max(asked_s - theirs_s, 0.0)
    if abs(ahead) <= SKEW_S:
        return []
    side = "ahead of" if ahead > 0 else "behind"
    detail = f"the clock of {server} is {abs(ahead):.0f} s {side} that of this machine"
    remedy = "set both by NTP; leases and the order of decisions depend on the time"
    return [Finding("clock", "warning", detail, remedy)]

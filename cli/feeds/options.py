"""The options that all feeds share."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from core.errors import UserError

Rate = Annotated[float | None, typer.Option(help="Largest number of posts per second.", min=0.01)]
Limit = Annotated[int | None, typer.Option(help="Number of posts after which the feed ends.", min=1)]
Since = Annotated[
    str | None,
    typer.Option(help="Start at this time, such as 2026-11-01T08:00Z, or 2h for two hours ago."),
]
Filter = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="LANG|WORD",
        help="Only posts in this language (en, or lang:en) or with this word (Paris, or word:Paris). Can be repeated: "
        "a post needs one of the languages and one of the words.",
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start now, not where the last run of this feed ended.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no live display, only the counts at the end.")]
JsonOut = Annotated[Path | None, typer.Option("--json", metavar="OUT", help="File for the counts at the end, as JSON.")]

DURATION = re.compile(r"(\d{1,6})([smhdw])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(value: str | None) -> datetime | None:
    """Reads `--since`: a moment, or how long ago. Raises `UserError` for anything else."""
    from core.moments import read_moment

    if value is None:
        return None
    read, now = None, datetime.now(UTC)
    if duration := DURATION.fullmatch(value.strip()):
        with suppress(OverflowError):
            read = now - timedelta(**{UNITS[duration[2]]: int(duration[1])})
    else:
        read, fault = read_moment(value)
        read = read if fault is None else None
    if read is not None and read > now:
        raise UserError(f"--since {value!r} lies in the future; leave it out to start now")
    if read is None:
        raise UserError(f"--since {value!r} is no time; write a moment such as 2026-11-01T08:00Z, or 30m, 2h or 7d")
    return read

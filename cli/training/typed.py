"""The command line of this process, as another person can type it."""

from __future__ import annotations

import shlex
import sys
from pathlib import PurePath

from streams.settings import load


def typed(program: str) -> str:
    """Returns this process's command line after `program`.

    A path below the data folder starts with `$MNER_DATA`. Of any other absolute path only the last part is shown.
    """
    return " ".join([program, *map(_word, sys.argv[1:])])


def _word(word: str) -> str:
    """Returns one argument as a shell reads it: a value, or KEY=VALUE; a value may be a comma-separated list."""
    key, equals, value = word.partition("=") if "=" in word else ("", "", word)
    return key + equals + ",".join(map(_masked, value.split(",")))


def _masked(path: str) -> str:
    data = str(load().data or "")
    if data and (path == data or path.startswith(f"{data}/")):
        below = path.removeprefix(data)
        return "$MNER_DATA" + (shlex.quote(below) if below else "")
    return shlex.quote(PurePath(path).name if path.startswith("/") else path) if path else ""

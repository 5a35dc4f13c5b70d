"""The command line of this process, as another person can type it."""

from __future__ import annotations

import shlex
import sys
from pathlib import PurePath

from streams.settings import load

DATA = "$MNER_DATA"
"""Stands for the data folder in commands and in configurations of the training."""


def typed(program: str) -> str:
    """Returns this process's command line after `program`.

    Paths are shown as `portable` shows them.
    """
    return " ".join([program, *map(_word, sys.argv[1:])])


def portable(path: str) -> str:
    """Returns a path without the folders of this machine.

    A path below the data folder starts with `$MNER_DATA`. Any other absolute path is cut to its last part.
    """
    data = str(load().data or "")
    if data and (path == data or path.startswith(f"{data}/")):
        return DATA + path.removeprefix(data)
    return PurePath(path).name if path.startswith("/") else path


def _word(word: str) -> str:
    """Returns one argument, quoted for a shell. It is a value or KEY=VALUE. A value may be a comma-separated list."""
    key, equals, value = word.partition("=") if "=" in word else ("", "", word)
    return key + equals + ",".join(map(_quoted, value.split(",")))


def _quoted(path: str) -> str:
    shown = portable(path)
    prefix = DATA if shown.startswith(DATA) and shown != path else ""  # the shell must expand the variable
    rest = shown.removeprefix(prefix)
    return prefix + (shlex.quote(rest) if rest else "")

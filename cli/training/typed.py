"""The command that was typed, as another person can type it again."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import PurePath

from streams.settings import load


def typed(program: str, without: str = "") -> str:
    """This process's command line after `program`, but for the option `without` and its value; a path below the folder
    `MNER_DATA` is told by that name, of any other absolute path the last part alone."""
    words = [word for word in sys.argv[1:] if not without or not word.startswith(f"{without}=")]
    if without in words:
        place = words.index(without)
        del words[place : place + 2]
    return " ".join([program, *map(_word, words)])


def _word(word: str) -> str:
    """One word as a shell reads it: a value, `--option=value`, or options with blanks between, to be handed on."""
    if re.match(r"--[^\s/]+\s", word):
        return f'"{" ".join(map(_word, shlex.split(word)))}"'
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + ",".join(map(_masked, value.split(",")))


def _masked(path: str) -> str:
    data = str(load().data or "")
    if data and (path == data or path.startswith(f"{data}/")):
        below = path.removeprefix(data)
        return "$MNER_DATA" + (shlex.quote(below) if below else "")
    return shlex.quote(PurePath(path).name if path.startswith("/") else path) if path else ""

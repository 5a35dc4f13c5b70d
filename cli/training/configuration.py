"""Reads the configuration file of `mner train`, with the values of `--set`."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cli.training.typed import DATA, portable
from core.errors import UserError
from model import packaged
from model.training.config import TrainingConfig
from streams.settings import load

PATHS = ("start", "out", "data.folder", "data.captions", "data.images", "data.names")
PATH_LISTS = tuple(f"data.{key}" for key in ("auxiliary", "entire", "decisions", "unlabelled", "teachers", "without"))
MODELS = ("encoder", "image_encoder")
"""Keys with a hub name or a path. A path begins with `.`, `/` or `$MNER_DATA`."""

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
"""A key that TOML takes without quotation marks."""

Table = dict[str, Any]


def read(file: Path, overrides: Sequence[str], device: str | None = None) -> tuple[TrainingConfig, str]:
    """Returns the configuration with resolved paths, and its text for the checkpoint, which names no local folder.

    Each of `overrides` is `key=value`, with a dotted key and a TOML value. A value that is not TOML is a string.
    Relative paths start at the folder of the file. Those of an override start at the current folder.

    Raises `UserError` naming the key, the value and what is allowed.
    """
    table = _parse(file)
    overridden = [_override(table, override) for override in overrides]
    if device is not None:
        table["device"] = device
    text = _copy(file, table, overridden)
    _resolve(table, file.resolve().parent, overridden)
    try:
        return TrainingConfig.model_validate(table), text
    except ValidationError as error:
        raise UserError(f"{file}: {_explain(error)}") from None


def _parse(file: Path) -> Table:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not valid TOML: {error}") from None


def _override(table: Table, override: str) -> str:
    """Sets a value in the table. Returns its key."""
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UserError(f"--set {override}: expected key=value, such as --set design.chain=false")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *sections, last = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {override}: {section} is not a section")
    table[last] = value
    return key


def _copy(file: Path, table: Table, overridden: Collection[str]) -> str:
    """Returns the table as TOML that another person can read: no path names a folder of this machine."""
    shared = deepcopy(table)
    _map_paths(shared, lambda _, path: portable(path))
    lines = [
        f"# The configuration of this training: {file.name}, with the values of --set.",
        f"# {DATA} is the folder with the data sets. Other absolute paths are cut to their last part.",
        f"# Relative paths start at the folder of {file.name}.",
    ]
    if paths := [key for key in (*PATHS, *PATH_LISTS, *MODELS) if key in overridden]:
        lines.append(f"# Those of {', '.join(paths)} start at the folder in which the training was started.")
    return "\n".join([*lines, "", _toml(shared)])


def _resolve(table: Table, folder: Path, overridden: Collection[str]) -> None:
    """Replaces `$MNER_DATA` and relative paths in the table. Overridden ones start at the current folder."""
    data = load().data

    def resolved(key: str, value: str) -> str:
        if value == DATA or value.startswith(f"{DATA}/"):
            if data is None:
                raise UserError(f"{key} {value}: MNER_DATA is not set; set it to the folder with the data sets")
            return f"{data}{value.removeprefix(DATA)}"
        return _place(key, value, Path.cwd() if key in overridden else folder)

    _map_paths(table, resolved)


def _map_paths(table: Table, change: Callable[[str, str], str]) -> None:
    """Replaces each path of the table by `change(key, path)`."""
    for key in (*PATHS, *PATH_LISTS, *MODELS):
        section, _, name = key.rpartition(".")
        part = table.get(section, {}) if section else table
        value = part.get(name) if isinstance(part, dict) else None
        if isinstance(value, str):
            part[name] = change(key, value)
        elif isinstance(value, list):
            part[name] = [change(key, each) if isinstance(each, str) else each for each in value]


def _place(key: str, value: str, folder: Path) -> str:
    """Returns a relative path as a path below `folder`, and everything else unchanged."""
    if value.startswith((DATA, "/")):
        return value
    if key in MODELS and (value in packaged.NAMES or not value.startswith(".")):
        return value
    return str((folder / value).resolve())


def _explain(error: ValidationError) -> str:
    """Returns one line for the first problem."""
    problem = error.errors(include_url=False)[0]
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"{key}: no such key; see examples/training/small.toml"
    if problem["type"] == "missing":
        return f"{key}: missing; set it in the file or with --set"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return ".".join(filter(None, (key, message)))
    return f"{key} = {problem['input']!r}: {message}"


def _toml(table: Table) -> str:
    """Returns the table as TOML. Values are written as JSON, because the values that occur here look the same in
    TOML."""
    dump = partial(json.dumps, ensure_ascii=False)

    def assigned(key: str, value: object) -> str:
        return f"{key if BARE_KEY.fullmatch(key) else dump(key)} = {dump(value)}"

    lines = [assigned(key, value) for key, value in table.items() if not isinstance(value, dict)]
    for section, values in table.items():
        if isinstance(values, dict):
            plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
            lines += ["", f"[{section}]", *(assigned(key, value) for key, value in plain.items())]
            for name, inner in values.items():
                if isinstance(inner, dict):
                    lines += ["", f"[{section}.{name}]", *(assigned(key, value) for key, value in inner.items())]
    return "\n".join(lines).strip() + "\n"

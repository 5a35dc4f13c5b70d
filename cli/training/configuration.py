"""Reads the configuration file of `mner train`, with the values of `--set`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.errors import UserError
from model import packaged
from model.training.config import TrainingConfig
from streams.settings import load

DATA = "$MNER_DATA"
PATHS = ("start", "out", "data.folder", "data.captions", "data.images")
PATH_LISTS = ("data.auxiliary", "data.unlabelled", "data.teachers")
MODELS = ("encoder", "image_encoder")
"""Keys with a hub name or a path. A path begins with `.`, `/` or `$MNER_DATA`."""

Table = dict[str, Any]


def read(file: Path, overrides: Sequence[str], device: str | None = None) -> tuple[TrainingConfig, str]:
    """Returns the configuration with resolved paths, and its text as it is copied into the checkpoint.

    `overrides`: `key=value` with a dotted key and a TOML value; a value that is no TOML is a string. Relative paths
    start at the folder of the file; those of an override start at the current folder.

    Raises `UserError` naming the key, the value and what is allowed.
    """
    table = _parse(file)
    for override in overrides:
        _override(table, override)
    if device is not None:
        table["device"] = device
    text = _toml(table)
    _resolve(table, file.resolve().parent)
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


def _override(table: Table, override: str) -> None:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UserError(f"--set {override}: expected key=value, such as --set design.chain=false")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    here = Path.cwd()
    if key in (*PATHS, *MODELS) and isinstance(value, str):
        value = _place(key, value, here)
    if key in PATH_LISTS and isinstance(value, list):
        value = [_place(key, each, here) for each in value]
    *sections, last = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise UserError(f"--set {override}: {section} is not a section")
    table[last] = value


def _resolve(table: Table, folder: Path) -> None:
    """Replaces `$MNER_DATA` and relative paths in the table."""
    data = load().data

    def resolved(key: str, value: object) -> object:
        if isinstance(value, list):
            return [resolved(key, each) for each in value]
        if isinstance(value, str) and (value == DATA or value.startswith(f"{DATA}/")):
            if data is None:
                raise UserError(f"{key} {value}: MNER_DATA is not set; set it to the folder with the data sets")
            return f"{data}{value.removeprefix(DATA)}"
        return _place(key, value, folder)

    for key in (*PATHS, *PATH_LISTS, *MODELS):
        section, _, name = key.rpartition(".")
        part = table.get(section, {}) if section else table
        if isinstance(part, dict) and name in part:
            part[name] = resolved(key, part[name])


def _place(key: str, value: object, folder: Path) -> object:
    """Returns a relative path as a path below `folder`, and everything else unchanged."""
    if not isinstance(value, str) or value.startswith((DATA, "/")):
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
    """Returns the table as TOML. Its values are JSON too, so JSON's notation serves."""
    dump = partial(json.dumps, ensure_ascii=False)
    lines = [f"{key} = {dump(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for section, values in table.items():
        if isinstance(values, dict):
            plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
            lines += ["", f"[{section}]", *(f"{key} = {dump(value)}" for key, value in plain.items())]
            for name, inner in values.items():
                if isinstance(inner, dict):
                    lines += ["", f"[{section}.{name}]", *(f"{key} = {dump(value)}" for key, value in inner.items())]
    return "\n".join(lines).strip() + "\n"


def device_of(name: str) -> str:
    """Returns the torch device for `auto`, `cpu` or `cuda`. Raises `UserError` when there is no GPU for `cuda`."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda: torch sees no GPU; use auto or cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name

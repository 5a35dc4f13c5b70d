"""Runs `mner train` in a test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from cli.training.train import command


def train(out: Path, data: Path, overrides: Mapping[str, object] | None = None) -> None:
    """Trains on the data set `data` into `out`. `overrides`: values by dotted key, as `--set` takes them."""
    config = out.parent / f"{out.name}.toml"
    config.write_text(f"[data]\nfolder = {json.dumps(str(data))}\n", encoding="utf-8")
    values = [f"{key}={json.dumps(value, default=str)}" for key, value in (overrides or {}).items()]
    command(config, out=out, overrides=values)

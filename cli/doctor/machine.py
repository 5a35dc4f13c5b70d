"""The checks of this machine: Python, settings, the home folder, the disk, the checkpoint, the device and the jars."""

from __future__ import annotations

import asyncio
import difflib
import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from cli.doctor.finding import Finding, Level
from core.errors import ProcessDied
from streams.old_names import CONSTANTS, RENAMED
from streams.settings import VARIABLES, Settings

PYTHONS = ((3, 11), (3, 14))
"""The oldest supported version and the first unsupported one, as in `requires-python` of pyproject.toml."""

GB = 1e9
LOW_GB, FULL_GB = 2.0, 0.3
"""Free space in GB. Below the first value the check warns. Below the second a local server is unlikely to start."""


def python() -> Finding:
    first, too_new = PYTHONS
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if first <= sys.version_info[:2] < too_new:
        return Finding("python", "ok", detail)
    remedy = f"use Python {first[0]}.{first[1]} or newer, below {too_new[0]}.{too_new[1]}: `make clean install`"
    return Finding("python", "broken", detail, remedy)


def settings(config: Settings) -> Finding:
    """Counts the settings by their origin, and warns of variables that only look like settings."""
    from dotenv import dotenv_values

    def ours(variables: Mapping[str, str | None]) -> set[str]:
        return {name.upper() for name, value in variables.items() if _is_ours(name, value)}

    environment, file = ours(os.environ), ours(dotenv_values(".env"))
    known = {variable.name for variable in VARIABLES} | RENAMED.keys()
    constant = sorted((environment | file) & set(CONSTANTS))
    unknown = sorted((environment | file) - known - set(CONSTANTS))
    details, remedies = [], []
    if constant:
        details.append(f"constants since release 0.2: {', '.join(constant)}")
        remedies.append(f"remove {', '.join(constant)}")
    if unknown:
        similar = difflib.get_close_matches(unknown[0], known, 1)
        details.append(f"no such setting: {', '.join(unknown)}")
        remedies.append(
            f"did you mean {similar[0]}? `mner config` lists the settings"
            if similar
            else "`mner config` lists the settings"
        )
    if details:
        return Finding("settings", "warning", "; ".join(details), "; ".join(remedies))
    counts = f"{len(environment & known)} from the environment, {len((file - environment) & known)} from .env"
    return Finding("settings", "ok", f"valid; {counts}, the rest defaults")


def _is_ours(name: str, value: str | None) -> bool:
    """Whether the variable is one of ours, and set. A blank one counts as unset."""
    return bool(value and value.strip()) and name.upper().startswith("MNER_")


def home(folder: Path) -> Finding | None:
    """Returns what keeps the folder from being used, or None."""
    remedy = "set MNER_HOME to a folder that this user may write to"
    existing = _existing(folder)
    if not existing.is_dir():
        is_it = "is" if existing == folder.resolve() else f"cannot be made: {existing} is"
        return Finding("home", "broken", f"MNER_HOME={folder} {is_it} a file, not a folder", remedy)
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding("home", "broken", f"MNER_HOME={folder}: this user may not write to {existing}", remedy)
    return None


def _existing(folder: Path) -> Path:
    """Returns the folder, or the closest folder above it that exists. Instead it may be a file."""
    return next(place for place in (folder.resolve(), *folder.resolve().parents) if os.path.lexists(place))


def disk(home: Path) -> Finding:
    """Checks the free space where local servers keep their data."""
    existing = _existing(home)
    free = shutil.disk_usage(existing).free / GB
    detail = f"{free:.1f} GB free for {home}"
    if free >= LOW_GB:
        return Finding("disk", "ok", detail)
    level: Level = "warning" if free >= FULL_GB else "broken"
    return Finding("disk", level, detail, "free some space, or set MNER_HOME to a folder on another disk")


def checkpoint(config: Settings) -> Finding:
    """Checks that the checkpoint is present and complete, and has the runtime, without loading it."""
    from streams.checkpoint import cascade_here, checkpoint_here

    cascade = cascade_here(config)
    info = checkpoint_here(config) if cascade is None else cascade.as_checkpoint
    trained = datetime.fromtimestamp(info.model_version, UTC)
    override = "" if config.threshold is None else f", replaced by MNER_THRESHOLD={config.threshold:g}"
    runtime = "" if info.runtime == "torch" else f", runtime {info.runtime}"
    made = f"trained {trained:%Y-%m-%d}{runtime}"
    if cascade is not None:
        names = ", ".join(f"{each.name} ({each.runtime})" for each in cascade.checkpoints)
        made = f"cascade of {names}, calibrated {trained:%Y-%m-%d}"
    detail = f"{info.name}, {made}, threshold {info.threshold:.2f}{override}"
    return Finding("checkpoint", "ok", detail)


def model(config: Settings) -> Finding:
    """Loads the model in a process of its own, as a worker does."""
    from streams.checkpoint import cascade_here, checkpoint_here, process_here

    process = process_here(config, cascade_here(config) or checkpoint_here(config))

    async def load_it() -> float:
        started = time.monotonic()
        try:
            await process.start()
            return time.monotonic() - started
        finally:
            await process.close()

    try:
        return Finding("model", "ok", f"loads in its own process in {asyncio.run(load_it()):.0f} s")
    except ProcessDied as error:
        return Finding("model", "broken", str(error), "the process died while it loaded; is there enough memory?")


def gpu(config: Settings) -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("gpu", "ok", f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    if config.device == "cuda":
        remedy = "set MNER_DEVICE=auto, or check the driver"
        return Finding("gpu", "broken", "MNER_DEVICE is cuda, but torch sees no GPU", remedy)
    return Finding("gpu", "ok", f"none, so the CPU is used; torch {torch.__version__}")


def jars(config: Settings) -> Finding:
    """Checks the Java archives of the local Kafka and Elasticsearch."""
    from local.jars import ROOTS, default_cache, locked
    from streams.servers import is_set

    if config.kafka and is_set(config, "elasticsearch"):
        return Finding("jars", "ok", "not needed: MNER_KAFKA and MNER_ELASTICSEARCH are set")
    pinned = {jar for name in ROOTS for jar in locked(name)}
    missing = [jar for jar in pinned if not jar.lies_in(default_cache())]
    if not missing:
        return Finding("jars", "ok", f"all {len(pinned)} are in the cache, with the checksums of the lock")
    size = sum(jar.size for jar in missing) / 1e6
    detail = f"{len(missing)} of {len(pinned)} are not in the cache"
    return Finding("jars", "warning", detail, f"nothing to do: `mner local up` fetches them ({size:.0f} MB)")

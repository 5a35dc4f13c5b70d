"""Is everything there that a worker needs? One finding a check: what was seen, and how to mend it.

No check raises and none waits for long: a server that is away, silent or refuses us is a finding like any other.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from cli.doctor.servers import SERVERS, Finding, server
from core.errors import ProcessDied, Retry, Stop, UserError
from streams.settings import RENAMED, VARIABLES, Settings, load

PYTHONS = ((3, 11), (3, 14))
"""The first that works, and the first that is too new; `requires-python` in pyproject.toml."""

GB = 1e9
ROOM_GB, NO_ROOM_GB = 2.0, 0.3
"""Free space below which to warn, and below which a local server cannot be expected to start."""


def examine(*, deep: bool = False) -> list[Finding]:
    """Every check, in reading order. `deep` also loads the model, in its process, and torch, to look for a GPU."""
    try:
        config = load()
    except UserError as error:
        mend = "correct it in the environment or in .env; the other checks need valid settings"
        return [python(), Finding("settings", "broken", str(error), mend)]
    checks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("python", lambda: [python()]),
        ("settings", lambda: [settings(config)]),
        ("disk", lambda: [disk(config.home)]),
        ("checkpoint", lambda: [checkpoint(config)]),
        *([("model", lambda: [model(config)]), ("gpu", lambda: [gpu(config)])] if deep else []),
        ("jars", lambda: [jars(config)]),
        *((name, lambda name=name: server(name, config)) for name in SERVERS),
    ]
    with ThreadPoolExecutor(len(checks)) as pool:
        return [finding for part in pool.map(lambda check: _guarded(*check), checks) for finding in part]


def _guarded(name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """A doctor that falls over helps nobody: whatever a check raises becomes its finding."""
    try:
        return check()
    except (UserError, Retry, Stop) as error:
        return [Finding(name, "broken", str(error))]
    except Exception as error:
        return [Finding(name, "broken", f"this check failed itself: {error!r}", "please report it")]


def python() -> Finding:
    first, too_new = PYTHONS
    said = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if first <= sys.version_info[:2] < too_new:
        return Finding("python", "ok", said)
    mend = f"use Python {first[0]}.{first[1]} or newer, below {too_new[0]}.{too_new[1]}: `make clean install`"
    return Finding("python", "broken", said, mend)


def settings(config: Settings) -> Finding:
    """Valid by now; says where they come from, and names variables that look like settings and are none."""
    from dotenv import dotenv_values

    given = {name.upper() for name in os.environ if name.upper().startswith("MNER_")}
    filed = {name.upper() for name in dotenv_values(".env") if name.upper().startswith("MNER_")}
    known = {variable.name for variable in VARIABLES} | RENAMED.keys()
    said = (
        f"valid; {len(given & known)} from the environment, {len((filed - given) & known)} from .env, the rest defaults"
    )
    if unknown := sorted((given | filed) - known):
        near = difflib.get_close_matches(unknown[0], known, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        return Finding(
            "settings", "warning", f"no such setting: {', '.join(unknown)}", f"{meant}`mner config` lists them"
        )
    return Finding("settings", "ok", said)


def disk(home: Path) -> Finding:
    """Free space where local servers keep their data."""
    there = next(folder for folder in (home.resolve(), *home.resolve().parents) if folder.exists())
    free = shutil.disk_usage(there).free / GB
    said = f"{free:.1f} GB free for {home}"
    if free >= ROOM_GB:
        return Finding("disk", "ok", said)
    return Finding("disk", "warning" if free >= NO_ROOM_GB else "broken", said, "make room, or set MNER_HOME elsewhere")


def checkpoint(config: Settings) -> Finding:
    """Present and complete; loading it is `model`'s business."""
    from model.checkpoint import describe

    info = describe(config.model)
    trained = datetime.fromtimestamp(info.model_version, UTC)
    own = "" if config.threshold is None else f", MNER_THRESHOLD={config.threshold:g} instead"
    return Finding("checkpoint", "ok", f"{info.name}, trained {trained:%Y-%m-%d}, threshold {info.threshold:.2f}{own}")


def model(config: Settings) -> Finding:
    """Loads the model as a worker does, in a process of its own."""
    from model.worker import ModelProcess

    process = ModelProcess(
        config.model_factory,
        config.model,
        config.device,
        config.model_threads,
        config.model_timeout_s,
        config.candidate_threshold,
    )

    async def load_it() -> float:
        started = time.monotonic()
        try:
            await process.start()
            return time.monotonic() - started
        finally:
            await process.close()

    try:
        return Finding("model", "ok", f"loads in its own process, in {asyncio.run(load_it()):.0f} s")
    except ProcessDied as error:
        return Finding("model", "broken", str(error), "is there enough memory? the process was started and died")


def gpu(config: Settings) -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("gpu", "ok", f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    if config.device == "cuda":
        mend = "set MNER_DEVICE=auto, or check the driver"
        return Finding("gpu", "broken", "MNER_DEVICE=cuda, and torch sees no GPU", mend)
    return Finding("gpu", "ok", f"none seen, the CPU is used; torch {torch.__version__}")


def jars(config: Settings) -> Finding:
    """What the local Kafka and Elasticsearch are made of."""
    from local.jars import ROOTS, default_cache, locked

    if config.kafka and config.elasticsearch:
        return Finding("jars", "ok", "not needed: MNER_KAFKA and MNER_ELASTICSEARCH name other servers")
    wanted = {jar for name in ROOTS for jar in locked(name)}
    missing = [jar for jar in wanted if not jar.lies_in(default_cache())]
    if not missing:
        return Finding("jars", "ok", f"{len(wanted)} in the cache, each as the lock says")
    size = sum(jar.size for jar in missing) / 1e6
    said = f"{len(missing)} of {len(wanted)} are not in the cache"
    return Finding("jars", "warning", said, f"nothing to do: `mner local up` fetches them ({size:.0f} MB)")

"""Runs the checks of `mner doctor`. Each returns findings: what it saw, and how to fix a problem.

The checks run at the same time, and `BOUND_S` limits them together. `run_check` turns exceptions into findings, so an
unreachable, silent or refusing server is a finding like any other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from cli.doctor import elasticsearch, kafka, machine, redis, terms
from cli.doctor.finding import Finding
from core.errors import Retry, Stop, UserError
from streams import servers
from streams.servers import NAMES, is_set
from streams.settings import Settings, load

BOUND_S = 15.0
"""Longest time, in seconds, for all checks together. Loading the model (`--deep`) is not limited by it."""

Check = Callable[[], Iterable[Finding]]
CHECKS: dict[str, Callable[[Settings], Iterable[Finding]]] = {
    "kafka": lambda config: kafka.check(servers.kafka(config), config),
    "elasticsearch": lambda config: elasticsearch.check(servers.elasticsearch(config), config),
    "redis": lambda config: redis.check(servers.redis(config), config),
}


def examine(*, deep: bool = False) -> list[Finding]:
    """Runs every check. Returns the findings in the order of display.

    `deep` also loads the model in a process of its own, and looks for a GPU.
    """
    try:
        config = load()
    except UserError as error:
        remedy = "correct it in the environment or in .env; the other checks need valid settings"
        return [machine.python(), Finding("settings", "broken", str(error), remedy)]
    home = machine.home(config.home)
    checks: list[tuple[str, Check]] = [
        ("python", lambda: [machine.python()]),
        ("settings", lambda: [machine.settings(config)]),
        ("home" if home else "disk", lambda: [home or machine.disk(config.home)]),
        ("checkpoint", lambda: [machine.checkpoint(config)]),
        ("sources", lambda: terms.sources(config)),
    ]
    if deep:
        checks.append(("model", lambda: [machine.model(config)]))
    if deep or config.device == "cuda":
        checks.append(("gpu", lambda: [machine.gpu(config)]))
    checks.append(("jars", lambda: [machine.jars(config)]))
    for name in NAMES:
        if home is None or is_set(config, name):  # else its address would be in that folder
            checks.append((name, lambda name=name: server(name, config)))  # type: ignore[misc]
    return run(checks)


def server(name: str, config: Settings) -> Iterable[Finding]:
    """Checks one server. Raises `UserError` when it has no address, or settings that do not fit together."""
    return CHECKS[name](config)


def run(checks: Sequence[tuple[str, Check]], bound_s: float = BOUND_S) -> list[Finding]:
    """Runs the checks in threads. A check that takes longer than `bound_s` is left behind.

    What it has found until then is told, and that it did not end.
    """
    results: dict[str, list[Finding]] = {name: [] for name, _ in checks}

    def work(name: str, check: Check) -> None:
        for finding in run_check(name, check):
            results[name].append(finding)

    threads = {
        name: threading.Thread(target=work, args=(name, check), name=name, daemon=True) for name, check in checks
    }
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + bound_s
    for name, thread in threads.items():
        thread.join(None if name == "model" else max(0.0, deadline - time.monotonic()))
    told: list[Finding] = []
    for name, thread in threads.items():
        is_late = thread.is_alive()  # asked first: what it finds in between is told as well
        told += list(results[name])
        if is_late:
            detail = f"did not end within {bound_s:g} s"
            told.append(Finding(name, "broken", detail, "see the log of the server; try again"))
    return told


def run_check(name: str, check: Check) -> Iterator[Finding]:
    """Runs one check. Any exception becomes a finding, so that the other checks still run."""
    try:
        yield from check()
    except (UserError, Retry, Stop) as error:
        yield Finding(name, "broken", str(error))
    except Exception as error:
        yield Finding(name, "broken", f"the check itself failed: {error!r}", "please report it")

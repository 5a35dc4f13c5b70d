"""All servers together, for the length of a `with` block or until `down`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from core.errors import UserError
from local.elasticsearch import Elasticsearch
from local.kafka import Kafka
from local.lock import alone
from local.redis import Redis
from local.server import Server

KINDS: dict[str, type[Server]] = {kind.name: kind for kind in (Kafka, Elasticsearch, Redis)}
NAMES = tuple(KINDS)

OnProgress = Callable[[str, str], None]
"""Receives the name of a server and what it is doing, in the thread of that server."""


class Stack:
    """Servers that run as long as the `with` block. They never outlive this process, however it ends.

    Data, logs and port numbers are kept in `home`. A later stack in the same folder has the same data. It also has the
    same ports, if they are free.

    Raises `UserError` when a server does not start, after stopping the others.
    """

    def __init__(self, home: Path, names: Sequence[str] = NAMES, on_progress: OnProgress | None = None) -> None:
        self._servers = _make(home, names, on_progress)

    def __enter__(self) -> Self:
        _start(list(self._servers.values()), detached=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        _stop(list(self._servers.values()))

    @property
    def kafka(self) -> Server:
        return self._servers["kafka"]

    @property
    def elasticsearch(self) -> Server:
        return self._servers["elasticsearch"]

    @property
    def redis(self) -> Server:
        return self._servers["redis"]

    @property
    def addresses(self) -> dict[str, str]:
        """Server name -> address: `host:port` for Kafka, a URL for the others."""
        return {name: server.address for name, server in self._servers.items()}


@dataclass(frozen=True)
class Status:
    """The state of one server."""

    name: str
    running: bool
    #: None when the server does not run
    address: str | None
    #: Process number. None when the server does not run.
    pid: int | None
    log: Path


def up(home: Path, on_progress: OnProgress | None = None) -> dict[str, str]:
    """Starts the servers that do not run yet. They run until `down`. Returns the addresses of all.

    Raises as `Stack` does.
    """
    servers = _make(home, NAMES, on_progress)
    with alone(home / "up.lock"):  # a second `up` at the same time waits, then finds all servers running
        _start([server for server in servers.values() if not server.alive], detached=True)
    return {name: server.address for name, server in servers.items()}


def down(home: Path) -> list[str]:
    """Stops every server that runs in `home`, whichever process started it. Returns their names."""
    servers = [server for server in _make(home, NAMES).values() if server.alive]
    _stop(servers)
    return [server.name for server in servers]


def status(home: Path) -> list[Status]:
    """Returns the state of every server, running or not."""
    states = []
    for name, server in _make(home, NAMES).items():
        pid = server.pid
        states.append(Status(name, pid is not None, server.known_address if pid else None, pid, server.log))
    return states


def running(home: Path) -> dict[str, str] | None:
    """Returns the addresses of the servers that run in `home`, or None when no server runs.

    Files that a crash left behind do not count: the guard of a running server holds a lock, and the kernel releases it
    when the guard dies.
    """
    addresses = {server.name: server.address for server in status(home) if server.running and server.address}
    return addresses or None


def _make(home: Path, names: Sequence[str], on_progress: OnProgress | None = None) -> dict[str, Server]:
    """Raises `UserError` when a file stands where the folder should be."""
    existing = next(place for place in (home.resolve(), *home.resolve().parents) if place.exists())
    if not existing.is_dir():
        raise UserError(f"{existing}: Not a directory; the folder of the local servers cannot be {home}")
    report = on_progress or (lambda name, message: None)
    return {name: KINDS[name](home, partial(report, name)) for name in names}


def _start(servers: list[Server], *, detached: bool) -> None:
    """Starts the servers at the same time. If one fails, all are stopped."""

    def start(server: Server) -> None:
        server.start(detached=detached)
        server.ready()

    if not servers:
        return
    with ThreadPoolExecutor(len(servers)) as pool:
        started = [pool.submit(start, server) for server in servers]
        try:
            for future in as_completed(started):
                future.result()
        except BaseException:
            for server in servers:
                server.cancel()
            pool.shutdown()
            _stop(servers)
            raise


def _stop(servers: list[Server]) -> None:
    if not servers:
        return
    with ThreadPoolExecutor(len(servers)) as pool:
        for future in [pool.submit(server.stop) for server in servers]:
            future.result()

"""The servers together: for the length of a `with` block, or until somebody says `down`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from local.elasticsearch import Elasticsearch
from local.kafka import Kafka
from local.lock import alone
from local.redis import Redis
from local.server import Server

KINDS: dict[str, type[Server]] = {kind.name: kind for kind in (Kafka, Elasticsearch, Redis)}
NAMES = tuple(KINDS)

OnProgress = Callable[[str, str], None]
"""Called with a server's name and what it is doing, from that server's own thread."""


class Stack:
    """Servers that live as long as the `with` block, and never longer than this process, however it ends.

    Data, logs and ports lie in `home`: a later stack in the same folder finds its data again, on the same ports
    while they are free. Raises `UserError` when one does not start; the others are stopped then.
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
        """Server name -> address: `host:port` for kafka, a URL for the others."""
        return {name: server.address for name, server in self._servers.items()}


@dataclass(frozen=True)
class Status:
    """One server of a home. `address` and `pid` are none when it does not run."""

    name: str
    running: bool
    address: str | None
    pid: int | None
    log: Path


def up(home: Path, on_progress: OnProgress | None = None) -> dict[str, str]:
    """Start what does not run yet, to run until `down`; the addresses of all. Raises as `Stack` does."""
    servers = _make(home, NAMES, on_progress)
    with alone(home / "up.lock"):  # the second of two at once then finds everything running
        _start([server for server in servers.values() if not server.alive], detached=True)
    return {name: server.address for name, server in servers.items()}


def down(home: Path) -> list[str]:
    """Stop every server that runs in `home`, whoever started it; their names."""
    servers = [server for server in _make(home, NAMES).values() if server.alive]
    _stop(servers)
    return [server.name for server in servers]


def status(home: Path) -> list[Status]:
    """Every server, running or not."""
    found = []
    for name, server in _make(home, NAMES).items():
        pid = server.pid
        found.append(Status(name, pid is not None, server.known_address if pid else None, pid, server.log))
    return found


def running(home: Path) -> dict[str, str] | None:
    """The addresses of the servers that run in `home`; none when there is none.

    What a crash left behind is not taken for a server: a running server's guard holds a lock that the kernel releases
    with its process.
    """
    alive = {one.name: one.address for one in status(home) if one.running and one.address}
    return alive or None


def _make(home: Path, names: Sequence[str], on_progress: OnProgress | None = None) -> dict[str, Server]:
    tell = on_progress or (lambda name, message: None)
    return {name: KINDS[name](home, partial(tell, name)) for name in names}


def _start(servers: list[Server], *, detached: bool) -> None:
    """All at once. If one fails, none is left running."""

    def start(server: Server) -> None:
        server.start(detached=detached)
        server.ready()

    if not servers:
        return
    with ThreadPoolExecutor(len(servers)) as pool:
        started = [pool.submit(start, server) for server in servers]
        try:
            for one in as_completed(started):
                one.result()
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
        for one in [pool.submit(server.stop) for server in servers]:
            one.result()

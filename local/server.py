"""The contract of a local server: a real server as a plain process, with a folder, a log and ports of its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from streams.errors import UserError

GUARD = Path(__file__).with_name("guard.py")
GUARD_BUSY = 75
PORTS = range(15_000, 32_000)
"""Below the ports that Linux (32768) and macOS (49152) give to outgoing connections, so that while a server is down
no client's connection can take its port."""

READY_S = 90.0
STOP_S = 20.0
POLL_S = 0.05
PORT_TRIES = 5
LOG_LINES = 12

Tell = Callable[[str], None]


class Server(ABC):
    """One server in `home/NAME`, its log in `home/logs/NAME.log`. Listens on 127.0.0.1 alone.

    `start` again after `stop` or `kill` comes back on the same port with the same data. Not safe for use by several
    threads at once; different servers are.
    """

    name: ClassVar[str]
    port_count: ClassVar[int] = 1

    def __init__(self, home: Path, tell: Tell | None = None) -> None:
        home = home.resolve()
        self.folder = home / self.name
        self.log = home / "logs" / f"{self.name}.log"
        self._tell: Tell = tell or (lambda message: None)
        self._lock = self.folder / "lock"
        self._ports_file = self.folder / "ports.json"
        self._ports: list[int] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._detached = False

    @abstractmethod
    def url(self, port: int) -> str:
        """The address that clients use, for a port."""

    @abstractmethod
    def prepare(self, ports: list[int]) -> list[str]:
        """Write the configuration into `folder`; the command that runs the server in the foreground."""

    @abstractmethod
    def answers(self, port: int) -> bool:
        """Whether this very server (not a stranger on its port) serves requests. May raise `OSError` if not."""

    @property
    def address(self) -> str:
        """Where it is, or was when it last ran. Raises `UserError` when it has never been ready."""
        if (known := self.known_address) is None:
            raise UserError(f"{self.name} has never run in {self.folder}")
        return known

    @property
    def known_address(self) -> str | None:
        """As `address`; none when it has never been ready."""
        ports = self._ports or self._known_ports()
        return self.url(ports[0]) if ports else None

    @property
    def alive(self) -> bool:
        """Whether it runs, started by whatever process."""
        try:
            with self._lock.open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True

    @property
    def pid(self) -> int | None:
        """The process number of the server itself; none when it does not run."""
        return self._pids()[1] if self.alive else None

    def start(self, *, detached: bool = False) -> None:
        """Launch it; it lives until `stop`, `kill` or the end of this process, or for ever if `detached`.

        Returns before it answers, see `ready`.
        """
        self._detached = detached
        self._ports = self._ports or self._known_ports(free=True)
        self._launch()

    def ready(self, timeout_s: float = READY_S) -> None:
        """Wait until it serves requests. Raises `UserError` with the end of its log when it does not."""
        deadline = time.monotonic() + timeout_s
        tries = 1
        while not self._answers():
            if self._guard is None or self._guard.poll() is not None:
                if self._port_was_taken() and tries < PORT_TRIES:
                    tries += 1
                    self._ports = None
                    self._launch()
                    continue
                raise self._failure("did not start" if self._guard else "was not started")
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {timeout_s:.0f} s")
            time.sleep(POLL_S)
        self._ports_file.write_text(json.dumps(self._ports))
        self._tell(f"ready at {self.address}")

    def stop(self) -> None:
        """End it politely: it flushes what it holds. Does nothing when it does not run."""
        self._end(signal.SIGTERM, to_guard=True)

    def kill(self) -> None:
        """SIGKILL, as a crash or the out-of-memory killer would: it flushes nothing."""
        self._end(signal.SIGKILL, to_guard=False)

    def _launch(self) -> None:
        if self._ports is None:
            self._ports_file.unlink(missing_ok=True)
            self._ports = free_ports(self.port_count)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = self.prepare(self._ports)
        self._tell("starting")
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        owner = 0 if self._detached else os.getpid()
        with self.log.open("wb") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), str(self._lock), str(owner), *command],
                stdin=subprocess.DEVNULL if self._detached else subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C in a terminal is the owner's business
            )

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self._ports is not None and self.answers(self._ports[0])
        return False

    def _known_ports(self, *, free: bool = False) -> list[int] | None:
        """The ports it was last ready on; with `free`, only if they can be taken now."""
        try:
            ports: list[int] = json.loads(self._ports_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return None if free and not all(map(is_free, ports)) else ports

    def _port_was_taken(self) -> bool:
        """Another process took the port between our choice and the bind. Ports once announced are never changed."""
        return not self._ports_file.exists() and "Address already in use" in self._log_text()

    def _pids(self) -> tuple[int, int]:
        """Of guard and server. The guard writes them an instant after it takes the lock."""
        deadline = time.monotonic() + STOP_S
        while time.monotonic() < deadline:
            with contextlib.suppress(ValueError):
                guard, server = self._lock.read_text().split()
                return int(guard), int(server)
            time.sleep(POLL_S)
        raise UserError(f"{self.name}: {self._lock} is held but names no process; see {self.log}")

    def _end(self, how: signal.Signals, *, to_guard: bool) -> None:
        if self._guard is not None and to_guard:
            self._guard.send_signal(how)  # also reaches a guard that does not hold the lock yet
        elif self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pids()[0 if to_guard else 1], how)
        deadline = time.monotonic() + STOP_S
        while self.alive or (self._guard is not None and self._guard.poll() is None):
            if time.monotonic() > deadline:
                raise UserError(f"{self.name} did not end within {STOP_S:.0f} s; see {self.log}")
            time.sleep(POLL_S)
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard = None

    def _log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _failure(self, what: str) -> UserError:
        if self._guard is not None and self._guard.poll() == GUARD_BUSY:
            return UserError(f"{self.name} already runs in {self.folder}: `mner local down` stops it")
        lines = self._log_text().rstrip().splitlines()[-LOG_LINES:]
        shown = "".join(f"\n  {line}" for line in lines) or " (it is empty)"
        return UserError(f"{self.name} {what}; the end of its log {self.log}:{shown}")


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, at this instant: whoever binds them must be ready to lose the race."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.choice(PORTS)
        if port not in chosen and is_free(port):
            chosen.append(port)
    return chosen


def is_free(port: int) -> bool:
    """Whether a server could listen on it. Connections of a former server that linger do not matter."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

"""The base class of local servers: a plain process with a folder, a log and ports of its own."""

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
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from core.errors import UserError
from local.lock import is_held

GUARD = Path(__file__).with_name("guard.py")
PORTS = range(15_000, 32_000)
"""Below the ports that Linux (from 32768) and macOS (from 49152) give to outgoing connections. So a client's connection
never takes the port of a stopped server."""

READY_S = 90.0
STOP_S = 20.0
POLL_S = 0.05
PORT_TRIES = 5
LOG_LINES = 12

Report = Callable[[str], None]
"""Receives what a server is doing, such as "starting"."""


class Cancelled(Exception):
    """The start was abandoned, because another server did not start or the user pressed Ctrl-C."""


class Pids(NamedTuple):
    """The process numbers that belong to one server."""

    guard: int
    server: int
    #: 0 when the server is detached and runs until it is stopped
    owner: int


class Server(ABC):
    """One server, with its data in `home/NAME` and its log in `home/logs/NAME.log`. It listens on 127.0.0.1 only.

    After `stop` or `kill`, `start` brings it back on the same port with the same data. Several threads must not use one
    object at once, but each thread may use its own server.
    """

    name: ClassVar[str]
    port_count: ClassVar[int] = 1

    def __init__(self, home: Path, report: Report | None = None) -> None:
        home = home.resolve()
        self.folder = home / self.name
        self.log = home / "logs" / f"{self.name}.log"
        self._on_report: Report = report or (lambda message: None)
        self._lock = self.folder / "lock"
        self._ports_file = self.folder / "ports.json"
        self._ports: list[int] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._detached = False
        self._cancelled = threading.Event()

    @abstractmethod
    def url(self, port: int) -> str:
        """Returns the address for clients, given the port."""

    @abstractmethod
    def prepare(self, ports: list[int]) -> list[str]:
        """Writes the configuration into `folder`. Returns the command that runs the server in the foreground."""

    @abstractmethod
    def answers(self, port: int) -> bool:
        """Returns whether this server, and not another one on its port, serves requests.

        May raise `OSError` when it does not.
        """

    @property
    def address(self) -> str:
        """The address of the current or the last run. Raises `UserError` when the server has never been ready."""
        if (address := self.known_address) is None:
            raise UserError(f"{self.name} has never run in {self.folder}")
        return address

    @property
    def known_address(self) -> str | None:
        """Returns the address, or None if the server has never been ready."""
        ports = self._ports or self._known_ports()
        return self.url(ports[0]) if ports else None

    @property
    def alive(self) -> bool:
        """Whether the server runs, whichever process started it."""
        return is_held(self._lock)

    @property
    def pid(self) -> int | None:
        """The process number of the server. None while it does not run or is just starting."""
        pids = self._pids()
        return pids.server if pids and self.alive else None

    def start(self, *, detached: bool = False) -> None:
        """Prepares the server and launches it; `ready` waits until it answers.

        It runs until `stop`, `kill` or the end of this process. A `detached` server also outlives this process.

        Raises `UserError` when it already runs or cannot be prepared.
        """
        self._detached = detached
        self._launch()

    def ready(self, timeout_s: float = READY_S) -> None:
        """Waits until the server serves requests. Raises `UserError` with the end of its log when it does not."""
        deadline = time.monotonic() + timeout_s
        tries = 1
        while True:
            ended = self._guard is None or self._guard.poll() is not None
            if ended and self._port_was_taken() and tries < PORT_TRIES:
                tries += 1
                self._ports = None
                self._launch()
                continue
            if ended:
                failure = self._failure("did not start" if self._guard else "was not started")
                self._forget_guard()
                raise failure
            if self._answers():
                break
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {timeout_s:.0f} s")
            if self._cancelled.wait(POLL_S):
                raise Cancelled
        self._ports_file.write_text(json.dumps(self._ports))
        self._report(f"ready at {self.address}")

    def stop(self) -> None:
        """Sends SIGTERM and waits for the end, so that the server writes its data first.

        Does nothing when the server does not run.
        """
        if self._guard is not None:
            self._guard.terminate()
        elif self.alive:
            self._signal("guard", signal.SIGTERM)
        self._wait_for_end()

    def kill(self) -> None:
        """Sends SIGKILL, as the out-of-memory killer would. The server writes nothing more."""
        if self.alive:
            self._signal("server", signal.SIGKILL)
        self._wait_for_end()

    def cancel(self) -> None:
        """Makes `start` or `ready` raise `Cancelled` in another thread. The caller must still call `stop`."""
        self._cancelled.set()

    def _report(self, message: str) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        self._on_report(message)

    def _launch(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self._locked() as lock:
            self._forget_guard()
            if self._ports is None and (ports := self._known_ports()) and all(map(is_free, ports)):
                self._ports = ports
            if self._ports is None:
                self._ports_file.unlink(missing_ok=True)
                self._ports = free_ports(self.port_count)
            self._report("preparing")
            command = self.prepare(self._ports)
            self._report("starting")
            if self.log.exists():
                self.log.replace(self.log.with_suffix(".log.1"))
            owner = 0 if self._detached else os.getpid()
            with self.log.open("wb") as log:
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(GUARD), str(lock), str(owner), *command],
                    stdin=subprocess.DEVNULL if self._detached else subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=[lock],
                    cwd=self.folder,
                    start_new_session=True,  # only the owner handles Ctrl-C
                )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """Yields the locked file descriptor. The guard inherits it and keeps the lock while the server runs."""
        with self._lock.open("a") as lock:
            deadline = time.monotonic() + STOP_S
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if not self._may_end() or time.monotonic() > deadline:
                    raise UserError(f"{self.name} already runs in {self.folder}; `mner local down` stops it")
                time.sleep(POLL_S)
            lock.truncate(0)  # removes the numbers that a killed guard left
            yield lock.fileno()

    def _may_end(self) -> bool:
        """Returns whether the owner has just died, so that the guard is about to stop the server.

        Also if the file has no numbers: a guard writes them first, and removes them last.
        """
        pids = self._pids()
        if pids is None:
            return True
        if pids.owner == 0:
            return False
        try:
            os.kill(pids.owner, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self._ports is not None and self.answers(self._ports[0])
        return False

    def _known_ports(self) -> list[int] | None:
        """Returns the ports of the last run that was ready."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            ports: list[int] = json.loads(self._ports_file.read_text())
            return ports
        return None

    def _port_was_taken(self) -> bool:
        """Returns whether another process took the port before the server bound it.

        A port that was ready once never changes.
        """
        return not self._ports_file.exists() and "Address already in use" in self._log_text()

    def _pids(self) -> Pids | None:
        """Returns the numbers that the guard has written. They are valid only while the server is `alive`."""
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            return Pids(*map(int, self._lock.read_text().split()))
        return None

    def _signal(self, target: Literal["guard", "server"], number: signal.Signals) -> None:
        deadline = time.monotonic() + STOP_S
        while (pids := self._pids()) is None and self.alive and time.monotonic() < deadline:
            time.sleep(POLL_S)  # another process is starting it
        if pids is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(getattr(pids, target), number)

    def _wait_for_end(self) -> None:
        deadline = time.monotonic() + STOP_S
        while self.alive or (self._guard is not None and self._guard.poll() is None):
            if time.monotonic() > deadline:
                raise UserError(f"{self.name} did not end within {STOP_S:.0f} s; see {self.log}")
            time.sleep(POLL_S)
        self._forget_guard()

    def _forget_guard(self) -> None:
        """Reaps the guard of a server that has ended."""
        if self._guard is not None:
            if self._guard.stdin is not None:
                self._guard.stdin.close()
            self._guard.wait()
            self._guard = None

    def _log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _failure(self, what: str) -> UserError:
        lines = self._log_text().rstrip().splitlines()[-LOG_LINES:]
        end = "".join(f"\n  {line}" for line in lines) or " (it is empty)"
        return UserError(f"{self.name} {what}; the end of its log {self.log}:{end}")


def free_ports(count: int) -> list[int]:
    """Returns ports of 127.0.0.1 without a listener. Another process may take one before the caller binds it."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.choice(PORTS)
        if port not in chosen and is_free(port):
            chosen.append(port)
    return chosen


def is_free(port: int) -> bool:
    """Returns whether a server could listen on the port. Lingering connections of an earlier server do not matter."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

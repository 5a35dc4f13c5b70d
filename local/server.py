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
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from core.errors import UserError

GUARD = Path(__file__).with_name("guard.py")
PORTS = range(15_000, 32_000)
"""Below the ports that Linux (32768) and macOS (49152) give to outgoing connections, so that while a server is down
no client's connection can take its port."""

READY_S = 90.0
STOP_S = 20.0
POLL_S = 0.05
PORT_TRIES = 5
LOG_LINES = 12

Tell = Callable[[str], None]


class Cancelled(Exception):
    """Starting was given up: another server did not start, or the person pressed Ctrl-C."""


class Pids(NamedTuple):
    """Process numbers. `owner` 0: runs until it is stopped."""

    guard: int
    server: int
    owner: int


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
        self._listener: Tell = tell or (lambda message: None)
        self._lock = self.folder / "lock"
        self._ports_file = self.folder / "ports.json"
        self._ports: list[int] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._detached = False
        self._cancelled = threading.Event()

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
        """The process number of the server itself; none when it does not run, or is just being started."""
        pids = self._pids()
        return pids.server if pids and self.alive else None

    def start(self, *, detached: bool = False) -> None:
        """Launch it; it lives until `stop`, `kill` or the end of this process, or for ever if `detached`.

        Returns before it answers, see `ready`. Raises `UserError` when it runs already.
        """
        self._detached = detached
        self._launch()

    def ready(self, timeout_s: float = READY_S) -> None:
        """Wait until it serves requests. Raises `UserError` with the end of its log when it does not."""
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
                raise self._failure("did not start" if self._guard else "was not started")
            if self._answers():
                break
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {timeout_s:.0f} s")
            if self._cancelled.wait(POLL_S):
                raise Cancelled
        self._ports_file.write_text(json.dumps(self._ports))
        self._tell(f"ready at {self.address}")

    def stop(self) -> None:
        """End it politely: it flushes what it holds. Does nothing when it does not run."""
        if self._guard is not None:
            self._guard.terminate()
        elif self.alive:
            self._signal("guard", signal.SIGTERM)
        self._gone()

    def kill(self) -> None:
        """SIGKILL, as a crash or the out-of-memory killer would: it flushes nothing."""
        if self.alive:
            self._signal("server", signal.SIGKILL)
        self._gone()

    def cancel(self) -> None:
        """Make `start` or `ready`, under way in another thread, raise `Cancelled`; `stop` is still to be called."""
        self._cancelled.set()

    def _tell(self, message: str) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        self._listener(message)

    def _launch(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self._locked() as lock:
            if self._ports is None and (ports := self._known_ports()) and all(map(is_free, ports)):
                self._ports = ports
            if self._ports is None:
                self._ports_file.unlink(missing_ok=True)
                self._ports = free_ports(self.port_count)
            self._tell("preparing")
            command = self.prepare(self._ports)
            self._tell("starting")
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
                    start_new_session=True,  # Ctrl-C in a terminal is the owner's business
                )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """The lock that means "runs", as a file descriptor to hand on to the guard, in whom it then lives on."""
        with self._lock.open("a") as lock:
            deadline = time.monotonic() + STOP_S
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if not self._being_stopped() or time.monotonic() > deadline:
                    raise UserError(f"{self.name} already runs in {self.folder}: `mner local down` stops it")
                time.sleep(POLL_S)
            lock.truncate(0)  # the pids of a guard that was killed
            yield lock.fileno()

    def _being_stopped(self) -> bool:
        """Whether its owner was killed a moment ago, so that its guard is about to end it."""
        pids = self._pids()
        if pids is None or pids.owner == 0:
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
        """The ports it was last ready on."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            ports: list[int] = json.loads(self._ports_file.read_text())
            return ports
        return None

    def _port_was_taken(self) -> bool:
        """Another process took the port between our choice and the bind. Ports once announced are never changed."""
        return not self._ports_file.exists() and "Address already in use" in self._log_text()

    def _pids(self) -> Pids | None:
        """What its guard has written; to be believed while `alive`."""
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            return Pids(*map(int, self._lock.read_text().split()))
        return None

    def _signal(self, whom: Literal["guard", "server"], number: signal.Signals) -> None:
        deadline = time.monotonic() + STOP_S
        while (pids := self._pids()) is None and self.alive and time.monotonic() < deadline:
            time.sleep(POLL_S)  # another process is just starting it
        if pids is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(getattr(pids, whom), number)

    def _gone(self) -> None:
        """Wait until it has ended."""
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

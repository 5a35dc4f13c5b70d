"""Workers on servers of their own module, and what may be left of them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.worker_process import WorkerProcess
from tests.conftest import ROOT
from tests.streams.conftest import stubbed

__all__ = ["stubbed"]


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A socket to which clients can connect, and which never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of workers and their child processes."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def workers(tmp_path: Path, temporary: Path) -> Iterator[list[WorkerProcess]]:
    """Workers to kill at the end."""
    started: list[WorkerProcess] = []
    yield started
    for worker in started:
        if worker.code is None:
            worker.kill()


def process(settings: object, log: Path, **options: object) -> WorkerProcess:
    return WorkerProcess(settings, log, python_path=ROOT, **options)  # type: ignore[arg-type]


def address(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"


def descendants(pid: int) -> set[int]:
    """Returns the process's children, their children, and so on."""
    with os.popen("ps -eo pid=,ppid=") as table:
        parents = [tuple(map(int, line.split())) for line in table]
    found = {pid}
    while more := {child for child, parent in parents if parent in found} - found:
        found |= more
    return found - {pid}


def runs(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

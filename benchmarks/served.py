"""The desk as people run it: a process of its own, on servers of its own."""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.stack import Stack
from streams import topics
from streams.settings import Settings
from streams.worker_process import CommandProcess


@contextmanager
def servers() -> Iterator[Settings]:
    """Yields the settings of a deployment with fresh servers and with its topics."""
    with tempfile.TemporaryDirectory() as home:
        print("starting the servers ...", file=sys.stderr)
        with Stack(Path(home)) as stack:
            fields: dict[str, Any] = {"prefix": "benchmark.", "home": Path(home), "partitions": 1} | stack.addresses
            settings = Settings(_env_file=None, **fields)
            topics.create(stack.addresses["kafka"], topics.plan(settings))
            yield settings


@contextmanager
def desk(settings: Settings) -> Iterator[str]:
    """Runs `mner desk`, and yields its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{listener.getsockname()[1]}"
    process = CommandProcess(settings, settings.home / "desk.log", ["desk", f"--listen={listen}"], "desk at ")
    process.start()
    try:
        process.ready()
        yield f"http://{listen}"
    finally:
        process.stop()

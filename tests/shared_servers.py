"""One Kafka, Elasticsearch and Redis for all processes of a test run."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from local.lock import alone
from local.stack import Stack, running


@contextmanager
def shared_servers(home: Path) -> Iterator[dict[str, str]]:
    """Yields the addresses of the servers in `home`, and keeps them running during the block.

    The first process starts them. At the end of its block it waits until no other process uses them, and stops them.
    If it dies, they end with it.
    """
    home.mkdir(exist_ok=True)
    with (home / "users.lock").open("a") as users, ExitStack() as own:
        with alone(home / "start.lock"):  # the others wait until the servers answer
            fcntl.flock(users, fcntl.LOCK_SH)
            if not (addresses := running(home)):
                addresses = own.enter_context(Stack(home)).addresses
                own.callback(fcntl.flock, users, fcntl.LOCK_EX)
        yield addresses

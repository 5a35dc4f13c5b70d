"""Where Kafka, Elasticsearch and Redis are: the settings first, else the ones that `mner local up` started."""

from __future__ import annotations

from dataclasses import dataclass

from streams.errors import UserError
from streams.settings import Settings


@dataclass(frozen=True)
class Addresses:
    """`kafka` is host:port[,host:port]; `elasticsearch` and `redis` are URLs."""

    kafka: str
    elasticsearch: str
    redis: str


def addresses(settings: Settings) -> Addresses:
    """Raises `UserError` when a server is neither set nor running locally."""
    from local import stack

    running = stack.running(settings.home)
    found = {
        name: getattr(settings, name) or (running.get(name) if running else None)
        for name in ("kafka", "elasticsearch", "redis")
    }
    missing = [name for name, address in found.items() if not address]
    if missing:
        names = ", ".join(f"MNER_{name.upper()}" for name in missing)
        raise UserError(
            f"no address for {', '.join(missing)}: set {names}, or start local servers with `mner local up`"
        )
    return Addresses(**{name: str(address) for name, address in found.items()})

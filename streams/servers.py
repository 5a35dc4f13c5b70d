"""Where Kafka, Elasticsearch and Redis are: the settings first, else the ones that `mner local up` started."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import UserError
from streams.settings import Settings


@dataclass(frozen=True)
class Addresses:
    """`kafka` is host:port[,host:port]; `elasticsearch` and `redis` are URLs."""

    kafka: str
    elasticsearch: str
    redis: str


NAMES = ("kafka", "elasticsearch", "redis")


def addresses(settings: Settings) -> Addresses:
    """All three. Raises `UserError` when one is neither set nor running locally."""
    found = _known(settings)
    _require(found, NAMES)
    return Addresses(**{name: str(found[name]) for name in NAMES})


def address(settings: Settings, name: str) -> str:
    """One of `NAMES`. Raises `UserError` when it is neither set nor running locally."""
    found = _known(settings)
    _require(found, (name,))
    return str(found[name])


def _known(settings: Settings) -> dict[str, str | None]:
    from local import stack

    given = {name: getattr(settings, name) for name in NAMES}
    running = stack.running(settings.home) if not all(given.values()) else None
    return {name: given[name] or (running or {}).get(name) for name in NAMES}


def _require(found: dict[str, str | None], names: tuple[str, ...]) -> None:
    missing = [name for name in names if not found[name]]
    if missing:
        variables = ", ".join(f"MNER_{name.upper()}" for name in missing)
        raise UserError(f"no address for {', '.join(missing)}: set {variables}, or start servers with `mner local up`")

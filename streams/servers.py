"""Finds the addresses of the servers: from the settings, else from the servers that `mner local up` started."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import UserError
from streams.settings import Settings


@dataclass(frozen=True)
class Addresses:
    kafka: str  # host:port, several separated by commas
    elasticsearch: str  # URL
    redis: str  # URL


NAMES = ("kafka", "elasticsearch", "redis")


def addresses(settings: Settings) -> Addresses:
    """Returns all three addresses. Raises `UserError` when one is neither set nor running locally."""
    known = _known(settings)
    _require(known, NAMES)
    return Addresses(**{name: str(known[name]) for name in NAMES})


def address(settings: Settings, name: str) -> str:
    """Returns the address of one of `NAMES`. Raises `UserError` when it is neither set nor running locally."""
    known = _known(settings)
    _require(known, (name,))
    return str(known[name])


def _known(settings: Settings) -> dict[str, str | None]:
    from local import stack

    configured = {name: getattr(settings, name) for name in NAMES}
    running = stack.running(settings.home) if not all(configured.values()) else None
    return {name: configured[name] or (running or {}).get(name) for name in NAMES}


def _require(known: dict[str, str | None], names: tuple[str, ...]) -> None:
    missing = [name for name in names if not known[name]]
    if missing:
        variables = ", ".join(f"MNER_{name.upper()}" for name in missing)
        raise UserError(f"no address for {', '.join(missing)}: set {variables}, or start servers with `mner local up`")

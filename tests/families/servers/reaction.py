"""What became of a call, as the tables of answers name it."""

from __future__ import annotations

from collections.abc import Awaitable

from core.errors import Reject, Retry, Stop


async def reaction(call: Awaitable[object]) -> str:
    """Returns `retry`, `reject` or `stop` with the reason behind a bar, or `done|`."""
    try:
        await call
    except Retry as fault:
        return f"retry|{fault}"
    except Reject as fault:
        return f"reject|{fault}"
    except Stop as fault:
        return f"stop|{fault}"
    return "done|"

"""A few threads for calls that block. Each kind of call has its own, so that a slow server starves no other call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Runs at most `most` calls at a time. Further ones wait, in order, without blocking the event loop."""

    def __init__(self, name: str, most: int) -> None:
        """Threads start with the first calls, and end when nobody refers to this object. `name`: how theirs begin."""
        self._pool = ThreadPoolExecutor(most, name)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Returns the result of the call, or raises what it raises. A call that has begun ends even if cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: call(*args, **kwargs))

"""`mner worker` with a library that loses records. LOSES says where.

"fetch": aiokafka's thread hands over records that never arrive. "way": Faust drops one on its way to the agent.
"orphan": a fetch that was given up goes on, and takes the records of the next one.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from cli.main import main
from streams.consumer.consumer import Consumer
from streams.consumer.thread import Fetched, Thread
from tests.families.kafka.quick_worker import hurry

TIMES = 3
GIVEN_UP = 40


def lose_a_fetch() -> None:
    getmany = Thread.getmany
    losses = iter(range(TIMES))

    async def losing(self: Any, *arguments: Any, **options: Any) -> Any:
        fetched: Any = await getmany(self, *arguments, **options)
        return Fetched() if fetched.records and next(losses, None) is not None else fetched

    Thread.getmany = losing  # type: ignore[method-assign]


def lose_on_the_way() -> None:
    hand_on = Consumer._hand_on_one
    losses = iter(range(TIMES))

    async def losing(self: Any, tp: Any, record: Any, progress: Any) -> None:
        if record.offset in (0, 4) and next(losses, None) is not None:
            callback = self.callback
            self.callback = nowhere
            await hand_on(self, tp, record, progress)
            self.callback = callback
        else:
            await hand_on(self, tp, record, progress)

    async def nowhere(message: Any) -> None:
        pass

    Consumer._hand_on_one = losing  # type: ignore[method-assign]


def give_fetches_up() -> None:
    fetch, fetch_records = Consumer._fetch, Thread._fetch_records
    times = iter(range(GIVEN_UP))

    async def giving_up(self: Any) -> Any:
        if next(times, None) is not None:
            try:
                return await asyncio.wait_for(fetch(self), 0.05)
            except TimeoutError:
                return None
        return await fetch(self)

    async def watched(self: Any, *arguments: Any, **options: Any) -> Any:
        fetched = await fetch_records(self, *arguments, **options)
        if self._spoiled:
            print("a fetch that was given up took records", flush=True)
        return fetched

    Consumer._fetch = giving_up  # type: ignore[method-assign]
    Thread._fetch_records = watched  # type: ignore[method-assign]


if __name__ == "__main__":
    hurry()
    {"fetch": lose_a_fetch, "way": lose_on_the_way, "orphan": give_fetches_up}[os.environ["LOSES"]]()
    main()

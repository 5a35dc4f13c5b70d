"""`mner worker` in which partition 0 is paused as soon as it is positioned for the first time."""

from __future__ import annotations

from typing import Any

from cli.main import main
from streams.consumer.consumer import Consumer
from tests.families.kafka.impatient_worker import be_impatient


def deafen() -> None:
    fetch = Consumer._fetch
    times = iter(range(1))

    async def fetching(self: Any) -> Any:
        paused = {tp for tp in self.progress if tp.partition == 0}
        if paused and next(times, None) is not None:
            self.pause_partitions(paused)
        return await fetch(self)

    Consumer._fetch = fetching  # type: ignore[method-assign]


if __name__ == "__main__":
    be_impatient()
    deafen()
    main()

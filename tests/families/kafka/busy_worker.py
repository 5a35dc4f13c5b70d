"""`mner worker` whose event loop is busy nine tenths of the time, as with large batches on few cores."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from cli.main import main
from streams.pipeline.intake import Intake
from tests.families.kafka.quick_worker import hurry

BUSY_S, FREE_S = 0.18, 0.02

pour = Intake.pour


async def busy_pour(self: Intake, stream: Any, pipeline: Any) -> None:
    loop = asyncio.get_running_loop()

    def block() -> None:
        time.sleep(BUSY_S)
        loop.call_later(FREE_S, block)

    loop.call_later(FREE_S, block)
    await pour(self, stream, pipeline)


if __name__ == "__main__":
    hurry()
    Intake.pour = busy_pour  # type: ignore[method-assign]
    main()

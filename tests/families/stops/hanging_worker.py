"""`mner worker` that freezes a process, such as the broker, at one point of its life.

FREEZE_PID is the process, and FREEZE_AT the point: "start" before Faust starts, "stop" before Faust stops.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import faust

from cli.main import main


def plant(name: str) -> None:
    original: Any = getattr(faust.App, name)

    async def frozen(self: Any) -> None:
        os.kill(int(os.environ["FREEZE_PID"]), signal.SIGSTOP)
        print(f"frozen at {name}", flush=True)
        await original(self)

    setattr(faust.App, name, frozen)


if __name__ == "__main__":
    plant(os.environ["FREEZE_AT"])
    main()

"""`mner worker` that freezes a process, such as the broker, before one call of a library.

FREEZE_PID is the process, and FREEZE_AT the call, such as `faust:App.start`.
"""

from __future__ import annotations

import os
import signal
from importlib import import_module
from typing import Any

from cli.main import main


def plant(place: str) -> None:
    module, _, name = place.partition(":")
    owner_name, _, method = name.partition(".")
    owner = getattr(import_module(module), owner_name)
    original: Any = getattr(owner, method)

    async def frozen(self: Any, *args: Any, **kwargs: Any) -> Any:
        os.kill(int(os.environ["FREEZE_PID"]), signal.SIGSTOP)
        print(f"frozen at {place}", flush=True)
        return await original(self, *args, **kwargs)

    setattr(owner, method, frozen)


if __name__ == "__main__":
    plant(os.environ["FREEZE_AT"])
    main()

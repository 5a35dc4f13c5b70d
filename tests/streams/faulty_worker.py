"""`mner worker` with a bug in one stage, or in each, for one post.

FAULTY_STAGE names the stage; without it, each stage has a bug. FAULTY_HOW says what the bug does: it raises (the
default), "hangs", "blocks" the event loop, or "locks" the interpreter by holding its global lock.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from cli.main import main
from streams.agents.deliver import Deliver
from streams.pipeline.decode import Decode
from streams.pipeline.fetch import Fetch
from streams.pipeline.infer import Infer
from streams.pipeline.item import Item
from streams.pipeline.produce import Produce
from streams.pipeline.tokenise import Tokenise

STAGES: dict[str, Any] = {stage.name: stage for stage in (Decode, Fetch, Tokenise, Infer, Produce, Deliver)}
POISON = {name: b"t%d" % number for number, name in enumerate(STAGES, 77)}
"""Stage -> key of the post for which it has the bug."""


def plant(stage: Any) -> None:
    process: Callable[[Any, Any], Awaitable[None]] = stage.process

    async def faulty(self: Any, work: Item[Any] | Sequence[Item[Any]]) -> None:
        items = [work] if isinstance(work, Item) else work
        if any(item.origin.key == POISON[stage.name] for item in items):
            print("the planted fault", flush=True)
            match os.environ.get("FAULTY_HOW"):
                case "hangs":
                    await asyncio.Event().wait()
                case "blocks":
                    time.sleep(3600)  # noqa: ASYNC251
                case "locks":
                    re.match(r"(a+)+$", "a" * 99 + "b")
                case _:
                    raise RuntimeError(f"a bug in {stage.name}")
        await process(self, work)

    stage.process = faulty


if __name__ == "__main__":
    chosen = os.environ.get("FAULTY_STAGE")
    for name in [chosen] if chosen else STAGES:
        plant(STAGES[name])
    main()

"""`mner worker` whose event loop is busy nine tenths of the time, as with large batches on few cores."""

from __future__ import annotations

import time

from cli.main import main
from streams import app

BUSY_S, FREE_S = 0.18, 0.02

if __name__ == "__main__":
    make = app.faust_app

    def busy_app(*arguments: object, **options: object) -> object:
        made = make(*arguments, **options)  # type: ignore[arg-type]
        loop = __import__("asyncio").get_running_loop()

        def block() -> None:
            time.sleep(BUSY_S)
            loop.call_later(FREE_S, block)

        loop.call_later(FREE_S, block)
        return made

    from streams import worker

    worker.faust_app = busy_app  # type: ignore[assignment]
    main()

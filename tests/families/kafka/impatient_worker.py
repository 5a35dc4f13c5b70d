"""`mner worker` that calls a partition deaf, and a transaction open for long, after seconds. It tells each look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.main import main
from streams.consumer import watch
from streams.consumer.logs import Logs
from tests.families.kafka.quick_worker import hurry


def be_impatient() -> None:
    hurry()
    watch.DEAF_S = watch.HELD_S = 4.0
    look = Logs.look

    def told(self: Logs, partitions: Mapping[Any, Any]) -> Any:
        print("looked at topics", flush=True)
        return look(self, partitions)

    Logs.look = told  # type: ignore[method-assign]


if __name__ == "__main__":
    be_impatient()
    main()

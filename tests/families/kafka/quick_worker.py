"""`mner worker` that compares its positions with the topics ten times as often, so that the tests wait less.

The other workers of this folder call `hurry` too.
"""

from __future__ import annotations

from cli.main import main
from streams import app
from streams.consumer import consumer


def hurry() -> None:
    app.METADATA_S = 1
    consumer.LOOK_S = 1.0


if __name__ == "__main__":
    hurry()
    main()

"""Joins an agent's group and leaves it again, a number of times. It acknowledges nothing.

Each time it prints how many partitions it had.

Usage: python -m tests.families.kafka.restless_member BROKERS GROUP TOPIC TIMES
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from typing import Any

import faust


async def join_and_leave(brokers: str, group: str, topic: str, folder: str) -> None:
    app = faust.App(
        group,
        broker=f"kafka://{brokers}",
        datadir=folder,
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        store="memory://",
        stream_wait_empty=False,
        loghandlers=[],
        logging_config=None,
    )
    source = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def keep(stream: Any) -> None:
        async for _ in stream.noack():
            await asyncio.Event().wait()

    app.agent(source, concurrency=1)(keep)
    app.finalize()
    await app.start()
    while not app.consumer.assignment():
        await asyncio.sleep(0.05)
    print(len(app.consumer.assignment()), flush=True)
    await app.stop()


if __name__ == "__main__":
    brokers, group, topic, times = sys.argv[1:]
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    for _ in range(int(times)):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(join_and_leave(brokers, group, topic, folder))

"""Sends extractions to their topic, keyed by post. A post may be acknowledged once the broker has its extraction."""

from __future__ import annotations

import time

from streams.pipeline.item import TweetItem
from streams.pipeline.stage import Stage
from streams.producer import Producer


class Produce(Stage[TweetItem]):
    name = "produce"

    def __init__(self, producer: Producer, topic: str, workers: int) -> None:
        self._producer = producer
        self._topic = topic
        self.workers = workers

    async def process(self, item: TweetItem) -> None:
        assert item.extraction is not None
        item.timings_ms["total"] = 1000 * (time.monotonic() - item.taken_at)
        item.timings_ms["since_fed"] = 1000 * (time.time() - item.origin.timestamp)
        timed = item.extraction.model_copy(update={"timings_ms": {k: round(v, 2) for k, v in item.timings_ms.items()}})
        await self._producer.send(self._topic, item.event.id.encode(), timed.model_dump_json().encode())

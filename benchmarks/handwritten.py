"""The work of `mner worker --only extract`, written by hand on aiokafka. It measures the overhead of the pipeline.

It has the same validation, tokenizer, predictor, batch limits, producer settings and extractions. Its tasks let
Kafka, CPU and model work at the same time; the model runs in a thread. It has no images, no dead letters (an invalid
post ends it), no retries, no isolation from a crashing model and no answer to a rebalance. It delivers at least once
only if nothing goes wrong.

`benchmarks.run` starts it like a worker, with `WorkerProcess`. It reads MNER_* and logs to standard error.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from core.events import HEADERS, Account, Extraction, Tweet
from model.accounts import accounts_in
from model.checkpoint import CheckpointInfo, describe
from model.context import visual_context
from model.mentions import Prediction, mentions
from model.tokens import Encoded, TweetTokenizer
from sinks.connect.kafka import aio_options
from streams import servers, topics
from streams.pipeline.acknowledge import COMMIT_INTERVAL_S
from streams.settings import Settings, load
from streams.worker_process import READY

log = logging.getLogger(__name__)


@dataclass
class Entry:
    """A post and its times, in unix seconds."""

    tweet: Tweet
    accounts: tuple[Account, ...]
    encoded: Encoded
    context: str | None
    fed_at: float
    taken_at: float
    prediction: Prediction = field(default_factory=Prediction)
    infer_ms: float = 0.0


@dataclass
class Chunk:
    """The posts of one poll, and the next offset of each partition."""

    entries: list[Entry] = field(default_factory=list)
    offsets: dict[Any, int] = field(default_factory=dict)


class Program:
    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
        self._settings = settings
        self._consumer = consumer
        self._producer = producer
        self._info: CheckpointInfo = describe(settings.model)
        self._tokenizer = TweetTokenizer.load(settings.model)
        self._threshold = self._info.threshold if settings.threshold is None else settings.threshold
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._taken: asyncio.Queue[Chunk] = asyncio.Queue(maxsize=1)
        self._predicted: asyncio.Queue[Chunk] = asyncio.Queue(maxsize=1)
        self._produced: dict[Any, int] = {}

    async def run(self) -> None:
        """Runs until it is cancelled or something fails."""
        model = await self._on_thread(partial(_load_model, self._settings))
        log.info(READY)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._take())
                tasks.create_task(self._predict(model))
                tasks.create_task(self._produce())
                tasks.create_task(self._commit())
        finally:
            await self._commit_produced()

    async def _take(self) -> None:
        settings = self._settings
        while True:
            fetched = await self._consumer.getmany(timeout_ms=1000, max_records=4 * settings.batch.tweets)
            chunk = Chunk(offsets={partition: records[-1].offset + 1 for partition, records in fetched.items()})
            now = time.time()
            for records in fetched.values():
                for record in records:
                    tweet = Tweet.model_validate_json(record.value)
                    context = visual_context(tweet)
                    accounts = accounts_in(tweet.text)
                    encoded = self._tokenizer.encode(tweet.text, context, accounts)
                    chunk.entries.append(Entry(tweet, accounts, encoded, context, record.timestamp / 1000, now))
            if chunk.entries:
                await self._taken.put(chunk)

    async def _predict(self, model: Any) -> None:
        while True:
            chunk = await self._taken.get()
            for batch in batches(chunk.entries, self._settings.batch.tokens, self._settings.batch.tweets):
                started = time.monotonic()
                predictions = await self._on_thread(partial(model.predict, [entry.encoded for entry in batch]))
                took_ms = 1000 * (time.monotonic() - started)
                for entry, prediction in zip(batch, predictions, strict=True):
                    entry.prediction, entry.infer_ms = prediction, took_ms
            await self._predicted.put(chunk)

    async def _produce(self) -> None:
        topic = self._settings.name(topics.EXTRACTIONS)
        while True:
            chunk = await self._predicted.get()
            acknowledgements = [
                await self._producer.send(
                    topic, key=entry.tweet.id.encode(), value=self._extraction(entry), headers=HEADERS
                )
                for entry in chunk.entries
            ]
            await asyncio.gather(*acknowledgements)
            self._produced |= chunk.offsets

    async def _commit(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_S)
            await self._commit_produced()

    async def _commit_produced(self) -> None:
        if self._produced:
            await self._consumer.commit(self._produced)

    def _extraction(self, entry: Entry) -> bytes:
        now = time.time()
        timings_ms = {
            "infer": entry.infer_ms,
            "total": 1000 * (now - entry.taken_at),
            "since_fed": 1000 * (now - entry.fed_at),
        }
        extraction = Extraction(
            tweet=entry.tweet,
            mentions=mentions(entry.tweet.text, entry.prediction),
            accounts=entry.accounts,
            context=entry.context,
            model=self._info.name,
            model_version=self._info.model_version,
            threshold=self._threshold,
            timings_ms={name: round(value, 2) for name, value in timings_ms.items()},
        )
        return extraction.model_dump_json().encode()

    async def _on_thread(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def batches(entries: list[Entry], tokens: int, tweets: int) -> Iterator[list[Entry]]:
    """Yields batches of similar length, of at most `tokens` padded tokens (longest x count) and `tweets` posts."""
    batch: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: entry.encoded.cost):
        if batch and (len(batch) == tweets or entry.encoded.cost * (len(batch) + 1) > tokens):
            yield batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch


def _load_model(settings: Settings) -> Any:
    module, _, name = settings.model_factory.partition(":")
    factory = getattr(importlib.import_module(module), name)
    return factory(settings.model, device=settings.device, threads=settings.model_threads)


async def main() -> None:
    """Runs until SIGTERM, or until standard input closes, which is the pipe from the parent process."""
    settings = load()
    brokers = aio_options(servers.kafka(settings))
    consumer = AIOKafkaConsumer(
        settings.name(topics.TWEETS),
        **brokers,
        group_id=settings.name("mner-extract"),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=int(1000 * settings.session_timeout_s),
    )
    producer = AIOKafkaProducer(
        **brokers,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_request_size=topics.MAX_MESSAGE_BYTES,
    )
    async with consumer, producer:
        running = asyncio.ensure_future(Program(settings, consumer, producer).run())
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, running.cancel)
        loop.add_reader(sys.stdin.fileno(), running.cancel)
        await asyncio.wait([running])
        if not running.cancelled():
            running.result()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    asyncio.run(main())

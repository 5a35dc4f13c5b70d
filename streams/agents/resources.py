"""Opens what the agents of a worker share when an agent needs it, and closes it in reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from core.errors import naming
from model.cascade import CascadeTokenizer
from model.cascade_file import Cascade
from model.checkpoint import CheckpointInfo
from model.tokens import Tokenizes, TweetTokenizer
from model.vision.image_reader import ImageReader
from model.worker import TaggerProcess
from sinks.index.index import Index
from sinks.index.subjects import ALIAS, Subjects
from sinks.queue.queue import ReviewQueue
from streams.agents.apply import Apply
from streams.agents.copies import CopySettler, group_of
from streams.agents.names import AgentName
from streams.caches import MachineCaches
from streams.checkpoint import cascade_here, checkpoint_here, process_here
from streams.consumer.logs import Logs
from streams.images.loader import ImageLoader
from streams.pipeline.item import Origin
from streams.pipeline.limits import DeadLetterLimit
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import BatchStage, I, Stage
from streams.producer import DeadLetterTopic, Producer
from streams.retention import Retention
from streams.retry import retry_forever
from streams.servers import Addresses
from streams.settings import Settings
from streams.terms import load_sources
from streams.threshold_log import AnswerTable, ThresholdLog
from streams.topics import DEAD, DECISIONS, EXTRACTIONS, THRESHOLDS
from streams.vision import check_models, open_image_reader


class Resources:
    """For use within one event loop: `open` before all else, and `close` at the end, whether or not `open` passed."""

    def __init__(self, settings: Settings, addresses: Addresses) -> None:
        """Raises `UserError` when the terms of the sources cannot be read."""
        self.settings = settings
        self.sources = load_sources(settings)
        self.retention = Retention(settings.index_retention_days)
        self.addresses = addresses
        self.logs = Logs(addresses.kafka)
        self._stack = AsyncExitStack()
        self._stack.callback(self.logs.close)
        self._producer: Producer | None = None
        self._index: Index | None = None
        self._queue: ReviewQueue | None = None
        self._subjects: Subjects | None = None
        self._caches: MachineCaches | None = None
        self._thresholds: ThresholdLog | None = None

    async def open(self) -> None:
        """Connects to Kafka. Raises `Retry` when no broker answers, and `UserError` when one refuses this client."""
        await self.producer()  # every agent may have to send a dead letter
        await self.caches()

    async def close(self) -> None:
        await self._stack.aclose()

    def pipeline(
        self, name: AgentName, stages: Sequence[Stage[I] | BatchStage[I]], item: Callable[[Origin], I]
    ) -> Pipeline[I]:
        """Returns a pipeline, not yet started, with this worker's limits and dead letters."""
        assert self._producer is not None
        settings = self.settings
        return Pipeline(
            name,
            stages,
            item=item,
            dead_letters=DeadLetterTopic(self._producer, settings.name(DEAD)),
            limit=DeadLetterLimit(settings.dead_letter.run, settings.dead_letter.share),
            in_flight=settings.in_flight,
        )

    async def producer(self) -> Producer:
        if self._producer is None:
            self._producer = await self._stack.enter_async_context(Producer(self.addresses.kafka))
        return self._producer

    async def index(self) -> Index:
        if self._index is None:
            self._index = Index(self.addresses.elasticsearch, self.settings.name("mentions"))
            self._stack.push_async_callback(self._index.close)
        return self._index

    async def queue(self) -> ReviewQueue:
        if self._queue is None:
            self._queue = ReviewQueue(
                self.addresses.redis,
                self.settings.name("review:"),
                group_of=group_of,
                window_s=self.settings.copies.window_s,
            )
            self._stack.push_async_callback(self._queue.close)
        return self._queue

    async def subjects(self) -> Subjects:
        if self._subjects is None:
            self._subjects = Subjects(self.addresses.elasticsearch, self.settings.name(ALIAS))
            self._stack.push_async_callback(self._subjects.close)
        return self._subjects

    async def apply(self) -> Apply:
        producer = await self.producer()
        topics = [self.settings.name(topic) for topic in (EXTRACTIONS, DECISIONS)]

        async def send_null(post: str) -> None:
            await asyncio.gather(*(producer.send(topic, post.encode(), None) for topic in topics))

        return Apply(await self.index(), await self.queue(), await self.subjects(), send_null, await self.caches())

    async def caches(self) -> MachineCaches:
        """Returns this machine's caches. They drop what is too old as long as the worker runs."""
        if self._caches is None:
            self._caches = await self._stack.enter_async_context(
                MachineCaches(self.settings.image, self.settings.vision, self.settings.home)
            )
        return self._caches

    async def copies(self) -> CopySettler:
        queue, producer = await self.queue(), await self.producer()
        if not self.settings.copies.window_s:
            await retry_forever(queue.copies.dissolve, what="dissolving the groups of copies")
        return CopySettler(queue.copies, producer, self.settings.name(DECISIONS), self.settings.copies.window_s)

    async def thresholds(self) -> ThresholdLog:
        """Returns the thresholds that follow the stream, read up to now."""
        if self._thresholds is None:
            table = AnswerTable(self.addresses.kafka, self.settings.name(THRESHOLDS))
            self._stack.push_async_callback(table.close)
            await retry_forever(table.start, what="reading the topic of the thresholds")
            self._thresholds = ThresholdLog(table)
        return self._thresholds

    async def images(self) -> ImageLoader:
        return await self._stack.enter_async_context(ImageLoader(self.settings.image, home=self.settings.home))

    async def vision(self) -> ImageReader:
        """Returns the image reader.

        Raises `UserError` when a model that the settings name cannot be loaded.
        """
        limits, device = self.settings.vision, self.settings.device
        vision = await self._stack.enter_async_context(
            open_image_reader(limits, device, self.settings.home, limits.wait_s)
        )
        await check_models(vision, limits, device)
        return vision

    async def model(self) -> tuple[CheckpointInfo | Cascade, Tokenizes, TaggerProcess]:
        """Returns the checkpoint's description or the cascade, its tokenizer and its started process.

        Raises `UserError` when a checkpoint is missing or broken, or when the model cannot be loaded.
        """
        settings = self.settings
        model = cascade_here(settings) or checkpoint_here(settings)
        tokenizer: Tokenizes
        if isinstance(model, Cascade):
            with naming("MNER_CASCADE"):
                tokenizer = CascadeTokenizer.load(model)
        else:
            with naming("MNER_MODEL"):
                tokenizer = TweetTokenizer.load(settings.model)
        process = process_here(settings, model)
        self._stack.push_async_callback(process.close)
        await retry_forever(process.start, what="loading the model")
        return model, tokenizer, process

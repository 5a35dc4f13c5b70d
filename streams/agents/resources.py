"""Opens what the agents of a worker share when an agent needs it, and closes it in reverse order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from core.errors import naming
from model.checkpoint import CheckpointInfo, describe
from model.tokens import TweetTokenizer
from model.vision.image_reader import ImageReader
from model.worker import ModelProcess
from sinks.index import Index
from sinks.queue import ReviewQueue
from streams.agents.names import AgentName
from streams.consumer.logs import Logs
from streams.images.loader import ImageLoader
from streams.pipeline.item import Origin
from streams.pipeline.limits import DeadLetterLimit
from streams.pipeline.pipeline import Pipeline
from streams.pipeline.stage import BatchStage, I, Stage
from streams.producer import DeadLetterTopic, Producer
from streams.retry import retry_forever
from streams.servers import Addresses
from streams.settings import Settings
from streams.topics import DEAD
from streams.vision import check_models, open_image_reader


class Resources:
    """For use within one event loop: `open` before all else, and `close` at the end, whether or not `open` passed."""

    def __init__(self, settings: Settings, addresses: Addresses) -> None:
        self.settings = settings
        self.addresses = addresses
        self.logs = Logs(addresses.kafka)
        self._stack = AsyncExitStack()
        self._stack.callback(self.logs.close)
        self._producer: Producer | None = None
        self._index: Index | None = None
        self._queue: ReviewQueue | None = None

    async def open(self) -> None:
        """Connects to Kafka. Raises `Retry` when no broker answers, and `UserError` when one refuses this client."""
        await self.producer()  # every agent may have to send a dead letter

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
            self._queue = ReviewQueue(self.addresses.redis, self.settings.name("review:"))
            self._stack.push_async_callback(self._queue.close)
        return self._queue

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

    async def model(self) -> tuple[CheckpointInfo, TweetTokenizer, ModelProcess]:
        """Returns the checkpoint's description, its tokenizer and its started process.

        Raises `UserError` when the checkpoint is missing or broken, or when the model cannot be loaded.
        """
        settings = self.settings
        with naming("MNER_MODEL"):
            info = describe(settings.model)
            tokenizer = TweetTokenizer.load(settings.model)
        process = ModelProcess(
            settings.model_factory,
            settings.model,
            settings.device,
            settings.model_threads,
            settings.model_timeout_s,
            settings.candidate_threshold,
            info,
        )
        self._stack.push_async_callback(process.close)
        await retry_forever(process.start, what="loading the model")
        return info, tokenizer, process

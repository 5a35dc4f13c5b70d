"""Sends micro-batches to the model's process. A batch that fails is halved until the poisonous post is alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from core.errors import BatchFailed, Stop, UserError
from core.events import Extraction
from core.isolate import isolate
from model.checkpoint import CheckpointInfo
from model.mentions import Prediction, candidate_mentions, mentions
from model.tokens import Encoded
from model.worker import TaggerProcess
from streams import metrics
from streams.pipeline.batch import MicroBatcher
from streams.pipeline.item import TweetItem
from streams.pipeline.memo import Memo
from streams.pipeline.stage import Batcher, BatchStage
from streams.settings import Batching

IMAGE_COST = 256
"""Lowest cost, in padded tokens, of a post with an image, since the model takes longer for an image."""


class Infer(BatchStage[TweetItem]):
    """Adds the extraction to each item. Raises `Stop` when the checkpoint is missing or broken."""

    name = "infer"
    batches = 2  # one in the model, one ready for it

    def __init__(
        self,
        model: TaggerProcess,
        info: CheckpointInfo,
        threshold: float,
        candidate_threshold: float,
        batching: Batching,
        window_s: float = 0.0,
        stages: Sequence[CheckpointInfo] = (),
        *,
        promised: float | None = None,
    ) -> None:
        """`window_s`: time, in seconds, for which a prediction also serves for later posts with the same input.

        `stages`: the checkpoints of a cascade. Then `info` stands for the whole. `promised`: as in `Extraction`.
        """
        self._model = model
        self._info, self._stages = info, stages
        self._threshold, self._candidate_threshold, self._promised = threshold, candidate_threshold, promised
        self._batching = batching
        self._memo = Memo(window_s)
        self._reading = asyncio.Lock()  # the model reads one batch at a time, and the next may hold copies of it

    def batcher(self) -> Batcher[TweetItem]:
        limits = self._batching
        return MicroBatcher(max_cost=limits.tokens, max_items=limits.tweets, wait_s=limits.wait_ms / 1000, cost=_cost)

    async def process(self, items: Sequence[TweetItem]) -> None:
        # after a `Retry` this is called again: items with an extraction keep it
        pending = [item for item in items if item.dead is None and item.extraction is None]
        for item in pending:
            if not item.event.has_words:
                item.extraction = self._extraction(item, Prediction())
        await isolate([item for item in pending if item.event.has_words], self._infer, self._fail)

    async def _infer(self, items: Sequence[TweetItem]) -> None:
        started = time.monotonic()
        try:
            async with self._reading:
                encoded = [item.encoded for item in items if item.encoded is not None]
                predictions, saved = await self._memo.predict(encoded, self._predict)
        except UserError as error:  # the checkpoint is missing or broken, which is no post's fault
            raise Stop(str(error)) from None
        except BatchFailed:
            self.alive()
            raise
        metrics.REUSED.inc(saved)
        took_ms = 1000 * (time.monotonic() - started)
        for item, prediction in zip(items, predictions, strict=True):
            item.timings_ms["infer"] = took_ms
            if prediction.typicality is not None:
                metrics.observe_typicality(prediction.typicality)
            item.extraction = self._extraction(item, prediction)
            item.encoded = None  # its pixels would otherwise stay in memory until the acknowledgement

    async def _predict(self, batch: list[Encoded]) -> list[Prediction]:
        """Gives a post that costs more than a whole batch, since it is very long, as much more time."""
        share = len(batch) * max(post.cost for post in batch) / self._batching.tokens
        if share <= 1:
            return await self._model.infer(batch)
        return await self._model.infer(batch, share * self._model.timeout_s)

    def _extraction(self, item: TweetItem, prediction: Prediction) -> Extraction:
        encoded = item.encoded and item.encoded.stages[prediction.stage]
        answering = self._stages[prediction.stage] if self._stages and encoded else None
        return Extraction(
            tweet=item.event,
            mentions=mentions(item.event.text, prediction),
            candidates=candidate_mentions(item.event.text, prediction),
            accounts=item.accounts,
            image=item.image,
            context=item.context,
            model=self._info.name,
            model_version=self._info.model_version,
            runtime=(answering or self._info).runtime,
            answered_by=answering and answering.name,
            threshold=self._threshold,
            promised=self._promised,
            candidate_threshold=self._candidate_threshold if prediction.candidates else 1.0,
            typicality=prediction.typicality,
            read=encoded and (encoded.read if prediction.read else 0.0),
        )

    def _fail(self, item: TweetItem, fault: BatchFailed) -> bool:
        """Removes the item's image, which may be the cause, and asks for another try. Without one, the item fails."""
        if item.encoded is None or item.encoded.pixels is None:
            item.fail(self.name, fault)
            return False
        item.encoded = replace(item.encoded, pixels=None)
        return True


def _cost(item: TweetItem) -> int:
    if item.encoded is None:
        return 1
    return item.encoded.cost if item.encoded.pixels is None else max(IMAGE_COST, item.encoded.cost)

"""Micro-batches through the model's process. A batch that kills it is halved until the poisonous tweet is alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from core.errors import BatchFailed, Stop, UserError
from core.events import Extraction
from core.isolate import isolate
from model.checkpoint import CheckpointInfo
from model.mentions import candidate_mentions, mentions
from model.worker import ModelProcess
from streams import metrics
from streams.pipeline.batch import MicroBatcher
from streams.pipeline.item import TweetItem
from streams.pipeline.stage import Batcher, BatchStage

PICTURE = 256
"""Padded tokens that a picture counts for at least: seeing takes longer than reading."""


class Infer(BatchStage[TweetItem]):
    name = "infer"
    batches = 2  # one in the model, one ready for it

    def __init__(
        self,
        model: ModelProcess,
        info: CheckpointInfo,
        threshold: float,
        candidate_threshold: float,
        *,
        tokens: int,
        tweets: int,
        wait_s: float,
    ) -> None:
        self._model = model
        self._info = info
        self._threshold, self._candidate_threshold = threshold, candidate_threshold
        self._tokens, self._tweets, self._wait_s = tokens, tweets, wait_s

    def batcher(self) -> Batcher[TweetItem]:
        return MicroBatcher(max_cost=self._tokens, max_items=self._tweets, wait_s=self._wait_s, cost=_cost)

    async def process(self, items: Sequence[TweetItem]) -> None:
        # Called again after a `Retry`: what was settled before it stays settled.
        pending = [item for item in items if item.dead is None and item.extraction is None]
        await isolate(pending, self._infer, self._fail)

    async def _infer(self, items: Sequence[TweetItem]) -> None:
        started = time.monotonic()
        try:
            predictions = await self._model.infer([item.encoded for item in items if item.encoded is not None])
        except UserError as error:  # the checkpoint is gone or broken: no tweet's fault
            raise Stop(str(error)) from None
        except BatchFailed:
            self.alive()
            raise
        took_ms = 1000 * (time.monotonic() - started)
        for item, prediction in zip(items, predictions, strict=True):
            item.timings_ms["infer"] = took_ms
            if prediction.typicality is not None:
                metrics.TYPICALITY.observe(prediction.typicality)
            item.extraction = Extraction(
                tweet=item.event,
                mentions=mentions(item.event.text, prediction),
                candidates=candidate_mentions(item.event.text, prediction),
                image=item.image,
                context=item.context,
                model=self._info.name,
                model_version=self._info.model_version,
                threshold=self._threshold,
                candidate_threshold=self._candidate_threshold if prediction.candidates else 1.0,
            )
            item.encoded = None  # its pixels would be kept until the offset is acknowledged

    def _fail(self, item: TweetItem, fault: BatchFailed) -> bool:
        """Drops the item's image, which may be at fault, for another try. An item without one fails."""
        if item.encoded is None or item.encoded.pixels is None:
            item.fail(self.name, fault)
            return False
        item.encoded = replace(item.encoded, pixels=None)
        return True


def _cost(item: TweetItem) -> int:
    if item.encoded is None:
        return 1
    return item.encoded.cost if item.encoded.pixels is None else max(PICTURE, item.encoded.cost)

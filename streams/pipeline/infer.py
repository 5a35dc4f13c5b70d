"""Micro-batches through the model's process. A batch that kills it is halved until the poisonous tweet is alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from core.errors import Stop, UserError
from core.events import Extraction
from model.checkpoint import CheckpointInfo
from model.mentions import candidate_mentions, mentions
from model.worker import BatchFailed, ModelProcess, WorkerDied
from streams import metrics
from streams.pipeline.batch import MicroBatcher
from streams.pipeline.item import TweetItem
from streams.pipeline.stage import Batcher, BatchStage

LIVES = 2
"""How often one tweet, alone, may see the process die: the first death may be somebody's `kill -9`."""

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
        await self._halving([item for item in items if item.dead is None and item.extraction is None], deaths=0)

    async def _halving(self, items: list[TweetItem], deaths: int) -> None:
        if not items:
            return
        started = time.monotonic()
        try:
            predictions = await self._model.infer([item.encoded for item in items if item.encoded is not None])
        except UserError as error:  # the checkpoint is gone or broken: no tweet's fault
            raise Stop(str(error)) from None
        except (WorkerDied, BatchFailed) as fault:
            self.alive()
            if len(items) > 1:
                middle = len(items) // 2
                await self._halving(items[:middle], 0)
                await self._halving(items[middle:], 0)
            elif isinstance(fault, WorkerDied) and deaths + 1 < LIVES:
                await self._halving(items, deaths + 1)
            elif (encoded := items[0].encoded) is not None and encoded.pixels is not None:
                items[0].encoded = replace(encoded, pixels=None)  # its picture's fault, perhaps: the words stand alone
                await self._halving(items, deaths=0)
            else:
                items[0].fail(self.name, fault)
            return
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


def _cost(item: TweetItem) -> int:
    if item.encoded is None:
        return 1
    return item.encoded.cost if item.encoded.pixels is None else max(PICTURE, item.encoded.cost)

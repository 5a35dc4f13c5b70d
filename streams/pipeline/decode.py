"""Decodes and validates events. An invalid event becomes a dead letter that names the field and what to change."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ValidationError

from core.errors import Reject
from core.events import Tweet, explain
from streams import metrics
from streams.pipeline.item import TweetItem
from streams.pipeline.stage import I, Stage


class Decode(Stage[I]):
    """Decodes the JSON of a record into an event of type `value`.

    With `erasable`, a record without a value is void. The erase agent sends such records to the compacted topics.
    """

    name = "decode"

    def __init__(self, value: type[BaseModel], *, erasable: bool = False) -> None:
        self._erasable = erasable
        self._value = value

    async def process(self, item: I) -> None:
        if item.origin.value is None and self._erasable:
            item.void = True
            return
        if item.origin.value is None:
            raise Reject(f"event: has no value; expected a JSON {self._value.__name__}")
        try:
            item.parsed = self._value.model_validate_json(item.origin.value)
        except ValidationError as error:
            raise Reject(explain(error)) from None


class DecodePost(Decode[TweetItem]):
    """Decodes a post, notes when Kafka got it, counts what it had to leave out, and passes over posts without words.

    An edit without words goes on: its extraction, without mentions, replaces that of the version with words.
    """

    def __init__(self) -> None:
        super().__init__(Tweet)

    async def process(self, item: TweetItem) -> None:
        await super().process(item)
        if item.origin.timestamp > 0:
            received = datetime.fromtimestamp(round(item.origin.timestamp, 3), UTC)  # Kafka counts milliseconds
            item.parsed = item.event.model_copy(update={"received_at": received})
        for field, reason in item.event.left_out.items():
            metrics.LEFT_OUT.labels(field, reason).inc()
        if not item.event.has_words and item.event.edit == 0:
            metrics.PASSED_OVER.labels("no_words").inc()
            item.void = True

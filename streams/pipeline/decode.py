"""Decodes and validates events. An invalid event becomes a dead letter that names the field and what to change."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from core.errors import Reject
from core.events import explain
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

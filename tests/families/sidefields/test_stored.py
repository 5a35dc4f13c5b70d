"""The stores take every post of this family, whatever its side fields had."""

from __future__ import annotations

import json
from pathlib import Path

from core.events import Extraction, Tweet
from sinks.index.document import from_extraction
from sinks.index.index import Index
from tests.families.sidefields.test_dates import READ, WITHOUT_ZONE
from tests.families.sidefields.test_fields import CASES, RAW
from tests.families.sidefields.test_files import FILES, POSTS


def posts() -> list[Tweet]:
    dates = [{"created_at": value} for table in (READ, WITHOUT_ZONE) for value, _ in table.values()]
    dates += [{"created_at": moment} for moment in ("1970-01-01", "9998-12-31T23:59:59.999999Z")]
    raw: list[str | bytes] = [json.dumps({"id": "1", "text": "x", **given}) for given, _, _ in CASES.values()]
    raw += [json.dumps({"id": "1", "text": "x", **date}) for date in dates]
    raw += [value for value, _ in RAW.values()]
    raw += [Path(FILES / f"{name}.json").read_bytes() for name in POSTS]
    return [Tweet.model_validate_json(value) for value in raw]


async def test_elasticsearch_takes_every_post(index: Index) -> None:
    extractions = [
        Extraction(tweet=tweet.model_copy(update={"id": str(place)}), model="m", model_version=1, threshold=0.9)
        for place, tweet in enumerate(posts())
    ]
    outcomes = await index.write([from_extraction(extraction, []) for extraction in extractions])
    assert len(outcomes) > 150
    assert {(outcome.kind, outcome.reason) for outcome in outcomes} == {("written", "")}

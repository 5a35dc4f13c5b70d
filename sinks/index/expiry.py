"""Which posts are older than the retention, and which have no date: queries, and the same for one document. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def is_old(body: Mapping[str, Any], cutoff: datetime) -> bool:
    """Whether a document was received before the cutoff, or created before it if `received_at` is unknown."""
    moment = body.get("received_at") or body.get("created_at")
    return not body.get("erased") and moment is not None and datetime.fromisoformat(moment) < cutoff


def expired(cutoff: datetime) -> dict[str, Any]:
    """Finds posts received before `cutoff`, or created before it if `received_at` is unknown. Skips erased posts."""
    before = {"lt": cutoff.isoformat()}
    created = {"must_not": {"exists": {"field": "received_at"}}, "filter": {"range": {"created_at": before}}}
    old = [{"range": {"received_at": before}}, {"bool": created}]
    return {"bool": {"should": old, "minimum_should_match": 1, "must_not": {"term": {"erased": True}}}}


def undated() -> dict[str, Any]:
    """Finds posts without a date."""
    dates = [{"exists": {"field": name}} for name in ("received_at", "created_at")]
    return {"bool": {"must_not": [*dates, {"term": {"erased": True}}]}}

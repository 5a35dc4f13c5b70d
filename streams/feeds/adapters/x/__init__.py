"""Adapters of X: each makes posts and lifecycle events of one payload. All are pure functions, and none raises."""

from __future__ import annotations

from streams.feeds.adapters.x.archive import archive_object
from streams.feeds.adapters.x.compliance import Subject, compliance_event, compliance_result
from streams.feeds.adapters.x.v1 import v1_object
from streams.feeds.adapters.x.v2 import single_pages, v2_page, without_others

__all__ = [
    "Subject",
    "archive_object",
    "compliance_event",
    "compliance_result",
    "single_pages",
    "v1_object",
    "v2_page",
    "without_others",
]

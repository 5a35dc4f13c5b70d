"""Writes one document to the index and turns its outcome into the pipeline's errors."""

from __future__ import annotations

from core.errors import Retry
from sinks.index.document import Document
from sinks.index.index import Index


async def write_one(index: Index, document: Document) -> bool:
    """Returns whether the index took the document. Otherwise, it has the same or a newer one.

    Raises `Retry` when the index cannot take it now, and `Reject` when it refuses the document.
    """
    (outcome,) = await index.write([document])
    if outcome.kind == "retry":
        raise Retry(f"post {document.id} is not written yet: {outcome.reason}")
    if outcome.kind == "rejected":
        raise outcome.error(f"the index refused {document.id}: {outcome.reason}")
    return outcome.kind == "written"

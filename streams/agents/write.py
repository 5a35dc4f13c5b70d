"""One document into the index, its outcome turned into the pipeline's errors."""

from __future__ import annotations

from core.errors import Reject, Retry
from sinks.document import Document
from sinks.index import Index


async def write_one(index: Index, document: Document) -> None:
    """Returns when the index has it or something newer. Raises `Retry` when put off, `Reject` when refused."""
    (outcome,) = await index.write([document])
    if outcome.kind == "retry":
        raise Retry(f"the index put off {document.id}: {outcome.reason}")
    if outcome.kind == "rejected":
        raise Reject(f"the index refused {document.id}: {outcome.reason}")
